"""Finds the pod that a connection to a Service goes to."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from producer.cluster.api import Api
from producer.cluster.api_errors import RefusedError
from producer.cluster.read_status import condition
from producer.formatting import listing
from warren.errors import ClusterError


@dataclass(frozen=True)
class Target:
    """The pod and port that a connection goes to."""

    pod: str
    port: int


def find_target(api: Api, service: str, port: int) -> Target:
    """Return a ready pod of a Service, and the port of its container.

    Parameters
    ----------
    api : Api
    service : str
        The Service's name.
    port : int
        The Service's port.

    Returns
    -------
    Target

    Raises
    ------
    ClusterError
        There is no such Service, no such port, or no ready pod.
    """
    try:
        found = api.service(service)
    except RefusedError as exc:
        if not exc.missing:
            raise
        raise ClusterError(
            f"no Service {service} in namespace {api.namespace} of {api.where}: "
            f"{_list_services(api)}. Is Warren deployed there? kubectl apply -k k8s/overlays/..."
        ) from exc
    [*matching] = [entry for entry in found["spec"].get("ports", []) if entry["port"] == port]
    if not matching:
        offered = [str(entry["port"]) for entry in found["spec"].get("ports", [])]
        raise ClusterError(
            f"Service {service} in namespace {api.namespace} has no port {port}, only {listing(offered)}"
        )
    selector = found["spec"].get("selector") or {}
    pods = api.pods(",".join(f"{name}={value}" for name, value in selector.items()))
    ready = [pod for pod in pods if _serves(pod)]
    if not ready:
        raise ClusterError(
            f"no pod of Service {service} in namespace {api.namespace} of {api.where} is ready: {_phases_of(pods)}"
        )
    wanted = matching[0].get("targetPort", port)
    return Target(ready[0]["metadata"]["name"], next(_ports(ready[0], wanted), port))


def _list_services(api: Api) -> str:
    try:
        names = api.services()
    except ClusterError:
        return "and its Services can't be listed"
    return f"it has {listing(names)}" if names else "it has none"


def _serves(pod: Mapping[str, Any]) -> bool:
    return "deletionTimestamp" not in pod["metadata"] and condition(pod, "Ready").get("status") == "True"


def _phases_of(pods: Sequence[Mapping[str, Any]]) -> str:
    if not pods:
        return "there is none"
    return ", ".join(
        f"{pod['metadata']['name']} is {(pod.get('status') or {}).get('phase', 'Unknown')}" for pod in pods
    )


def _ports(pod: Mapping[str, Any], wanted: int | str) -> Iterator[int]:
    if isinstance(wanted, int):
        yield wanted
    for container in pod["spec"].get("containers", []):
        for port in container.get("ports") or []:
            if port.get("name") == wanted:
                yield int(port["containerPort"])
