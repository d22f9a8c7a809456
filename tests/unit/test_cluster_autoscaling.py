"""Autoscalers of the cluster from a notebook, against an API server over HTTP: KEDA's, and
Kubernetes' own."""

from __future__ import annotations

from pathlib import Path

import pytest
from cluster_api import FakeCluster
from ruamel.yaml import YAML

from producer import Cluster
from producer.cluster.autoscaling import horizontal_pod_autoscaler, scaled_object, trigger_authentication
from warren.errors import ClusterError, InputError

ROOT = Path(__file__).resolve().parents[2]


def test_autoscale_makes_what_the_overlay_makes_where_there_is_keda(fake: FakeCluster, cluster: Cluster) -> None:
    made = cluster.autoscale(0, 40)
    assert "ScaledObject worker" in repr(made)
    assert "KEDA" in repr(made)
    documents = list(YAML(typ="safe").load_all(ROOT / "k8s/overlays/autoscale/scaledobject.yaml"))
    assert [fake.get("triggerauthentications", "rabbitmq")["spec"], fake.get("scaledobjects", "worker")["spec"]] == [
        one["spec"] for one in documents
    ]
    assert scaled_object("worker", "tuning", 0, 40)["metadata"]["name"] == documents[1]["metadata"]["name"]
    assert trigger_authentication()["metadata"]["name"] == documents[0]["metadata"]["name"]
    # Again: other bounds, nothing else.
    cluster.autoscale(1, 8)
    spec = fake.get("scaledobjects", "worker")["spec"]
    assert (spec["minReplicaCount"], spec["maxReplicaCount"], len(spec["triggers"])) == (1, 8, 1)
    assert fake.names("horizontalpodautoscalers") == []


def test_autoscale_makes_an_autoscaler_on_cpu_without_keda(fake: FakeCluster, cluster: Cluster) -> None:
    fake.keda = False
    with pytest.raises(ClusterError) as refused:
        cluster.autoscale(0, 40)
    assert "has no KEDA" in str(refused.value)
    assert "autoscale(1, 40)" in str(refused.value)
    made = cluster.autoscale(1, 40)
    assert "HorizontalPodAutoscaler worker" in repr(made)
    assert "CPU" in repr(made)
    document = YAML(typ="safe").load(ROOT / "k8s/overlays/autoscale/hpa/horizontalpodautoscaler.yaml")
    assert fake.get("horizontalpodautoscalers", "worker")["spec"] == document["spec"]
    assert horizontal_pod_autoscaler("worker", "tuning", 1, 40)["apiVersion"] == document["apiVersion"]
    cluster.autoscale(2, 9)
    spec = fake.get("horizontalpodautoscalers", "worker")["spec"]
    assert (spec["minReplicas"], spec["maxReplicas"]) == (2, 9)


def test_an_autoscaler_on_cpu_begins_with_a_worker(fake: FakeCluster, cluster: Cluster) -> None:
    fake.keda = False
    cluster.scale(0)
    cluster.autoscale(2, 9)  # Kubernetes' own leaves a Deployment without pods as it is
    assert fake.get("deployments", "worker")["spec"]["replicas"] == 2
    fake.get("deployments", "worker")["spec"]["replicas"] = 7
    cluster.autoscale(1, 9)
    assert fake.get("deployments", "worker")["spec"]["replicas"] == 7


def test_one_with_keda_begins_with_none(fake: FakeCluster, cluster: Cluster) -> None:
    cluster.scale(0)
    cluster.autoscale(1, 9)
    assert fake.get("deployments", "worker")["spec"]["replicas"] == 0


@pytest.mark.parametrize(
    ("keda", "plural", "kind"),
    [(True, "scaledobjects", "Ready"), (False, "horizontalpodautoscalers", "ScalingActive")],
)
def test_an_autoscaler_that_can_not_measure_is_a_problem(
    fake: FakeCluster, cluster: Cluster, keda: bool, plural: str, kind: str
) -> None:
    fake.keda = keda
    cluster.autoscale(1, 8)
    assert cluster.status().problems == ()
    condition = {"type": kind, "status": "False", "reason": "Failed", "message": "unable to get metrics."}
    fake.get(plural, "worker")["status"] = {"conditions": [{"type": "Active", "status": "False"}, condition]}
    (problem,) = cluster.status().problems
    assert problem.kind == "autoscaler"
    assert str(problem).startswith(
        f"{cluster.status().steered_by} does not work: unable to get metrics; scaling by CPU needs"
    )
    assert str(problem).endswith(f"kubectl -n tuning describe {plural[:-1]} worker")
    condition["status"] = "True"
    assert cluster.status().problems == ()


@pytest.mark.parametrize("keda", [True, False])
def test_scale_refuses_what_an_autoscaler_would_undo(fake: FakeCluster, cluster: Cluster, keda: bool) -> None:
    fake.keda = keda
    cluster.autoscale(1, 8)
    kind = "ScaledObject" if keda else "HorizontalPodAutoscaler"
    with pytest.raises(ClusterError) as refused:
        cluster.scale(7)
    assert str(refused.value).startswith(
        f"scale(7): {kind} worker (1 to 8) sets the number of workers in namespace tuning"
    )
    assert "cluster.fixed()" in str(refused.value)
    assert cluster.status().steered_by == f"{kind} worker (1 to 8)"
    assert str(cluster.fixed()) == f"{kind} worker (1 to 8)"
    assert cluster.fixed() is None
    cluster.scale(7)
    assert fake.get("deployments", "worker")["spec"]["replicas"] == 7


def test_a_paused_scaled_object_steers_nothing(fake: FakeCluster, cluster: Cluster) -> None:
    cluster.autoscale(0, 8)
    fake.get("scaledobjects", "worker")["metadata"]["annotations"] = {"autoscaling.keda.sh/paused": "true"}
    cluster.scale(3)


def test_new_bounds_resume_a_paused_scaled_object(fake: FakeCluster, cluster: Cluster) -> None:
    cluster.autoscale(0, 8)
    paused = {"autoscaling.keda.sh/paused-replicas": "40", "team": "ours"}
    fake.get("scaledobjects", "worker")["metadata"]["annotations"] = dict(paused)
    cluster.autoscale(0, 4)
    assert fake.get("scaledobjects", "worker")["metadata"]["annotations"] == {"team": "ours"}
    with pytest.raises(ClusterError, match="ScaledObject worker"):
        cluster.scale(3)
    fake.get("scaledobjects", "worker")["metadata"]["annotations"] = dict(paused)
    assert (removed := cluster.fixed()) is not None
    assert removed.kind == "ScaledObject"


@pytest.mark.parametrize(("low", "high"), [(-1, 4), (4, 3), (0, 0), (1.5, 3), (1, None), (None, 3), (True, 3)])
def test_autoscale_takes_bounds(fake: FakeCluster, cluster: Cluster, low: object, high: object) -> None:
    with pytest.raises(InputError, match=r"autoscale\("):
        cluster.autoscale(low, high)  # type: ignore[arg-type]
