"""Who sets the number of workers: KEDA by the length of the queue, a HorizontalPodAutoscaler by CPU, or a person."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

from producer.cluster.api import KEDA, Api, Json
from producer.cluster.api_errors import RefusedError
from warren.errors import ClusterError, InputError

# A ScaledObject that KEDA was told to leave alone: https://keda.sh/docs/latest/concepts/scaling-deployments/
_PAUSED = ("autoscaling.keda.sh/paused", "autoscaling.keda.sh/paused-replicas")
# Conditions of an autoscaler that works: of KEDA's, and of Kubernetes' own.
_WORKS = {"Ready", "AbleToScale", "ScalingActive"}
# Requests that an account without permission may be refused, and kinds that a cluster may not have.
_UNSEEN = {403, 404}

Kind = Literal["ScaledObject", "HorizontalPodAutoscaler"]


@dataclass(frozen=True)
class Autoscaling:
    """What sets the number of workers."""

    kind: Kind
    """``ScaledObject`` is KEDA's: chunks in the queue. ``HorizontalPodAutoscaler``: CPU."""
    name: str
    min: int
    """Workers that there are at least."""
    max: int
    """Workers that there are at most."""
    trouble: str = ""
    """Why it sets nothing, in Kubernetes' words; empty while it does."""

    @property
    def by(self) -> str:
        """What it goes by, for people."""
        return "KEDA, by the chunks in the queue" if self.kind == "ScaledObject" else "CPU, by Kubernetes itself"

    def __str__(self) -> str:
        return f"{self.kind} {self.name} ({self.min} to {self.max})"

    def __repr__(self) -> str:
        return f"<{self.min} to {self.max} workers by {self.kind} {self.name}: {self.by}>"


def steering(api: Api, deployment: str) -> Autoscaling | None:
    """Return what sets a Deployment's number of pods; None for nothing, or nothing that this account may see."""
    return next(_keda(api, deployment), None) or next(_autoscalers(api, deployment), None)


def _there(api: Api, deployment: str) -> Autoscaling | None:
    """Return the same, or a ScaledObject that would set it if it were not paused."""
    return next(_keda(api, deployment, paused=True), None) or next(_autoscalers(api, deployment), None)


def _keda(api: Api, deployment: str, *, paused: bool = False) -> Iterator[Autoscaling]:
    for one in _seen(lambda: api.keda("scaledobjects")):
        spec, notes = one["spec"], one["metadata"].get("annotations") or {}
        works = all(notes.get(name, "false") == "false" for name in _PAUSED)
        if _targets(spec, deployment) and (works or paused):
            low, high = spec.get("minReplicaCount", 0), spec.get("maxReplicaCount", 100)
            yield Autoscaling("ScaledObject", one["metadata"]["name"], int(low), int(high), _trouble(one))


def _autoscalers(api: Api, deployment: str) -> Iterator[Autoscaling]:
    for one in _seen(api.autoscalers):
        spec = one["spec"]
        if _targets(spec, deployment):
            low, high = spec.get("minReplicas", 1), spec["maxReplicas"]
            yield Autoscaling("HorizontalPodAutoscaler", one["metadata"]["name"], int(low), int(high), _trouble(one))


def _targets(spec: Json, deployment: str) -> bool:
    target = spec["scaleTargetRef"]
    return bool(target["name"] == deployment and target.get("kind", "Deployment") == "Deployment")


def _trouble(thing: Json) -> str:
    """Return what an autoscaler says of itself where it can't do its work, as without a metrics server."""
    for one in (thing.get("status") or {}).get("conditions") or []:
        if one.get("type") in _WORKS and one.get("status") == "False":
            return str(one.get("message") or one.get("reason", ""))
    return ""


def _seen(ask: Any) -> list[Json]:
    try:
        return list(ask())
    except RefusedError as exc:
        if exc.status not in _UNSEEN:
            raise
        return []


def check_bounds(low: object, high: object) -> tuple[int, int]:
    """Return the bounds of an autoscaler.

    Raises
    ------
    InputError
        They are no whole numbers, or not 0 <= low <= high with 1 <= high.
    """
    if not (isinstance(low, int) and isinstance(high, int)) or isinstance(low, bool) or isinstance(high, bool):
        raise InputError(f"autoscale({low!r}, {high!r}): give two whole numbers, as in autoscale(0, 40)")
    if low < 0 or high < max(1, low):
        raise InputError(f"autoscale({low}, {high}): the least is 0 or more, the most is 1 or more and not below it")
    return low, high


def autoscale(api: Api, deployment: str, low: int, high: int) -> Autoscaling:
    """Let the cluster set the number of workers.

    Parameters
    ----------
    api : Api
    deployment : str
    low, high : int

    Returns
    -------
    Autoscaling
        What was made, or changed where there was one.
    """
    found = _there(api, deployment)
    if found is None and _has_keda(api):
        for plural, body in (
            ("triggerauthentications", trigger_authentication()),
            ("scaledobjects", scaled_object(deployment, api.namespace, low, high)),
        ):
            there = body["metadata"]["name"] in {one["metadata"]["name"] for one in api.keda(plural)}
            api.put_keda(plural, body, there=there)
        return Autoscaling("ScaledObject", deployment, low, high)
    if found is not None and found.kind == "ScaledObject":
        # None takes an annotation away, and with it a pause.
        body = {
            "metadata": {"name": found.name, "annotations": dict.fromkeys(_PAUSED)},
            "spec": {"minReplicaCount": low, "maxReplicaCount": high},
        }
        api.put_keda("scaledobjects", body, there=True)
        return Autoscaling(found.kind, found.name, low, high)
    if low < 1:
        raise ClusterError(
            f"autoscale({low}, {high}): {api.where} has no KEDA, and a HorizontalPodAutoscaler keeps at least one "
            f"worker: autoscale(1, {high}), or install KEDA (https://keda.sh/docs/latest/deploy/)"
        )
    if found is not None:
        body = {"metadata": {"name": found.name}, "spec": {"minReplicas": low, "maxReplicas": high}}
        api.put_autoscaler(body, there=True)
        return Autoscaling(found.kind, found.name, low, high)
    api.put_autoscaler(horizontal_pod_autoscaler(deployment, api.namespace, low, high), there=False)
    return Autoscaling("HorizontalPodAutoscaler", deployment, low, high)


def awaken(api: Api, deployment: Json, made: Autoscaling) -> None:
    """Give Kubernetes' own a first worker: it leaves a Deployment of none alone, whatever its bounds."""
    if made.kind == "HorizontalPodAutoscaler" and deployment["spec"].get("replicas", 1) == 0:
        api.scale(deployment["metadata"]["name"], made.min)


def fixed(api: Api, deployment: str) -> Autoscaling | None:
    """Delete what sets the number of workers, or would if it were not paused; return what it was."""
    found = _there(api, deployment)
    if found is None:
        api.autoscalers()  # refused where this account may not look: then nothing is known
        return None
    if found.kind == "ScaledObject":
        api.delete_keda("scaledobjects", found.name)
    else:
        api.delete_autoscaler(found.name)
    return found


def _has_keda(api: Api) -> bool:
    try:
        api.keda("scaledobjects")
    except RefusedError as exc:
        if exc.missing:
            return False
        raise
    return True


# The three below say what k8s/overlays/autoscale says; a test compares them.


def _metadata(name: str) -> Json:
    labels = {"app.kubernetes.io/name": "worker", "app.kubernetes.io/part-of": "warren"}
    return {"name": name, "labels": {**labels, "app.kubernetes.io/managed-by": "warren"}}


def trigger_authentication() -> Json:
    """Return how KEDA logs in to RabbitMQ's management API."""
    return {
        "apiVersion": "/".join(KEDA),
        "kind": "TriggerAuthentication",
        "metadata": _metadata("rabbitmq"),
        "spec": {
            "secretTargetRef": [{"parameter": key, "name": "watcher", "key": key} for key in ("username", "password")],
        },
    }


def scaled_object(deployment: str, namespace: str, low: int, high: int) -> Json:
    """Return KEDA's object: a worker for each chunk that waits or is in hand.

    https://keda.sh/docs/latest/scalers/rabbitmq-queue/
    """
    behavior = {
        "scaleUp": {
            "stabilizationWindowSeconds": 0,
            "policies": [{"type": "Pods", "value": 40, "periodSeconds": 15}],
        },
        # Longer than a chunk: the end of a study is not cut off by a moment with few messages.
        "scaleDown": {
            "stabilizationWindowSeconds": 120,
            "policies": [{"type": "Pods", "value": 10, "periodSeconds": 60}],
        },
    }
    trigger = {
        "type": "rabbitmq",
        "authenticationRef": {"name": "rabbitmq"},
        "metadata": {
            # Over amqp KEDA would count waiting chunks only, and stop workers that hold the last ones.
            "protocol": "http",
            "host": f"http://rabbitmq.{namespace}.svc.cluster.local:15672/",
            "vhostName": "/",
            # Every lane, and neither chunks.dead nor chunks.gpu, which k8s/overlays/gpu/autoscale counts.
            "queueName": r"^chunks(\.[2-8])?$",
            "useRegex": "true",
            "operation": "sum",
            "excludeUnacknowledged": "false",
            "mode": "QueueLength",
            "value": "1",
        },
    }
    return {
        "apiVersion": "/".join(KEDA),
        "kind": "ScaledObject",
        "metadata": _metadata(deployment),
        "spec": {
            "scaleTargetRef": {"name": deployment},
            "minReplicaCount": low,
            "maxReplicaCount": high,
            "pollingInterval": 15,
            "cooldownPeriod": 300,
            "advanced": {"horizontalPodAutoscalerConfig": {"behavior": behavior}},
            "triggers": [trigger],
        },
    }


def horizontal_pod_autoscaler(deployment: str, namespace: str, low: int, high: int) -> Json:
    """Return Kubernetes' own: workers that are busy call for more."""
    return {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": {**_metadata(deployment), "namespace": namespace},
        "spec": {
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": deployment},
            "minReplicas": low,
            "maxReplicas": high,
            "metrics": [
                {
                    "type": "Resource",
                    "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 60}},
                }
            ],
            "behavior": {
                "scaleUp": {
                    "stabilizationWindowSeconds": 0,
                    "policies": [
                        {"type": "Percent", "value": 100, "periodSeconds": 60},
                        {"type": "Pods", "value": 4, "periodSeconds": 60},
                    ],
                },
                "scaleDown": {
                    "stabilizationWindowSeconds": 300,
                    "policies": [{"type": "Pods", "value": 10, "periodSeconds": 60}],
                },
            },
        },
    }
