"""Each rule can fail: a manifest is broken in one place, and the rule says where and what to do."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import kubernetes_validate
import pytest
from manifest_links import LINKS
from manifest_rules import RULES
from manifests import Object, copy_with_secrets, find_kustomize, named, render

FOLDERS = ("overlays/local", "overlays/backup")
Break = Callable[[list[Object]], object]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> list[Object]:
    command = find_kustomize()
    if command is None:
        pytest.skip("no kubectl here, and no kustomize: https://kubernetes.io/docs/tasks/tools/ has them")
    copied = copy_with_secrets(tmp_path_factory.mktemp("rules"))
    return [thing for folder in FOLDERS for thing in render(command, copied / folder)]


def pod(objects: list[Object], name: str = "worker", kind: str = "Deployment") -> dict[str, Any]:
    return named(objects, kind, name)["spec"]["template"]["spec"]


def box(objects: list[Object], name: str = "worker", kind: str = "Deployment") -> dict[str, Any]:
    return pod(objects, name, kind)["containers"][0]


def broker(objects: list[Object]) -> dict[str, Any]:
    return box(objects, "rabbitmq", "StatefulSet")


def config(objects: list[Object], key: str) -> dict[str, str]:
    return next(one["data"] for one in objects if one["kind"] == "ConfigMap" and key in one["data"])


def policy(objects: list[Object], name: str) -> dict[str, Any]:
    return named(objects, "NetworkPolicy", name)["spec"]


def who_asks(objects: list[Object]) -> list[str]:
    found: list[str] = policy(objects, "dns")["podSelector"]["matchExpressions"][0]["values"]
    return found


def may(objects: list[Object]) -> dict[str, Any]:
    return named(objects, "Role", "idle-first")["rules"][0]


def service(objects: list[Object]) -> dict[str, Any]:
    return named(objects, "Service", "mongodb")["spec"]


def without(objects: list[Object], kind: str, name: str) -> None:
    objects.remove(named(objects, kind, name))


BROKEN: list[tuple[str, str, Break]] = [
    ("resources", "resources.limits.cpu is missing", lambda all_: broker(all_)["resources"]["limits"].pop("cpu")),
    ("resources", "memory is requested as 1Gi", lambda all_: box(all_)["resources"]["requests"].update(memory="1Gi")),
    ("resources", "CPU is requested as 100m", lambda all_: box(all_)["resources"]["requests"].update(cpu="100m")),
    ("probes", "livenessProbe is missing", lambda all_: broker(all_).pop("livenessProbe")),
    ("probes", "gives it 1 s", lambda all_: broker(all_)["livenessProbe"].update(exec={}, timeoutSeconds=1)),
    ("probes", "less than a minute", lambda all_: box(all_)["livenessProbe"].update(periodSeconds=5)),
    ("security", "runAsNonRoot is not true", lambda all_: pod(all_)["securityContext"].pop("runAsNonRoot")),
    ("security", "runAsUser is 0", lambda all_: pod(all_)["securityContext"].update(runAsUser=0)),
    ("security", "seccompProfile", lambda all_: pod(all_)["securityContext"].pop("seccompProfile")),
    ("security", "hostNetwork is on", lambda all_: pod(all_).update(hostNetwork=True)),
    ("security", "is a hostPath", lambda all_: pod(all_)["volumes"].append({"name": "v", "hostPath": {"path": "/"}})),
    ("security", "without sizeLimit", lambda all_: pod(all_)["volumes"][0].update(emptyDir={})),
    ("security", "allowPrivilegeEscalation", lambda all_: box(all_)["securityContext"].pop("allowPrivilegeEscalation")),
    ("security", "readOnlyRootFilesystem", lambda all_: broker(all_)["securityContext"].pop("readOnlyRootFilesystem")),
    ("security", "drop: [ALL]", lambda all_: box(all_)["securityContext"]["capabilities"].update(add=["SYS_PTRACE"])),
    ("security", "privileged is on", lambda all_: box(all_)["securityContext"].update(privileged=True)),
    ("images", "warren-worker has no fixed tag", lambda all_: box(all_).update(image="warren-worker")),
    ("images", "a.example:5000/x:latest has", lambda all_: box(all_).update(image="a.example:5000/x:latest")),
    ("images", "imagePullPolicy", lambda all_: box(all_).update(imagePullPolicy="Always")),
    ("labels", "part-of is not warren", lambda all_: named(all_, "Secret", "mongodb")["metadata"].pop("labels")),
    (
        "labels",
        "component is missing",
        lambda all_: named(all_, "Deployment", "worker")["metadata"]["labels"].pop("app.kubernetes.io/component"),
    ),
    (
        "labels",
        "keep it to",
        lambda all_: named(all_, "Deployment", "worker")["spec"]["selector"]["matchLabels"].update(version="1"),
    ),
    (
        "labels",
        "does not choose its own pods",
        lambda all_: named(all_, "Deployment", "worker")["spec"]["selector"].update(
            matchLabels={"app.kubernetes.io/name": "workers"}
        ),
    ),
    ("secrets", "is written out", lambda all_: box(all_)["env"].append({"name": "MONGO_PASSWORD", "value": "x"})),
    (
        "secrets",
        "a password in its URL",
        lambda all_: box(all_)["env"].append({"name": "AMQP_URL", "value": "amqp://warren:x@rabbitmq"}),
    ),
    ("secrets", "has a secret in it", lambda all_: config(all_, "10-warren.conf").update(x="default_pass = abc")),
    ("secrets", "looks like a secret", lambda all_: config(all_, "WARREN_HTTP_PORT").update(API_TOKEN="x")),
    (
        "tokens",
        "ServiceAccount worker: automountServiceAccountToken is not false",
        lambda all_: named(all_, "ServiceAccount", "worker").pop("automountServiceAccountToken"),
    ),
    (
        "tokens",
        "Deployment worker: automountServiceAccountToken is not false",
        lambda all_: pod(all_).pop("automountServiceAccountToken"),
    ),
    ("tokens", "is not true", lambda all_: pod(all_, "idle-first").update(automountServiceAccountToken=False)),
    ("tokens", "default ServiceAccount", lambda all_: pod(all_).pop("serviceAccountName")),
    ("tokens", "enableServiceLinks", lambda all_: pod(all_, "rabbitmq", "StatefulSet").pop("enableServiceLinks")),
    (
        "users",
        "RABBITMQ_PASSWORD is an administrator's",
        lambda all_: box(all_)["env"][1]["valueFrom"]["secretKeyRef"].update(name="rabbitmq"),
    ),
    ("permissions", "may ['list', 'patch'] ['pods']", lambda all_: may(all_).update(verbs=["list", "patch"])),
    ("permissions", "may ['list', 'delete']", lambda all_: may(all_).update(verbs=["list", "delete"])),
    ("permissions", "secrets", lambda all_: may(all_).update(resources=["secrets"])),
    ("permissions", "in every namespace", lambda all_: named(all_, "Role", "idle-first").update(kind="ClusterRole")),
    (
        "permissions",
        "only idle-first",
        lambda all_: named(all_, "RoleBinding", "idle-first")["subjects"].append({"name": "worker"}),
    ),
    ("disruptions", "mongodb: no PodDisruptionBudget", lambda all_: without(all_, "PodDisruptionBudget", "mongodb")),
    (
        "disruptions",
        "worker: has a PodDisruptionBudget",
        lambda all_: all_.append(
            {
                "kind": "PodDisruptionBudget",
                "metadata": {"name": "worker"},
                "spec": {"selector": {"matchLabels": {"app.kubernetes.io/name": "worker"}}},
            }
        ),
    ),
    (
        "pod_security",
        "enforce is not restricted",
        lambda all_: named(all_, "Namespace", "tuning")["metadata"]["labels"].update(
            {"pod-security.kubernetes.io/enforce": "baseline"}
        ),
    ),
    ("expansions", "uses $(RABBITMQ_PASSWORD)", lambda all_: box(all_)["env"].reverse()),
    ("memory_of_broker", "memory limit, 2Gi", lambda all_: broker(all_)["resources"]["limits"].update(memory="2Gi")),
    ("grace", "=30", lambda all_: config(all_, "WARREN_GRACE_SECONDS").update(WARREN_GRACE_SECONDS="25")),
    ("grace", "terminationGracePeriodSeconds=15", lambda all_: pod(all_).update(terminationGracePeriodSeconds=15)),
    (
        "spot",
        "StatefulSet mongodb: it tolerates spot",
        lambda all_: pod(all_, "mongodb", "StatefulSet").update(tolerations=[{"operator": "Exists"}]),
    ),
    ("network", "denies everything", lambda all_: without(all_, "NetworkPolicy", "default-deny")),
    (
        "network",
        "['anywhere'] reach mongodb",
        lambda all_: policy(all_, "mongodb")["ingress"][0].pop("from"),
    ),
    (
        "network",
        "reach rabbitmq on port any",
        lambda all_: policy(all_, "rabbitmq")["ingress"].append({"from": [{"podSelector": {}}]}),
    ),
    (
        "network",
        "lets Deployment worker reach ['anywhere:443']",
        lambda all_: policy(all_, "worker")["egress"].append({"ports": [{"port": 443}]}),
    ),
    (
        "network",
        "lets StatefulSet mongodb reach",
        lambda all_: policy(all_, "mongodb").update(egress=[{"ports": [{"port": 443}]}]),
    ),
    ("network", "ask node-local-dns for names", lambda all_: policy(all_, "dns")["egress"][0]["to"].pop(1)),
    ("network", "CronJob backup: no NetworkPolicy lets it ask kube-dns", lambda all_: who_asks(all_).remove("backup")),
    (
        "network",
        "CronJob backup: no NetworkPolicy lets it reach",
        lambda all_: without(all_, "NetworkPolicy", "backup"),
    ),
    ("references", "needs Secret rabbitmq", lambda all_: without(all_, "Secret", "rabbitmq")),
    ("references", "needs PersistentVolumeClaim backup", lambda all_: without(all_, "PersistentVolumeClaim", "backup")),
    ("references", "mounts the volume tmp", lambda all_: pod(all_).pop("volumes")),
    ("services", "pods of 0 workloads", lambda all_: service(all_).update(selector={"a": "b"})),
    ("services", "do not serve", lambda all_: service(all_)["ports"][0].update(port=27018)),
    (
        "mines",
        "chooses the pods of Deployment idle-first",
        lambda all_: named(all_, "Deployment", "idle-first")["spec"]["template"]["metadata"]["labels"].update(
            {"app.kubernetes.io/name": "worker"}
        ),
    ),
]


@pytest.mark.parametrize(("rule", "words", "break_it"), BROKEN, ids=[f"{rule}: {words}" for rule, words, _ in BROKEN])
def test_a_rule_says_what_is_broken(rule: str, words: str, break_it: Break, whole: list[Object]) -> None:
    broken = copy.deepcopy(whole)
    assert not list((RULES | LINKS)[rule](broken))
    break_it(broken)
    complaints = list((RULES | LINKS)[rule](broken))
    assert any(words in complaint for complaint in complaints), complaints


def test_every_rule_is_shown_to_fail() -> None:
    assert {rule for rule, _, _ in BROKEN} == set(RULES | LINKS)


def test_the_schemas_refuse_a_field_that_is_misspelt(whole: list[Object]) -> None:
    worker = copy.deepcopy(named(whole, "Deployment", "worker"))
    worker["spec"]["template"]["spec"]["enableServiceLink"] = False
    with pytest.raises(kubernetes_validate.ValidationError, match="enableServiceLink"):
        kubernetes_validate.validate(worker, "1.36", strict=True)
