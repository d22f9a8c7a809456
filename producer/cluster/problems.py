"""Finds problems that keep workers from running, such as quotas, and says what to do."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

from producer.cluster.autoscaling import Autoscaling
from producer.formatting import plural, shorten

Kind = Literal["image", "configuration", "crash", "refused", "quota", "unschedulable", "node", "autoscaler"]

# Reasons why a container waits:
# https://github.com/kubernetes/kubernetes/blob/master/pkg/kubelet/images/types.go
_IMAGE = {
    *("ImagePullBackOff", "ErrImagePull", "ErrImageNeverPull", "InvalidImageName", "ImageInspectError"),
    *("RegistryUnavailable", "SignatureValidationFailed"),
}
_CONFIGURATION = {"CreateContainerConfigError", "CreateContainerError", "RunContainerError"}
_CRASH = {"CrashLoopBackOff"}
# Most characters shown of a message: a scheduler's message lists every kind of node.
_LONGEST = 400

_REMEDIES: dict[Kind, str] = {
    "image": "is the name right, and may the nodes pull it? On kind, `kind load docker-image IMAGE`; "
    "else push it to a registry, and set it with `kustomize edit set image`",
    "configuration": "does every Secret and ConfigMap exist that it names?",
    "crash": 'read its log: cluster.logs("{name}")',
    "refused": "a rule of the cluster forbids these pods",
    "quota": "ask for more, or scale to what fits: kubectl -n {namespace} describe resourcequota",
    "node": "Kubernetes replaces its workers after five minutes; the broker redelivers their chunks earlier: "
    "kubectl describe node {name}",
    "autoscaler": "scaling by CPU needs a metrics server and a first worker, KEDA needs the broker: "
    "kubectl -n {namespace} describe {name}",
    "unschedulable": "is the node pool at its limit, and does the overlay match the nodes' labels and taints?",
}


@dataclass(frozen=True)
class Problem:
    """Why some pods don't run, or an autoscaler does not work, and what to do."""

    kind: Kind
    text: str
    since: datetime | None = None
    """When it began; None if unknown."""

    def __str__(self) -> str:
        return self.text


def problems_of(
    deployment: Mapping[str, Any],
    pods: Sequence[Mapping[str, Any]],
    nodes: Sequence[Mapping[str, Any]],
    steered: Autoscaling | None,
) -> tuple[Problem, ...]:
    """Return the problems of pods, nodes and the autoscaler.

    Parameters
    ----------
    deployment : dict
        The workers' Deployment.
    pods : list of dict
        Pods of the workers and the servers.
    nodes : list of dict
        The known nodes of the cluster.
    steered : Autoscaling or None
        The autoscaler of the workers.

    Returns
    -------
    tuple of Problem
        One for each kind and message, the worst first.
    """
    found = list(_of_deployment(deployment))
    groups: dict[tuple[Kind, str], list[tuple[str, datetime | None]]] = {}
    for pod in pods:
        if "deletionTimestamp" in pod["metadata"]:
            continue
        kind, message, since = _of_pod(pod)
        if kind is not None:
            # Group messages that differ only by the pod's name.
            name = str(pod["metadata"]["name"])
            groups.setdefault((kind, message.replace(name, "<pod>")), []).append((name, since))
    for (kind, message), who in groups.items():
        names = sorted(name for name, _ in who)
        begun = [since for _, since in who if since is not None]
        trouble = {
            "image": "can't get the image",
            "configuration": "can't be started",
            "crash": "crashed repeatedly",
            "unschedulable": "find no node" if len(names) > 1 else "finds no node",
        }[kind]
        remedy = _remedy(kind, deployment, names[0])
        example = f" ({names[0]})" if len(names) == 1 else f" (such as {names[0]})"
        text = f"{plural(len(names), 'pod')}{example} {trouble}: {shorten(message, _LONGEST).rstrip('.')}; {remedy}"
        found.append(Problem(kind, text, min(begun, default=None)))
    found.extend(_of_nodes(deployment, pods, nodes))
    if steered is not None and steered.trouble:
        remedy = _remedy("autoscaler", deployment, f"{steered.kind.lower()} {steered.name}")
        why = shorten(steered.trouble, _LONGEST).rstrip(".")
        found.append(Problem("autoscaler", f"{steered} does not work: {why}; {remedy}"))
    return tuple(found)


def _remedy(kind: Kind, deployment: Mapping[str, Any], name: str) -> str:
    return _REMEDIES[kind].format(name=name, namespace=deployment["metadata"]["namespace"])


def _of_nodes(
    deployment: Mapping[str, Any], pods: Sequence[Mapping[str, Any]], nodes: Sequence[Mapping[str, Any]]
) -> Iterator[Problem]:
    """Yield a problem for each node with pods that is not ready."""
    for node in nodes:
        name = node["metadata"]["name"]
        lost = sum((pod.get("spec") or {}).get("nodeName") == name for pod in pods)
        for condition in (node.get("status") or {}).get("conditions") or []:
            if lost and condition.get("type") == "Ready" and condition.get("status") != "True":
                why = shorten(str(condition.get("message") or condition.get("reason", "")), _LONGEST).rstrip(".")
                text = (
                    f"node {name} with {plural(lost, 'pod')} is not ready: {why}; {_remedy('node', deployment, name)}"
                )
                yield Problem("node", text, _moment(condition.get("lastTransitionTime")))


def _of_deployment(deployment: Mapping[str, Any]) -> list[Problem]:
    """Return a problem if the cluster refuses to create pods."""
    for condition in (deployment.get("status") or {}).get("conditions") or []:
        if condition.get("type") == "ReplicaFailure" and condition.get("status") == "True":
            message = str(condition.get("message", condition.get("reason", "")))
            kind: Kind = "quota" if "exceeded quota" in message or "failed quota" in message else "refused"
            what = "the namespace's quota is used up" if kind == "quota" else "no further pod can be created"
            text = f"{what}: {shorten(message, _LONGEST).rstrip('.')}; {_remedy(kind, deployment, '')}"
            return [Problem(kind, text, _moment(condition.get("lastTransitionTime")))]
    return []


def _of_pod(pod: Mapping[str, Any]) -> tuple[Kind | None, str, datetime | None]:
    status = pod.get("status") or {}
    for container in [*(status.get("initContainerStatuses") or []), *(status.get("containerStatuses") or [])]:
        waiting = (container.get("state") or {}).get("waiting") or {}
        reason = str(waiting.get("reason", ""))
        kinds: list[tuple[Kind, set[str]]] = [("image", _IMAGE), ("configuration", _CONFIGURATION), ("crash", _CRASH)]
        for kind, reasons in kinds:
            if reason in reasons:
                image = f" {container['image']}" if kind == "image" and container.get("image") else ""
                return kind, f"{reason}{image}: {waiting.get('message', 'no message')}", None
    for condition in status.get("conditions") or []:
        if (
            condition.get("type") == "PodScheduled"
            and condition.get("status") == "False"
            and condition.get("reason") == "Unschedulable"
        ):
            return "unschedulable", str(condition.get("message", "")), _moment(condition.get("lastTransitionTime"))
    return None, "", None


def _moment(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text).astimezone(UTC) if text else None
