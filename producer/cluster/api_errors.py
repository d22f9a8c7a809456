"""Turns error responses of Kubernetes' API into errors that say what to do."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from http import HTTPStatus

from warren.errors import ClusterError

# The message of Kubernetes' authorisers:
# https://github.com/kubernetes/kubernetes/blob/master/staging/src/k8s.io/apiserver/pkg/endpoints/handlers/responsewriters/errors.go
_FORBIDDEN = re.compile(
    r'User "(?P<who>[^"]*)" cannot (?P<verb>\S+) resource "(?P<resource>[^"]*)" in API group "(?P<group>[^"]*)"'
)


class RefusedError(ClusterError):
    """The API refused a request.

    Parameters
    ----------
    text : str
        The message for the user.
    status : int
        The HTTP status.
    message : str, default=""
        The API's own message.
    """

    def __init__(self, text: str, status: int, message: str = "") -> None:
        super().__init__(text)
        self.status = status
        self.message = message

    @property
    def missing(self) -> bool:
        """Whether the object does not exist."""
        return self.status == HTTPStatus.NOT_FOUND

    @property
    def forbidden(self) -> bool:
        """Whether this account lacks the permission."""
        return self.status == HTTPStatus.FORBIDDEN


@dataclass(frozen=True, kw_only=True)
class Request:
    """A request to the API, in the terms of its roles (RBAC)."""

    verb: str
    """``get``, ``list``, ``create``, ``patch`` or ``delete``."""
    resource: str
    """Plural name with the subresource, such as ``deployments/scale``."""
    namespace: str | None
    """None for a resource of the whole cluster."""
    name: str = ""
    """Name of the object; empty for lists."""
    group: str = ""
    """API group; empty for the core group."""
    where: str = "the cluster"
    """The cluster, for messages."""

    @property
    def place(self) -> str:
        """The namespace, or the whole cluster, for messages."""
        return f"in namespace {self.namespace}" if self.namespace else "in the whole cluster"


def message_of(body: str | bytes | None, reason: str | None) -> str:
    """Return the message of an API response.

    Parameters
    ----------
    body : str, bytes or None
        The body of the response: a Status object, or any text.
    reason : str or None
        The HTTP reason, used if the body is empty.

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
    """Return the error for a response that is not a success.

    Parameters
    ----------
    request : Request
    status : int
        The HTTP status.
    message : str
        The API's message.

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
    detail = "" if found else f": {message}"
    return (
        f"no permission: {who} may not {verb} {resource} {request.place} of {request.where} (403 Forbidden){detail}. "
        f'An administrator of the cluster can grant it by a {kind} with apiGroups: ["{group}"], '
        f'resources: ["{resource}"], verbs: ["{verb}"]'
    )
