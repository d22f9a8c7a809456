"""What Kubernetes' refusals mean, and what a person does about them."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from http import HTTPStatus

from warren.errors import ClusterError

# As Kubernetes' authorisers write it:
# https://github.com/kubernetes/kubernetes/blob/master/staging/src/k8s.io/apiserver/pkg/endpoints/handlers/responsewriters/errors.go
_FORBIDDEN = re.compile(
    r'User "(?P<who>[^"]*)" cannot (?P<verb>\S+) resource "(?P<resource>[^"]*)" in API group "(?P<group>[^"]*)"'
)


class RefusedError(ClusterError):
    """The API answered, and not with what was asked for.

    Parameters
    ----------
    text : str
        For the user.
    status : int
        The HTTP status.
    message : str, default=""
        What the API said.
    """

    def __init__(self, text: str, status: int, message: str = "") -> None:
        super().__init__(text)
        self.status = status
        self.message = message

    @property
    def missing(self) -> bool:
        """Whether it is not there."""
        return self.status == HTTPStatus.NOT_FOUND

    @property
    def forbidden(self) -> bool:
        """Whether this account may not."""
        return self.status == HTTPStatus.FORBIDDEN


@dataclass(frozen=True, kw_only=True)
class Request:
    """What was asked of the API, in the words of its roles (RBAC)."""

    verb: str
    """``get``, ``list``, ``create``, ``patch`` or ``delete``."""
    resource: str
    """In the plural, with its subresource: ``deployments/scale``."""
    namespace: str | None
    """None for what belongs to no namespace."""
    name: str = ""
    """Of the object; empty for lists."""
    group: str = ""
    """API group; empty for the core's."""
    where: str = "the cluster"
    """Which cluster, for people."""

    @property
    def place(self) -> str:
        """Where the resource lies, for people."""
        return f"in namespace {self.namespace}" if self.namespace else "in the whole cluster"


def message_of(body: str | bytes | None, reason: str | None) -> str:
    """Return what the API said.

    Parameters
    ----------
    body : str, bytes or None
        Of the answer: a Status object, or any text.
    reason : str or None
        The HTTP reason, where the body says nothing.

    Returns
    -------
    str
        On one line.
    """
    text = body.decode(errors="replace") if isinstance(body, bytes) else body or ""
    try:
        status = json.loads(text)
    except ValueError:
        status = None
    if isinstance(status, dict) and status.get("message"):
        text = str(status["message"])
    return " ".join(text.split())[:1000] or reason or "no reason given"


def refused(request: Request, status: int, message: str) -> RefusedError:
    """Return the error for an answer that is no success.

    Parameters
    ----------
    request : Request
    status : int
        The HTTP status.
    message : str
        What the API said.

    Returns
    -------
    RefusedError
    """
    match status:
        case HTTPStatus.UNAUTHORIZED:
            text = (
                f"{request.where} does not accept your credentials (401 Unauthorized): log in again, as with "
                "`gcloud container clusters get-credentials`, `aws eks update-kubeconfig` or `az aks get-credentials`"
            )
        case HTTPStatus.FORBIDDEN:
            text = _forbidden(request, message)
        case HTTPStatus.NOT_FOUND if request.name:
            text = f"no {request.resource} {request.name} {request.place} of {request.where} (404): {message}"
        case _:
            what = " ".join(filter(None, [request.verb, request.resource, request.name]))
            text = f"{request.where} refuses to {what} {request.place} ({status}): {message}"
    return RefusedError(text, status, message)


def _forbidden(request: Request, message: str) -> str:
    found = _FORBIDDEN.search(message)
    if found is None and "exceeded quota" in message:
        return f"the quota of namespace {request.namespace} is used up (403): {message}"
    who, verb, resource, group = (
        (found["who"], found["verb"], found["resource"], found["group"])
        if found
        else ("you", request.verb, request.resource, request.group)
    )
    kind = "Role" if request.namespace else "ClusterRole"
    said = "" if found else f": {message}"
    return (
        f"no permission: {who} may not {verb} {resource} {request.place} of {request.where} (403 Forbidden){said}. "
        f'Whoever runs the cluster can grant it by a {kind} with apiGroups: ["{group}"], '
        f'resources: ["{resource}"], verbs: ["{verb}"]'
    )
