"""Builds the status of a cluster from the API's pods, nodes and events."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from producer.cluster.autoscaling import Autoscaling
from producer.cluster.problems import problems_of
from producer.cluster.status import ClusterStatus, Pod

# Labels of clouds for nodes that may be preempted at any time:
# https://cloud.google.com/kubernetes-engine/docs/concepts/spot-vms
# https://docs.aws.amazon.com/eks/latest/userguide/managed-node-groups.html
# https://learn.microsoft.com/azure/aks/spot-node-pool
# https://karpenter.sh/docs/concepts/scheduling/
_PREEMPTIBLE = {
    "cloud.google.com/gke-spot": "true",
    "cloud.google.com/gke-preemptible": "true",
    "cloud.google.com/gke-provisioning": "spot",
    "eks.amazonaws.com/capacityType": "spot",
    "kubernetes.azure.com/scalesetpriority": "spot",
    "karpenter.sh/capacity-type": "spot",
}
# Reasons of an eviction, in a pod's status, its condition DisruptionTarget, or its events.
# https://kubernetes.io/docs/concepts/workloads/pods/disruptions/#pod-disruption-conditions
_EVICTIONS = {
    *("Evicted", "Preempted", "Preempting", "Shutdown", "NodeShutdown", "NodeLost", "NodeAffinity", "Terminated"),
    *("PreemptionByScheduler", "DeletionByTaintManager", "EvictionByEvictionAPI", "TerminationByKubelet"),
    *("DeletionByPodGC", "TaintManagerEviction"),
}
# The servers that a status shows besides the workers.
SERVERS = ("rabbitmq", "mongodb")


def is_preemptible(labels: Mapping[str, str]) -> bool:
    """Return whether a node's labels say that it may be preempted at any time."""
    return any(labels.get(name, "").lower() == value for name, value in _PREEMPTIBLE.items())


def read_status(
    *,
    where: str,
    namespace: str,
    deployment: Mapping[str, Any],
    pods: Sequence[Mapping[str, Any]],
    nodes: Sequence[Mapping[str, Any]] | None,
    events: Sequence[Mapping[str, Any]] | None,
    steered: Autoscaling | None,
    now: datetime,
) -> ClusterStatus:
    """Build a status from API objects.

    Parameters
    ----------
    where, namespace : str
        The cluster and the namespace, for messages.
    deployment : dict
        The workers' Deployment.
    pods : list of dict
        All pods of the namespace.
    nodes, events : list of dict or None
        None if this account may not list them.
    steered : Autoscaling or None
        The autoscaler of the workers.
    now : datetime
        With a time zone.

    Returns
    -------
    ClusterStatus
    """
    name = deployment["metadata"]["name"]
    selector = deployment["spec"]["selector"].get("matchLabels") or {}
    labels = {node["metadata"]["name"]: node["metadata"].get("labels") or {} for node in nodes or []}
    read = []
    workers = []
    for pod in pods:
        own = pod["metadata"].get("labels") or {}
        if selector and selector.items() <= own.items():
            role = name
            workers.append(pod)
        elif own.get("app.kubernetes.io/name") in SERVERS:
            role = own["app.kubernetes.io/name"]
        else:
            continue
        read.append(_pod(pod, role, labels if nodes is not None else None, now))
    read.sort(key=lambda pod: (pod.role != name, pod.role, pod.ready, pod.name))
    shown = {pod["metadata"]["name"] for pod in workers}
    shown_pods = [pod for pod in pods if _name(pod) in {pod.name for pod in read}]
    return ClusterStatus(
        where=where,
        namespace=namespace,
        deployment=name,
        wanted=int(deployment["spec"].get("replicas", 1)),
        pods=tuple(read),
        evictions=len(_evicted(workers, events or [], name, shown)),
        steered_by=str(steered) if steered else None,
        problems=problems_of(deployment, shown_pods, nodes or [], steered),
        nodes_known=nodes is not None,
        events_known=events is not None,
    )


def _name(pod: Mapping[str, Any]) -> str:
    return str(pod["metadata"]["name"])


def _pod(pod: Mapping[str, Any], role: str, nodes: Mapping[str, Mapping[str, str]] | None, now: datetime) -> Pod:
    status = pod.get("status") or {}
    containers = status.get("containerStatuses") or []
    node = pod.get("spec", {}).get("nodeName")
    deleted = "deletionTimestamp" in pod["metadata"]
    ready = not deleted and condition(pod, "Ready").get("status") == "True"
    return Pod(
        name=_name(pod),
        role=role,
        phase="Terminating" if deleted else status.get("phase", "Unknown"),
        ready=ready,
        restarts=sum(int(container.get("restartCount", 0)) for container in containers),
        age_seconds=max(0.0, (now - moment(pod["metadata"]["creationTimestamp"])).total_seconds()),
        node=node,
        preemptible=None if nodes is None or node not in nodes else is_preemptible(nodes[node]),
        reason=_reason(pod),
    )


def _reason(pod: Mapping[str, Any]) -> str:
    """Return why a pod is not ready, or why a ready pod's container last ended."""
    status = pod.get("status") or {}
    if status.get("reason"):
        return str(status["reason"])
    target = condition(pod, "DisruptionTarget")
    if target.get("status") == "True":
        return str(target.get("reason", "DisruptionTarget"))
    containers = [*(status.get("initContainerStatuses") or []), *(status.get("containerStatuses") or [])]
    for when in ("state", "lastState"):
        for container in containers:
            state = container.get(when) or {}
            waiting = (state.get("waiting") or {}).get("reason")
            if waiting and waiting not in {"ContainerCreating", "PodInitializing"}:
                return str(waiting)
            ended = state.get("terminated")
            if ended and (ended.get("exitCode") or when == "lastState"):
                return str(ended.get("reason") or f"exit code {ended.get('exitCode')}")
    scheduled = condition(pod, "PodScheduled")
    return str(scheduled.get("reason", "")) if scheduled.get("status") == "False" else ""


def _evicted(
    workers: Iterable[Mapping[str, Any]], events: Iterable[Mapping[str, Any]], deployment: str, shown: set[str]
) -> set[str]:
    """Return the names of the evicted workers' pods."""
    gone = {
        _name(pod)
        for pod in workers
        if (pod.get("status") or {}).get("reason") in _EVICTIONS
        or (
            condition(pod, "DisruptionTarget").get("status") == "True"
            and condition(pod, "DisruptionTarget").get("reason") in _EVICTIONS
        )
    }
    for event in events:
        who = str(event.get("involvedObject", {}).get("name", ""))
        # A deleted pod is recognised by its name: Deployment, hash of the template, five letters.
        ours = who in shown or (who.startswith(f"{deployment}-") and who.count("-") == deployment.count("-") + 2)
        if ours and event.get("reason") in _EVICTIONS:
            gone.add(who)
    return gone


def condition(thing: Mapping[str, Any], kind: str) -> Mapping[str, Any]:
    """Return a condition of an object; empty if it has none of this kind."""
    found = (thing.get("status") or {}).get("conditions") or []
    return next((entry for entry in found if entry.get("type") == kind), {})


def moment(text: str) -> datetime:
    """Parse a time of Kubernetes (RFC 3339)."""
    return datetime.fromisoformat(text).astimezone(UTC)
