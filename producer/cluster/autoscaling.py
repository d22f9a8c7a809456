"""Autoscaling of the workers: KEDA by queue length, or a HorizontalPodAutoscaler by CPU."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

from producer.cluster.api import KEDA, Api, Json
from producer.cluster.api_errors import RefusedError
from warren.errors import ClusterError, InputError

# Annotations that pause a ScaledObject: https://keda.sh/docs/latest/concepts/scaling-deployments/
_PAUSED = ("autoscaling.keda.sh/paused", "autoscaling.keda.sh/paused-replicas")
# Conditions that are true for a working autoscaler, of KEDA or Kubernetes.
_WORKS = {"Ready", "AbleToScale", "ScalingActive"}
# Status codes if this account lacks the permission, or the cluster lacks the kind of object.
_NOT_READABLE = {403, 404}

Kind = Literal["ScaledObject", "HorizontalPodAutoscaler"]


@dataclass(frozen=True)
class Autoscaling:
    """The autoscaler that sets the number of workers."""

    kind: Kind
    """``ScaledObject`` (KEDA) scales by chunks in the queue, ``HorizontalPodAutoscaler`` by CPU."""
    name: str
    min: int
    """Least number of workers."""
    max: int
    """Greatest number of workers."""
    trouble: str = ""
    """Kubernetes' message on why it does not work; empty while it works."""

    @property
    def by(self) -> str:
        """What it scales by, for messages."""
        return "KEDA, by the chunks in the queue" if self.kind == "ScaledObject" else "CPU, by Kubernetes itself"

    def __str__(self) -> str:
        return f"{self.kind} {self.name} ({self.min} to {self.max})"

    def __repr__(self) -> str:
        return f"<{self.min} to {self.max} workers by {self.kind} {self.name}: {self.by}>"


def active_autoscaler(api: Api, deployment: str) -> Autoscaling | None:
    """Return the active autoscaler of a Deployment; None without one that this account may read."""
    return next(_keda(api, deployment), None) or next(_autoscalers(api, deployment), None)


def _existing_autoscaler(api: Api, deployment: str) -> Autoscaling | None:
    """Return the autoscaler of a Deployment, also a paused ScaledObject; None without one."""
    return next(_keda(api, deployment, paused=True), None) or next(_autoscalers(api, deployment), None)


def _keda(api: Api, deployment: str, *, paused: bool = False) -> Iterator[Autoscaling]:
    for found in _list_if_allowed(lambda: api.keda("scaledobjects")):
        spec, notes = found["spec"], found["metadata"].get("annotations") or {}
        works = all(notes.get(name, "false") == "false" for name in _PAUSED)
        if _targets(spec, deployment) and (works or paused):
            low, high = spec.get("minReplicaCount", 0), spec.get("maxReplicaCount", 100)
            yield Autoscaling("ScaledObject", found["metadata"]["name"], int(low), int(high), _trouble(found))


def _autoscalers(api: Api, deployment: str) -> Iterator[Autoscaling]:
    for autoscaler in _list_if_allowed(api.autoscalers):
        spec = autoscaler["spec"]
        if _targets(spec, deployment):
            low, high = spec.get("minReplicas", 1), spec["maxReplicas"]
            yield Autoscaling(
                "HorizontalPodAutoscaler", autoscaler["metadata"]["name"], int(low), int(high), _trouble(autoscaler)
            )


def _targets(spec: Json, deployment: str) -> bool:
    target = spec["scaleTargetRef"]
    return bool(target["name"] == deployment and target.get("kind", "Deployment") == "Deployment")


def _trouble(thing: Json) -> str:
    """Return why an autoscaler does not work, such as a missing metrics server; else empty."""
    for condition in (thing.get("status") or {}).get("conditions") or []:
        if condition.get("type") in _WORKS and condition.get("status") == "False":
            return str(condition.get("message") or condition.get("reason", ""))
    return ""


def _list_if_allowed(ask: Any) -> list[Json]:
    try:
        return list(ask())
    except RefusedError as exc:
        if exc.status not in _NOT_READABLE:
            raise
        return []


def check_bounds(low: object, high: object) -> tuple[int, int]:
    """Check and return the bounds of an autoscaler.

    Raises
    ------
    InputError
        They are not integers, or not 0 <= low <= high with 1 <= high.
    """
    if not (isinstance(low, int) and isinstance(high, int)) or isinstance(low, bool) or isinstance(high, bool):
        raise InputError(f"autoscale({low!r}, {high!r}): give two whole numbers, as in autoscale(0, 40)")
    if low < 0 or high < max(1, low):
        raise InputError(f"autoscale({low}, {high}): min must be 0 or more, and max 1 or more and not below min")
    return low, high


def autoscale(api: Api, deployment: str, low: int, high: int) -> Autoscaling:
    """Create an autoscaler for the workers, or change the existing one.

    Parameters
    ----------
    api : Api
    deployment : str
    low, high : int

    Returns
    -------
    Autoscaling
        The created or changed autoscaler.
    """
    found = _existing_autoscaler(api, deployment)
    if found is None and _has_keda(api):
        for plural, body in (
            ("triggerauthentications", trigger_authentication()),
            ("scaledobjects", scaled_object(deployment, api.namespace, low, high)),
        ):
            there = body["metadata"]["name"] in {entry["metadata"]["name"] for entry in api.keda(plural)}
            api.put_keda(plural, body, there=there)
        return Autoscaling("ScaledObject", deployment, low, high)
    if found is not None and found.kind == "ScaledObject":
        # None removes an annotation, and so ends a pause.
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


def start_first_worker(api: Api, deployment: Json, made: Autoscaling) -> None:
    """Scale an empty Deployment to `min`: a HorizontalPodAutoscaler never scales up from 0."""
    if made.kind == "HorizontalPodAutoscaler" and deployment["spec"].get("replicas", 1) == 0:
        api.scale(deployment["metadata"]["name"], made.min)


def fixed(api: Api, deployment: str) -> Autoscaling | None:
    """Delete the autoscaler of a Deployment, also a paused one, and return it."""
    found = _existing_autoscaler(api, deployment)
    if found is None:
        api.autoscalers()  # raises if this account may not list them
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


# The objects below equal those in k8s/overlays/autoscale; a test compares them.


def _metadata(name: str) -> Json:
    labels = {"app.kubernetes.io/name": "worker", "app.kubernetes.io/part-of": "warren"}
    return {"name": name, "labels": {**labels, "app.kubernetes.io/managed-by": "warren"}}


def trigger_authentication() -> Json:
    """Return the object by which KEDA logs in to RabbitMQ's management API."""
    return {
        "apiVersion": "/".join(KEDA),
        "kind": "TriggerAuthentication",
        "metadata": _metadata("rabbitmq"),
        "spec": {
            "secretTargetRef": [{"parameter": key, "name": "watcher", "key": key} for key in ("username", "password")],
        },
    }


def scaled_object(deployment: str, namespace: str, low: int, high: int) -> Json:
    """Return KEDA's object: one worker for each chunk that is queued or unacknowledged.

    https://keda.sh/docs/latest/scalers/rabbitmq-queue/
    """
    behavior = {
        "scaleUp": {
            "stabilizationWindowSeconds": 0,
            "policies": [{"type": "Pods", "value": 40, "periodSeconds": 15}],
        },
        # Longer than a chunk, so that a moment with few messages does not stop workers near a
        # study's end.
        "scaleDown": {
            "stabilizationWindowSeconds": 120,
            "policies": [{"type": "Pods", "value": 10, "periodSeconds": 60}],
        },
    }
    trigger = {
        "type": "rabbitmq",
        "authenticationRef": {"name": "rabbitmq"},
        "metadata": {
            # Over AMQP, KEDA would count queued chunks only, and stop workers that train the last
            # ones.
            "protocol": "http",
            "host": f"http://rabbitmq.{namespace}.svc.cluster.local:15672/",
            "vhostName": "/",
            # Every lane, and neither chunks.dead nor chunks.gpu, which k8s/overlays/gpu/autoscale
            # counts.
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
    """Return Kubernetes' own autoscaler: busy workers cause a scale-up."""
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
