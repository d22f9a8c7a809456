"""What keeps workers from running: images, quotas, nodes, crashes, autoscalers; each with what to do about it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

from producer.cluster.autoscaling import Autoscaling
from producer.formatting import plural, shorten

Kind = Literal["image", "configuration", "crash", "refused", "quota", "unschedulable", "node", "autoscaler"]

# Why a container waits: https://github.com/kubernetes/kubernetes/blob/master/pkg/kubelet/images/types.go
_IMAGE = {
    *("ImagePullBackOff", "ErrImagePull", "ErrImageNeverPull", "InvalidImageName", "ImageInspectError"),
    *("RegistryUnavailable", "SignatureValidationFailed"),
}
_CONFIGURATION = {"CreateContainerConfigError", "CreateContainerError", "RunContainerError"}
_CRASH = {"CrashLoopBackOff"}
# Characters of a message that are shown: a scheduler names every kind of node.
_LONGEST = 400

_REMEDIES: dict[Kind, str] = {
    "image": "is the name right, and may the nodes pull it? On kind, `kind load docker-image IMAGE`; "
    "else push it to a registry, and set it with `kustomize edit set image`",
    "configuration": "is every Secret and ConfigMap there that it names?",
    "crash": 'what did it say? cluster.logs("{name}")',
    "refused": "a rule of the cluster forbids these pods",
    "quota": "ask for more, or scale to what fits: kubectl -n {namespace} describe resourcequota",
    "node": "Kubernetes replaces its workers after five minutes, and the broker gives their chunks to others before: "
    "kubectl describe node {name}",
    "autoscaler": "by CPU it needs a metrics server and a worker to begin with, KEDA needs the broker: "
    "kubectl -n {namespace} describe {name}",
    "unschedulable": "is the node pool at its limit, and does the overlay match the nodes' labels and taints?",
}


@dataclass(frozen=True)
class Problem:
    """Why some pods don't run, or an autoscaler does nothing, and what to do."""

    kind: Kind
    text: str
    since: datetime | None = None
    """When it began, where that is known."""

    def __str__(self) -> str:
        return self.text


def problems_of(
    deployment: Mapping[str, Any],
    pods: Sequence[Mapping[str, Any]],
    nodes: Sequence[Mapping[str, Any]],
    steered: Autoscaling | None,
) -> tuple[Problem, ...]:
    """Return what keeps pods from running, nodes from answering, and an autoscaler from its work.

    Parameters
    ----------
    deployment : dict
        The workers' Deployment.
    pods : list of dict
        Of the workers and the servers.
    nodes : list of dict
        Of the cluster, as far as they are known.
    steered : Autoscaling or None
        What sets the number of workers.

    Returns
    -------
    tuple of Problem
        Of each kind and message one, the worst first.
    """
    found = list(_of_deployment(deployment))
    groups: dict[tuple[Kind, str], list[tuple[str, datetime | None]]] = {}
    for pod in pods:
        if "deletionTimestamp" in pod["metadata"]:
            continue
        kind, message, since = _of_pod(pod)
        if kind is not None:
            # Messages that differ in the pod's own name are one.
            name = str(pod["metadata"]["name"])
            groups.setdefault((kind, message.replace(name, "<pod>")), []).append((name, since))
    for (kind, message), who in groups.items():
        names = sorted(name for name, _ in who)
        begun = [since for _, since in who if since is not None]
        said = {
            "image": "can't get the image",
            "configuration": "can't be started",
            "crash": "ended again and again",
            "unschedulable": "find no node" if len(names) > 1 else "finds no node",
        }[kind]
        remedy = _remedy(kind, deployment, names[0])
        such = f" ({names[0]})" if len(names) == 1 else f" (such as {names[0]})"
        text = f"{plural(len(names), 'pod')}{such} {said}: {shorten(message, _LONGEST).rstrip('.')}; {remedy}"
        found.append(Problem(kind, text, min(begun, default=None)))
    found.extend(_of_nodes(deployment, pods, nodes))
    if steered is not None and steered.trouble:
        remedy = _remedy("autoscaler", deployment, f"{steered.kind.lower()} {steered.name}")
        why = shorten(steered.trouble, _LONGEST).rstrip(".")
        found.append(Problem("autoscaler", f"{steered} sets nothing: {why}; {remedy}"))
    return tuple(found)


def _remedy(kind: Kind, deployment: Mapping[str, Any], name: str) -> str:
    return _REMEDIES[kind].format(name=name, namespace=deployment["metadata"]["namespace"])


def _of_nodes(
    deployment: Mapping[str, Any], pods: Sequence[Mapping[str, Any]], nodes: Sequence[Mapping[str, Any]]
) -> Iterator[Problem]:
    """Nodes that say nothing any more, with pods on them."""
    for node in nodes:
        name = node["metadata"]["name"]
        lost = sum((pod.get("spec") or {}).get("nodeName") == name for pod in pods)
        for one in (node.get("status") or {}).get("conditions") or []:
            if lost and one.get("type") == "Ready" and one.get("status") != "True":
                why = shorten(str(one.get("message") or one.get("reason", "")), _LONGEST).rstrip(".")
                text = (
                    f"node {name} with {plural(lost, 'pod')} is not ready: {why}; {_remedy('node', deployment, name)}"
                )
                yield Problem("node", text, _moment(one.get("lastTransitionTime")))


def _of_deployment(deployment: Mapping[str, Any]) -> list[Problem]:
    """Pods that the cluster refuses to make at all."""
    for one in (deployment.get("status") or {}).get("conditions") or []:
        if one.get("type") == "ReplicaFailure" and one.get("status") == "True":
            message = str(one.get("message", one.get("reason", "")))
            kind: Kind = "quota" if "exceeded quota" in message or "failed quota" in message else "refused"
            what = "the namespace's quota is used up" if kind == "quota" else "no further pod can be made"
            text = f"{what}: {shorten(message, _LONGEST).rstrip('.')}; {_remedy(kind, deployment, '')}"
            return [Problem(kind, text, _moment(one.get("lastTransitionTime")))]
    return []


def _of_pod(pod: Mapping[str, Any]) -> tuple[Kind | None, str, datetime | None]:
    status = pod.get("status") or {}
    for one in [*(status.get("initContainerStatuses") or []), *(status.get("containerStatuses") or [])]:
        waiting = (one.get("state") or {}).get("waiting") or {}
        reason = str(waiting.get("reason", ""))
        kinds: list[tuple[Kind, set[str]]] = [("image", _IMAGE), ("configuration", _CONFIGURATION), ("crash", _CRASH)]
        for kind, reasons in kinds:
            if reason in reasons:
                image = f" {one['image']}" if kind == "image" and one.get("image") else ""
                return kind, f"{reason}{image}: {waiting.get('message', 'no message')}", None
    for one in status.get("conditions") or []:
        if one.get("type") == "PodScheduled" and one.get("status") == "False" and one.get("reason") == "Unschedulable":
            return "unschedulable", str(one.get("message", "")), _moment(one.get("lastTransitionTime"))
    return None, "", None


def _moment(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text).astimezone(UTC) if text else None
