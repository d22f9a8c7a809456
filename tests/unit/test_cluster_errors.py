"""What a person reads when the cluster is not there, not theirs, or not as they think."""

from __future__ import annotations

import base64
import socket
from collections.abc import Callable
from pathlib import Path

import pytest
from cluster_api import FakeCluster, now

from producer import Cluster
from producer.cluster import connection, kubeconfig
from warren.errors import ClusterError, WarrenError

CALLS: dict[str, Callable[[Cluster], object]] = {
    "status": lambda cluster: cluster.status(),
    "scale": lambda cluster: cluster.scale(3),
    "logs": lambda cluster: cluster.logs("worker-6d9f7c5b4-00000"),
    "autoscale": lambda cluster: cluster.autoscale(1, 4),
    "fixed": lambda cluster: cluster.fixed(),
    "connect": lambda cluster: cluster.connect(),
}
EVERY_CALL = pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)


def error_of(call: Callable[[], object]) -> str:
    with pytest.raises(ClusterError) as caught:
        call()
    assert isinstance(caught.value, WarrenError)
    assert "\n" not in str(caught.value)
    return str(caught.value)


# ------------------------------------------------------------------------- kubeconfig


def test_without_a_kubeconfig_it_says_how_to_get_one(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("KUBECONFIG", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    said = error_of(Cluster)
    assert said.startswith(f"no kubeconfig: {tmp_path}/.kube/config does not exist (KUBECONFIG is not set)")
    assert "gcloud container clusters get-credentials NAME" in said
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "elsewhere"))
    assert f"{tmp_path}/elsewhere does not exist (named by KUBECONFIG)" in error_of(Cluster)


def test_in_a_pod_its_own_account_is_used(fake: FakeCluster, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    used = []
    token = tmp_path / "token"
    token.write_text("x")
    monkeypatch.delenv("KUBECONFIG")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.0.0.1")
    monkeypatch.setattr(kubeconfig, "_TOKEN", token)
    monkeypatch.setattr(kubeconfig.config, "load_incluster_config", lambda client_configuration: used.append(1))
    assert Cluster().context == ""
    assert used == [1]


def test_an_unknown_context_is_answered_with_those_that_there_are(fake: FakeCluster) -> None:
    said = error_of(lambda: Cluster("prod"))
    assert "no context 'prod' in kubeconfig" in said
    assert said.endswith("existing contexts: here, there")
    assert Cluster("there").context == "there"


def test_a_kubeconfig_without_a_current_context_wants_one_named(
    fake: FakeCluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KUBECONFIG", str(fake.kubeconfig(tmp_path / "other", "a", "b", current=None)))
    assert "has no current context: pass one, Cluster(context=...): a, b" in error_of(Cluster)
    assert Cluster("b").status().ready == 2


def test_several_files_make_a_kubeconfig(fake: FakeCluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    second = fake.kubeconfig(tmp_path / "second", "third", current="third")
    monkeypatch.setenv("KUBECONFIG", f"{tmp_path / 'config'}:{tmp_path / 'nothing'}:{second}")
    assert Cluster().context == "here"
    assert Cluster("third").context == "third"


@pytest.mark.parametrize("text", ["contexts: [", "contexts:\n- name: here\ncurrent-context: here\n", "[]"])
def test_a_kubeconfig_that_is_none_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    path = tmp_path / "config"
    path.write_text(text)
    monkeypatch.setenv("KUBECONFIG", str(path))
    assert str(path) in error_of(Cluster)


# ------------------------------------------------------------------------- the server


@EVERY_CALL
def test_a_server_that_is_away_is_named_with_the_other_contexts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: Callable[[Cluster], object]
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    server = FakeCluster()
    server.port = port
    monkeypatch.setenv("KUBECONFIG", str(server.kubeconfig(tmp_path / "config")))
    said = error_of(lambda: call(Cluster()))
    assert said.startswith(f"no answer from the API server of cluster 'here' at http://127.0.0.1:{port} (")
    assert "refused" in said
    assert said.endswith(
        "is the cluster running, and are you in its network (VPN)?; other contexts of your kubeconfig: there"
    )


@EVERY_CALL
def test_credentials_that_are_not_accepted_say_how_to_log_in(
    fake: FakeCluster, call: Callable[[Cluster], object]
) -> None:
    fake.users.clear()
    said = error_of(lambda: call(Cluster()))
    assert said.startswith("cluster 'here' does not accept your credentials (401 Unauthorized): log in again")


def test_what_the_server_says_is_passed_on(fake: FakeCluster) -> None:
    fake.failing = 1
    said = error_of(lambda: Cluster().status())
    assert said == (
        "cluster 'here' refuses to get deployments worker in namespace tuning (503): etcdserver: leader changed"
    )


# ------------------------------------------------------------------------ permissions


@pytest.mark.parametrize(
    ("call", "verb", "resource", "group"),
    [
        ("scale", "patch", "deployments/scale", "apps"),
        ("status", "get", "deployments", "apps"),
        ("status", "list", "pods", ""),
        ("logs", "get", "pods/log", ""),
        ("autoscale", "create", "scaledobjects", "keda.sh"),
        ("fixed", "list", "horizontalpodautoscalers", "autoscaling"),
        ("connect", "get", "secrets", ""),
        ("connect", "get", "services", ""),
        ("connect", "get", "pods/portforward", ""),
        ("connect", "create", "pods/portforward", ""),
    ],
)
def test_a_missing_permission_names_who_verb_resource_and_namespace(
    fake: FakeCluster, call: str, verb: str, resource: str, group: str
) -> None:
    fake.forbidden.add((verb, resource))
    said = error_of(lambda: CALLS[call](Cluster()))
    assert said == (
        f"no permission: alice may not {verb} {resource} in namespace tuning of cluster 'here' (403 Forbidden). "
        f'An administrator of the cluster can grant it by a Role with apiGroups: ["{group}"], '
        f'resources: ["{resource}"], verbs: ["{verb}"]'
    )


# --------------------------------------------------------------------- what is missing


@EVERY_CALL
def test_a_namespace_that_is_not_there_is_answered_with_those_that_are(
    fake: FakeCluster, call: Callable[[Cluster], object]
) -> None:
    said = error_of(lambda: call(Cluster(namespace="tunning")))
    assert said.startswith(
        "no namespace 'tunning' in cluster 'here': existing namespaces: tuning. Deploy Warren there by "
    )
    fake.forbidden.add(("list", "namespaces"))
    said = error_of(lambda: call(Cluster(namespace="tunning")))
    assert said.startswith("no namespace 'tunning' in cluster 'here'. Deploy Warren there by ")


@pytest.mark.parametrize("call", ["status", "scale", "autoscale", "fixed"])
def test_a_deployment_that_is_not_there_is_answered_with_those_that_are(fake: FakeCluster, call: str) -> None:
    fake.remove("deployments", "worker")
    said = error_of(lambda: CALLS[call](Cluster()))
    assert said.startswith("no Deployment worker in namespace tuning of cluster 'here': it has none. Deploy Warren")
    fake.put("deployments", {"metadata": {"name": "web"}})
    assert ": it has web. " in error_of(lambda: CALLS[call](Cluster()))
    # Who may see neither still learns what was asked for.
    fake.forbidden |= {("list", "deployments"), ("get", "namespaces")}
    assert 'deployments.apps "worker" not found' in error_of(lambda: CALLS[call](Cluster()))


def test_a_broker_that_is_not_there_is_named(fake: FakeCluster) -> None:
    fake.get("pods", "rabbitmq-0")["status"] = {"phase": "Pending"}
    said = error_of(lambda: Cluster().connect())
    assert said == ("no pod of Service rabbitmq in namespace tuning of cluster 'here' is ready: rabbitmq-0 is Pending")
    fake.remove("services", "rabbitmq")
    said = error_of(lambda: Cluster().connect())
    assert said.startswith("no Service rabbitmq in namespace tuning of cluster 'here': it has mongodb. Is Warren")
    fake.get("secrets", "mongodb")["data"].pop("password")
    assert error_of(lambda: Cluster().connect()) == "Secret mongodb in namespace tuning has no password"
    fake.remove("secrets", "rabbitmq")
    said = error_of(lambda: Cluster().connect())
    assert said.startswith("no Secret producer and no Secret rabbitmq in namespace tuning of cluster 'here': is Warren")


def test_whoever_submits_has_a_user_of_its_own_and_the_key(fake: FakeCluster) -> None:
    def put(name: str, **values: str) -> None:
        data = {key: base64.b64encode(value.encode()).decode() for key, value in values.items()}
        fake.put("secrets", {"metadata": {"name": name}, "data": data})

    api = Cluster()._api
    assert connection._users(api) == {"rabbitmq": "warren:0123abcd", "mongodb": "warren:0123abcd"}
    assert connection._key(api) is None
    put("producer", rabbitmq_password="a/b", mongodb_password="c")
    assert connection._users(api) == {"rabbitmq": "producer:a%2Fb", "mongodb": "producer:c"}
    put("signing", key="")
    assert connection._key(api) is None
    fake.remove("secrets", "signing")
    put("signing", key="new,old")
    assert connection._key(api) == "new,old"


def test_a_node_that_is_gone_with_its_pods_is_named(fake: FakeCluster) -> None:
    def say(**more: str) -> None:
        ready = {"type": "Ready", "status": "Unknown", "message": "Kubelet stopped posting node status.", **more}
        fake.put("nodes", {"metadata": {"name": "spot-1"}, "status": {"conditions": [ready]}}, "")

    say(lastTransitionTime=now(30))
    (problem,) = Cluster().status().problems
    assert str(problem).startswith("node spot-1 with 2 pods is not ready: Kubelet stopped posting node status; ")
    assert problem.kind == "node"
    with pytest.raises(TimeoutError, match="node spot-1 with 2 pods"):  # it may only be starting again
        Cluster().scale(3, wait=True, timeout=0)
    say(lastTransitionTime=now(400))
    assert "node spot-1 with 2 pods" in error_of(lambda: Cluster().scale(3, wait=True, timeout=0))
    say(status="True")
    assert Cluster().status().problems == ()


def test_an_environment_without_the_client_says_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("producer.cluster.find_spec", lambda name: None if name == "kubernetes" else object())
    with pytest.raises(
        ClusterError, match="^kubernetes is not installed in this environment: pip install kubernetes, or"
    ):
        from producer.cluster import Cluster as _  # noqa: F401 - it is the import that fails
