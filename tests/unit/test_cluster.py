"""The cluster from a notebook, against an API server over HTTP: workers, their state and logs."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from cluster_api import FakeCluster, event, now, pod, unschedulable, waiting
from polling import until

from producer import Cluster
from producer.cluster import cluster as cluster_module
from warren.errors import ClusterError, InputError

ROOT = Path(__file__).resolve().parents[2]
FIRST = "worker-6d9f7c5b4-00000"


def error_of(call) -> str:
    with pytest.raises(ClusterError) as caught:
        call()
    return str(caught.value)


# ------------------------------------------------------------------------------ scale


def test_scale_patches_the_deployment_and_returns(fake: FakeCluster, cluster: Cluster) -> None:
    assert cluster.scale(40) is None
    assert fake.get("deployments", "worker")["spec"]["replicas"] == 40
    assert fake.requests[-1] == ("PATCH", "/apis/apps/v1/namespaces/tuning/deployments/worker/scale")
    cluster.scale(0)
    assert fake.get("deployments", "worker")["spec"]["replicas"] == 0


@pytest.mark.parametrize("number", [-1, 1.5, "4", None, True])
def test_scale_takes_whole_numbers_from_0(fake: FakeCluster, cluster: Cluster, number: object) -> None:
    with pytest.raises(InputError, match="give a whole number of workers, 0 or more"):
        cluster.scale(number)  # type: ignore[arg-type]
    assert fake.requests == []


def test_scale_waits_until_so_many_are_ready_and_the_others_are_gone(
    fake: FakeCluster, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster_module, "_LOOK_SECONDS", 0.01)
    looks = []

    def later(count: int) -> None:
        assert count == 1
        gone = fake.get("pods", "worker-6d9f7c5b4-00001")
        gone["metadata"]["deletionTimestamp"] = now()

        def look(_: object) -> None:
            looks.append(1)
            if len(looks) == 3:
                fake.remove("pods", "worker-6d9f7c5b4-00001")

        monkeypatch.setattr(cluster_module.time, "sleep", look)

    fake.on_scale = later
    cluster.scale(1, wait=True, timeout=30)
    assert len(looks) == 3


def test_scale_says_that_not_all_came_in_time(fake: FakeCluster, cluster: Cluster) -> None:
    with pytest.raises(TimeoutError, match=r"2 of 3 workers are ready after 0 s, 2 pods are there"):
        cluster.scale(3, wait=True, timeout=0)


@pytest.mark.parametrize(
    ("reason", "message"),
    [
        ("ImagePullBackOff", 'Back-off pulling image "warren-worker:9.9"'),
        ("ErrImagePull", 'failed to pull image "warren-worker:9.9": not found'),
        ("ErrImageNeverPull", 'Container image "warren-worker:9.9" is not present with pull policy of Never'),
    ],
)
def test_scale_does_not_wait_for_an_image_that_cannot_be_pulled(
    fake: FakeCluster, cluster: Cluster, reason: str, message: str
) -> None:
    fake.on_scale = lambda count: fake.put("pods", waiting("worker-6d9f7c5b4-00009", reason, message)) and None
    said = error_of(lambda: cluster.scale(3, wait=True, timeout=30))
    assert said.startswith("2 of 3 workers are ready: 1 pod (worker-6d9f7c5b4-00009) can't get the image: ")
    assert f"{reason} warren-worker:9.9: {message}" in said
    assert "kind load docker-image" in said


def exceed_quota(fake: FakeCluster) -> None:
    message = (
        'pods "worker-6d9f7c5b4-x" is forbidden: exceeded quota: team, requested: cpu=1, used: cpu=2, limited: cpu=2'
    )
    failure = {"type": "ReplicaFailure", "status": "True", "reason": "FailedCreate", "message": message}
    fake.get("deployments", "worker")["status"]["conditions"] = [failure | {"lastTransitionTime": now()}]


def test_scale_does_not_wait_for_what_a_quota_forbids(fake: FakeCluster, cluster: Cluster) -> None:
    fake.on_scale = lambda count: exceed_quota(fake)
    said = error_of(lambda: cluster.scale(3, wait=True, timeout=30))
    assert "the namespace's quota is used up" in said
    assert "requested: cpu=1, used: cpu=2, limited: cpu=2" in said
    assert "kubectl -n tuning describe resourcequota" in said


def test_scale_waits_for_nodes_only_as_long_as_a_pool_takes_to_grow(fake: FakeCluster, cluster: Cluster) -> None:
    fake.put("pods", unschedulable("worker-6d9f7c5b4-00009", seconds=30))
    with pytest.raises(TimeoutError, match="Insufficient cpu"):
        cluster.scale(3, wait=True, timeout=0)
    fake.put("pods", unschedulable("worker-6d9f7c5b4-00009", seconds=400))
    said = error_of(lambda: cluster.scale(3, wait=True, timeout=0))
    assert "1 pod (worker-6d9f7c5b4-00009) finds no node: 0/2 nodes are available: 2 Insufficient cpu. " in said


# ----------------------------------------------------------------------------- status


def test_status_shows_workers_and_servers_with_their_nodes(fake: FakeCluster, cluster: Cluster) -> None:
    found = cluster.status()
    assert (found.ready, found.wanted, found.phases, found.preemptible) == (2, 2, {"Running": 2}, 2)
    assert [(one.name, one.node, one.preemptible) for one in found.pods] == [
        (FIRST, "spot-1", True),
        ("worker-6d9f7c5b4-00001", "spot-1", True),
        ("mongodb-0", "standard-1", False),
        ("rabbitmq-0", "standard-1", False),
    ]
    assert found.problems == ()
    text, html = str(found), found._repr_html_()
    assert "2 of 2 workers ready · 2 Running · 2 preemptible · 0 restarts · 0 evictions" in text
    assert FIRST in text
    assert FIRST in html
    assert repr(found) == text


@pytest.mark.parametrize(
    ("label", "value"),
    [
        ("cloud.google.com/gke-spot", "true"),
        ("cloud.google.com/gke-preemptible", "true"),
        ("eks.amazonaws.com/capacityType", "SPOT"),
        ("kubernetes.azure.com/scalesetpriority", "spot"),
        ("karpenter.sh/capacity-type", "spot"),
    ],
)
def test_every_cloud_says_in_its_own_way_that_a_node_is_preemptible(
    fake: FakeCluster, cluster: Cluster, label: str, value: str
) -> None:
    fake.put("nodes", {"metadata": {"name": "spot-1", "labels": {label: value}}}, "")
    assert cluster.status().preemptible == 2
    fake.put("nodes", {"metadata": {"name": "spot-1", "labels": {label: "ON_DEMAND"}}}, "")
    assert cluster.status().preemptible == 0


def test_without_permission_for_nodes_and_events_the_rest_is_shown(fake: FakeCluster, cluster: Cluster) -> None:
    fake.forbidden |= {("list", "nodes"), ("list", "events"), ("list", "horizontalpodautoscalers")}
    fake.forbidden |= {("list", "scaledobjects")}
    found = cluster.status()
    assert found.ready == 2
    assert found.preemptible is None
    text = str(found)
    assert "preemptible: unknown" in text
    assert "this account may not list nodes and events" in text
    assert "unknown" in found._repr_html_()


def test_status_counts_evictions_of_pods_that_are_gone_too(fake: FakeCluster, cluster: Cluster) -> None:
    fake.put("pods", pod("worker-6d9f7c5b4-0000a", phase="Failed", reason="Evicted", conditions=[]))
    target = {"type": "DisruptionTarget", "status": "True", "reason": "PreemptionByScheduler"}
    fake.put("pods", pod("worker-6d9f7c5b4-0000b", phase="Failed", conditions=[target]))
    for name, reason in (
        ("worker-6d9f7c5b4-0000a", "Evicted"),  # the same once more
        ("worker-6d9f7c5b4-gone1", "TaintManagerEviction"),
        ("worker-6d9f7c5b4-gone2", "Preempted"),
        ("worker-6d9f7c5b4-00000", "Pulled"),
        ("mongodb-0", "Evicted"),
    ):
        fake.put("events", event(name, reason))
    found = cluster.status()
    assert found.evictions == 4
    assert {one.reason for one in found.workers} == {"", "Evicted", "PreemptionByScheduler"}
    assert found.ready == 2


def test_status_says_how_a_container_last_ended(fake: FakeCluster, cluster: Cluster) -> None:
    ended = {"terminated": {"reason": "OOMKilled", "exitCode": 137}}
    containers = [{"name": "worker", "restartCount": 3, "state": {"running": {}}, "lastState": ended}]
    fake.put("pods", pod(FIRST, containerStatuses=containers))
    found = cluster.status()
    first = next(one for one in found.pods if one.name == FIRST)
    assert (first.ready, first.restarts, first.reason) == (True, 3, "OOMKilled")
    assert found.restarts == 3


def test_status_names_each_problem_once_with_what_to_do(fake: FakeCluster, cluster: Cluster) -> None:
    for number in (3, 4):
        name = f"worker-6d9f7c5b4-0000{number}"
        fake.put("pods", waiting(name, "ImagePullBackOff", 'Back-off pulling image "warren-worker:9.9"'))
    message = "back-off 5m0s restarting failed container=worker pod=worker-6d9f7c5b4-00005_tuning"
    fake.put("pods", waiting("worker-6d9f7c5b4-00005", "CrashLoopBackOff", message))
    fake.put("pods", waiting("worker-6d9f7c5b4-00006", "CreateContainerConfigError", 'secret "rabbitmq" not found'))
    fake.put("pods", unschedulable("worker-6d9f7c5b4-00007", seconds=5))
    exceed_quota(fake)
    found = cluster.status()
    assert [one.kind for one in found.problems] == ["quota", "image", "crash", "configuration", "unschedulable"]
    text = " ".join(str(found).split())
    assert "2 pods (such as worker-6d9f7c5b4-00003) can't get the image: ImagePullBackOff warren-worker:9.9" in text
    assert 'cluster.logs("worker-6d9f7c5b4-00005")' in text
    assert 'secret "rabbitmq" not found' in text
    assert found._repr_html_().count('class="w-notice"') == 5


def test_what_a_cluster_says_is_no_markup(fake: FakeCluster, cluster: Cluster) -> None:
    evil = '<img src=x onerror="alert(1)">[bold]'
    fake.put("pods", waiting("worker-6d9f7c5b4-00003", "ErrImagePull", evil))
    found = cluster.status()
    html = found._repr_html_()
    assert "<img" not in html
    assert "&lt;img" in html
    assert "[bold]" in "".join(str(found).split())


# ------------------------------------------------------------------------------- logs


def test_logs_are_the_last_lines(fake: FakeCluster, cluster: Cluster) -> None:
    fake.logs[FIRST] = [f"line {number} ü" for number in range(200)]
    assert cluster.logs(FIRST).splitlines() == fake.logs[FIRST][-100:]
    assert cluster.logs(FIRST, lines=2) == "line 198 ü\nline 199 ü\n"


def test_logs_follow_line_by_line_until_the_pod_ends(fake: FakeCluster, cluster: Cluster) -> None:
    fake.logs[FIRST] = ["one", "two"]
    lines = cluster.logs(FIRST, lines=1, follow=True)
    assert next(lines) == "two"
    for said in ("three", "vier ü"):
        fake.say(FIRST, said)
        assert next(lines) == said
    fake.say(FIRST, None)
    assert list(lines) == []


def test_a_pod_is_found_by_the_beginning_of_its_name(fake: FakeCluster, cluster: Cluster) -> None:
    fake.logs["rabbitmq-0"] = ["up"]
    assert cluster.logs("rabb") == "up\n"
    assert "2 pods begin with 'worker'" in error_of(lambda: cluster.logs("worker"))
    said = error_of(lambda: cluster.logs("redis"))
    assert said.startswith(
        "no pod 'redis' in namespace tuning of cluster 'here': existing pods: mongodb-0, rabbitmq-0, "
    )


def test_a_pod_without_a_log_says_why(fake: FakeCluster, cluster: Cluster) -> None:
    said = error_of(lambda: cluster.logs(FIRST))
    assert said.startswith(f"pod {FIRST} has no log yet: ")
    assert "trying and failing to pull image" in said
    with pytest.raises(InputError, match="lines=0"):
        cluster.logs(FIRST, lines=0)


# ---------------------------------------------------------------------------- imports


@pytest.mark.slow
def test_the_kubernetes_client_is_imported_for_a_cluster_only() -> None:
    script = """
import sys
import producer, producer.cluster, producer.cli, producer.cluster.deletion_cost
heavy = {"kubernetes", "aiohttp", "urllib3", "requests"}
assert not heavy & set(sys.modules), heavy & set(sys.modules)
producer.Cluster
assert "kubernetes" in sys.modules
"""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_the_fake_follows_a_scale(fake: FakeCluster, cluster: Cluster) -> None:
    fake.on_scale = lambda count: [fake.put("pods", pod(f"worker-6d9f7c5b4-{n:05x}")) for n in range(count)] and None
    cluster.scale(5, wait=True, timeout=30)
    until(lambda: cluster.status().ready == 5, 10)
