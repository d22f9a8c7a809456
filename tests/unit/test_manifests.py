"""Every overlay, rendered: Kubernetes' own schemas, our rules, and what the code says of the
same things."""

from __future__ import annotations

import itertools
import os
import re
import shutil
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml
from manifest_links import LINKS
from manifest_rules import RULES
from manifests import (
    DEPLOYMENTS,
    K8S,
    KEDA,
    ROOT,
    Object,
    containers,
    copy_with_secrets,
    find_kustomize,
    named,
    quantity,
    render,
    title,
)

from producer.cluster import autoscaling
from producer.cluster.deletion_cost import COST
from producer.stack import docker
from producer.users import ROLES
from warren.broker import CONSUMER_TIMEOUT_MS
from warren.queues import DEAD_QUEUE, GPU_QUEUE, LANES
from warren.settings import Settings

FOLDERS = sorted({folder for folders in DEPLOYMENTS.values() for folder in folders})
# The oldest that has what we use, and the newest that we know of.
KUBERNETES = ("1.31", "1.36")


@pytest.fixture(scope="module")
def rendered(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[Object]]:
    """Every folder's objects."""
    command = find_kustomize()
    if command is None:
        pytest.skip("no kubectl here, and no kustomize: https://kubernetes.io/docs/tasks/tools/ has them")
    copy = copy_with_secrets(tmp_path_factory.mktemp("manifests"))
    return {folder: render(command, copy / folder) for folder in FOLDERS}


def deployed(rendered: dict[str, list[Object]], name: str) -> list[Object]:
    return [thing for folder in DEPLOYMENTS[name] for thing in rendered[folder]]


def test_every_folder_with_a_kustomization_is_looked_at() -> None:
    there = {str(path.parent.relative_to(K8S)) for path in K8S.glob("**/kustomization.yaml")}
    bases = (f"base/{name}" for name in ("rabbitmq", "mongodb", "users", "worker", "idle-first"))
    parts = {"secrets", "overlays/checkpoints/mount", *bases}
    assert there - parts == set(FOLDERS)


@pytest.mark.parametrize("version", KUBERNETES)
@pytest.mark.parametrize("folder", FOLDERS)
def test_every_object_is_what_kubernetes_takes(folder: str, version: str, rendered: dict[str, list[Object]]) -> None:
    for thing in rendered[folder]:
        if thing["apiVersion"] == KEDA:
            continue
        try:
            kubernetes_validate.validate(thing, version, strict=True)
        except kubernetes_validate.ValidationError as exc:
            path = ".".join(str(part) for part in exc.path)
            pytest.fail(f"{folder}: {title(thing)}: {path}: {exc.message}")


@pytest.mark.parametrize("rule", [*RULES, *LINKS])
@pytest.mark.parametrize("name", DEPLOYMENTS)
def test_every_deployment_holds_our_rules(name: str, rule: str, rendered: dict[str, list[Object]]) -> None:
    complaints = list((RULES | LINKS)[rule](deployed(rendered, name)))
    assert not complaints, "\n".join(complaints)


def test_what_is_added_takes_the_place_of_nothing(rendered: dict[str, list[Object]]) -> None:
    for name, folders in DEPLOYMENTS.items():
        keys = [(thing["kind"], thing["metadata"]["name"]) for thing in deployed(rendered, name)]
        assert len(set(keys)) == len(keys), f"{folders} have objects of the same name"


def test_everything_lies_in_one_namespace(rendered: dict[str, list[Object]]) -> None:
    for folder, objects in rendered.items():
        for thing in objects:
            where = thing["metadata"]["name" if thing["kind"] == "Namespace" else "namespace"]
            assert where == "tuning", f"{folder}: {title(thing)} lies in {where}"


def test_the_workers_image_is_of_this_version(rendered: dict[str, list[Object]]) -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    tags = {
        container["image"].rpartition(":")[2]
        for objects in rendered.values()
        for _, container in containers(objects)
        if "warren-worker" in container["image"]
    }
    assert tags == {version, f"{version}-gpu"}, "set newTag in k8s/base and k8s/overlays/gpu"


def test_tensorboard_runs_in_the_notebooks_image_of_this_version(rendered: dict[str, list[Object]]) -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    [(_, container)] = containers(rendered["overlays/tensorboard"])
    assert container["image"] == f"warren-notebook:{version}", "set newTag in k8s/overlays/tensorboard"
    assert container["command"][:2] == ["warren", "tensorboard"]


def test_the_settings_of_a_worker_are_settings(rendered: dict[str, list[Object]]) -> None:
    known = {field.alias for field in Settings.model_fields.values()}
    for objects in rendered.values():
        for thing in objects:
            if thing["kind"] == "ConfigMap" and "WARREN_HTTP_PORT" in thing.get("data", {}):
                assert set(thing["data"]) <= known
                settings = Settings(**thing["data"])
                assert (settings.http_host, settings.http_port, settings.log_format) == ("0.0.0.0", 8080, "json")


def test_a_worker_caches_less_than_it_may_hold(rendered: dict[str, list[Object]]) -> None:
    for folder, memory in (("overlays/local", 512 * 2**20), ("overlays/gke", 3 * 2**30)):
        config = next(
            one for one in rendered[folder] if one["kind"] == "ConfigMap" and "WARREN_CACHE_BYTES" in one["data"]
        )
        assert int(config["data"]["WARREN_CACHE_BYTES"]) <= memory / 2


def test_the_broker_gives_a_chunk_as_long_as_its_queues_say(rendered: dict[str, list[Object]]) -> None:
    config = next(one for one in rendered["base"] if one["kind"] == "ConfigMap" and "10-warren.conf" in one["data"])
    assert re.search(rf"^consumer_timeout = {CONSUMER_TIMEOUT_MS}$", config["data"]["10-warren.conf"], re.MULTILINE)
    assert config["data"]["enabled_plugins"].split() == ["[rabbitmq_management,rabbitmq_prometheus]."]


def test_the_brokers_log_fills_neither_its_memory_nor_its_disk(rendered: dict[str, list[Object]]) -> None:
    for folder in ("base", "overlays/local"):
        config = next(one for one in rendered[folder] if one["kind"] == "ConfigMap" and "10-warren.conf" in one["data"])
        said = dict(re.findall(r"^([\w.]+) = (\S+)$", config["data"]["10-warren.conf"], re.MULTILINE))
        spec = named(rendered[folder], "StatefulSet", "rabbitmq")["spec"]
        memory = quantity(spec["template"]["spec"]["containers"][0]["resources"]["limits"]["memory"])
        (claim,) = spec["volumeClaimTemplates"]
        disk = quantity(claim["spec"]["resources"]["requests"]["storage"])
        # Three times: memory is given back late, and a log begins while the last one goes to the
        # queues' files.
        wanted = 3 * int(said["raft.wal_max_size_bytes"])
        assert wanted <= float(said["vm_memory_high_watermark.relative"]) * memory
        assert wanted <= disk - float(said["disk_free_limit.relative"]) * memory


def test_mongodb_starts_on_every_kernel(rendered: dict[str, list[Object]]) -> None:
    for folder in ("base", "overlays/local", "overlays/gke"):
        server = named(rendered[folder], "StatefulSet", "mongodb")["spec"]["template"]["spec"]["containers"][0]
        said = {one["name"]: one.get("value") for one in server["env"]}
        assert docker.MONGO_ENV.items() <= said.items()


def test_applying_again_leaves_the_number_of_workers_alone(rendered: dict[str, list[Object]]) -> None:
    for folder, name in (("overlays/local", "worker"), ("overlays/gke", "worker"), ("overlays/gpu", "worker-gpu")):
        assert "replicas" not in named(rendered[folder], "Deployment", name)["spec"]


def test_a_restore_stops_every_worker_and_nothing_else(rendered: dict[str, list[Object]]) -> None:
    readme = (K8S / "overlays/backup/README.md").read_text()
    (label, value) = re.search(r"scale deployment -l (\S+)=(\S+) --replicas=0", readme).groups()
    objects = deployed(rendered, "gke with everything that scales")
    chosen = [one for one in objects if one["metadata"].get("labels", {}).get(label) == value]
    workers = {one["metadata"]["name"] for one in chosen if one["kind"] == "Deployment"}
    assert workers == {"worker", "worker-gpu"}
    # As the pods that are waited for.
    for name in workers:
        assert named(objects, "Deployment", name)["spec"]["template"]["metadata"]["labels"][label] == value
    # And no autoscaler holds another Deployment.
    scaled = [one["spec"]["scaleTargetRef"]["name"] for one in objects if one["kind"] == "ScaledObject"]
    assert set(scaled) == workers


@pytest.mark.skipif(not shutil.which("kubectl"), reason="kubectl makes the Job")
def test_a_restore_alone_has_the_administrator_of_the_database(
    rendered: dict[str, list[Object]], tmp_path: Path
) -> None:
    folder = K8S / "overlays/backup"
    [cron] = [one for one in rendered["overlays/backup"] if one["kind"] == "CronJob"]
    job = {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "restore-now"}}
    job["spec"] = cron["spec"]["jobTemplate"]["spec"]
    (tmp_path / "job.yaml").write_text(yaml.safe_dump(job))
    assert "--patch-file k8s/overlays/backup/restore.yaml" in (folder / "README.md").read_text()
    command = ["kubectl", "patch", "--local", "-f", "job.yaml", "--patch-file", folder / "restore.yaml", "-o", "yaml"]
    patched = yaml.safe_load(subprocess.run(command, cwd=tmp_path, check=True, capture_output=True, timeout=60).stdout)

    def said(one: Object) -> dict[str, Any]:
        return {var["name"]: var for var in one["spec"]["template"]["spec"]["containers"][0]["env"]}

    before, after = said(job), said(patched)
    assert before["RUN"]["value"] == "backup"
    assert before["MONGO_USER"]["value"] == "backup"
    assert ROLES["backup"].database == "read"
    assert after["RUN"]["value"] == "restore"
    for name, key in (("MONGO_USER", "username"), ("MONGO_PASSWORD", "password")):
        assert after[name] == {"name": name, "valueFrom": {"secretKeyRef": {"name": "mongodb", "key": key}}}
    assert list(after).index("MONGO_USER") < list(after).index("MONGO_URL"), "Kubernetes fills in what stands before"
    assert set(before) <= set(after)


def test_on_gke_every_image_is_an_exact_version(rendered: dict[str, list[Object]]) -> None:
    for where, container in containers(rendered["overlays/gke"]):
        exact = re.search(r":\d+\.\d+\.\d+(-[a-z]+)?$|@sha256:[0-9a-f]{64}$", container["image"])
        assert exact, f"{where}: {container['image']} is another one next month: three numbers, or a digest"


def test_on_gke_only_workers_stand_on_spot_nodes(rendered: dict[str, list[Object]]) -> None:
    objects = rendered["overlays/gke"]
    worker = named(objects, "Deployment", "worker")["spec"]["template"]["spec"]
    assert worker["nodeSelector"] == {"cloud.google.com/gke-spot": "true"}
    for kind, name in (("StatefulSet", "rabbitmq"), ("StatefulSet", "mongodb"), ("Deployment", "idle-first")):
        spec = named(objects, kind, name)["spec"]
        assert spec["template"]["spec"]["nodeSelector"] == {"cloud.google.com/gke-nodepool": "standard"}
        for claim in spec.get("volumeClaimTemplates", []):
            assert claim["spec"]["storageClassName"] == "premium-rwo"


def test_two_small_nodes_hold_ten_workers_and_the_servers(rendered: dict[str, list[Object]]) -> None:
    wanted = {"cpu": 0.0, "memory": 0.0}
    for where, container in containers(rendered["overlays/local"]):
        for what in wanted:
            times = 10 if where.startswith("Deployment worker,") else 1
            wanted[what] += times * quantity(container["resources"]["requests"][what])
    # Two nodes of 2 CPUs and 4 GiB, less a CPU and a gigabyte for the system's own.
    assert wanted["cpu"] <= 3.0, wanted
    assert wanted["memory"] <= 7 * 2**30, wanted


def test_keda_counts_every_lane_and_what_is_in_hand(rendered: dict[str, list[Object]]) -> None:
    scaled = named(rendered["overlays/autoscale"], "ScaledObject", "worker")["spec"]
    (trigger,) = scaled["triggers"]
    said = trigger["metadata"]
    assert all(isinstance(value, str) for value in said.values()), "KEDA takes strings alone"
    assert [queue for queue in (*LANES, GPU_QUEUE, DEAD_QUEUE) if re.search(said["queueName"], queue)] == list(LANES)
    assert (said["protocol"], said["useRegex"], said["operation"]) == ("http", "true", "sum")
    assert (said["excludeUnacknowledged"], said["mode"], said["value"]) == ("false", "QueueLength", "1")
    assert (scaled["minReplicaCount"], scaled["scaleTargetRef"]) == (0, {"name": "worker"})
    authentication = named(
        rendered["overlays/autoscale"], "TriggerAuthentication", trigger["authenticationRef"]["name"]
    )
    assert {one["parameter"]: (one["name"], one["key"]) for one in authentication["spec"]["secretTargetRef"]} == {
        "username": ("watcher", "username"),
        "password": ("watcher", "password"),
    }


def test_keda_counts_what_waits_for_a_gpu_for_workers_with_one(rendered: dict[str, list[Object]]) -> None:
    objects = rendered["overlays/gpu/autoscale"]
    scaled = named(objects, "ScaledObject", "worker-gpu")["spec"]
    assert scaled["scaleTargetRef"] == {"name": "worker-gpu"}
    assert named(rendered["overlays/gpu"], "Deployment", "worker-gpu")
    (trigger,) = scaled["triggers"]
    said = trigger["metadata"]
    (other,) = named(rendered["overlays/autoscale"], "ScaledObject", "worker")["spec"]["triggers"]
    assert said == {
        **{name: value for name, value in other["metadata"].items() if name not in {"useRegex", "operation"}},
        "queueName": GPU_QUEUE,
    }
    authentication = named(objects, "TriggerAuthentication", trigger["authenticationRef"]["name"])
    assert authentication["spec"] == autoscaling.trigger_authentication()["spec"]


@pytest.mark.parametrize(("folder", "name"), [("autoscale", "worker"), ("gpu/autoscale", "worker-gpu")])
def test_the_autoscaler_that_keda_makes_is_what_kubernetes_takes(
    folder: str, name: str, rendered: dict[str, list[Object]]
) -> None:
    # KEDA's own kinds have no schema here. What it hands on to Kubernetes has one.
    scaled = named(rendered[f"overlays/{folder}"], "ScaledObject", name)["spec"]
    known = {
        "scaleTargetRef",
        "minReplicaCount",
        "maxReplicaCount",
        "pollingInterval",
        "cooldownPeriod",
        "advanced",
        "triggers",
    }
    assert set(scaled) <= known
    assert set(scaled["advanced"]) == {"horizontalPodAutoscalerConfig"}
    made = {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": "keda-hpa-worker"},
        "spec": {
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", **scaled["scaleTargetRef"]},
            "minReplicas": 1,
            "maxReplicas": scaled["maxReplicaCount"],
            **scaled["advanced"]["horizontalPodAutoscalerConfig"],
        },
    }
    kubernetes_validate.validate(made, KUBERNETES[-1], strict=True)


def test_the_notebook_asks_for_the_same_autoscalers(rendered: dict[str, list[Object]]) -> None:
    # Cluster.autoscale(0, 40) and the overlays are two ways to one thing.
    keda, hpa = rendered["overlays/autoscale"], rendered["overlays/autoscale/hpa"]
    pairs = (
        (autoscaling.scaled_object("worker", "tuning", 0, 40), named(keda, "ScaledObject", "worker")),
        (autoscaling.trigger_authentication(), named(keda, "TriggerAuthentication", "rabbitmq")),
        (
            autoscaling.horizontal_pod_autoscaler("worker", "tuning", 1, 40),
            named(hpa, "HorizontalPodAutoscaler", "worker"),
        ),
    )
    for made, written in pairs:
        assert made["spec"] == written["spec"]
        assert made["apiVersion"] == written["apiVersion"]


def test_the_command_in_the_readme_puts_the_registry_in(tmp_path: Path) -> None:
    if (command := find_kustomize()) is None:
        pytest.skip("no kubectl here, and no kustomize: https://kubernetes.io/docs/tasks/tools/ has them")
    copy = copy_with_secrets(tmp_path)
    (line,) = [line for line in (K8S / "overlays/gke/README.md").read_text().splitlines() if line.startswith("perl")]
    environment = {"PROJECT": "mine", "REGION": "here", "PATH": os.environ["PATH"]}
    subprocess.run(["bash", "-c", line], cwd=copy.parent, env=environment, check=True)
    images = {
        container["image"]
        for name in ("gke", "gpu", "tensorboard")
        for _, container in containers(render(command, copy / "overlays" / name))
        if "warren" in container["image"]
    }
    registry = "here-docker.pkg.dev/mine/warren"
    assert images == {
        f"{registry}/warren-worker:0.1.0",
        f"{registry}/warren-worker:0.1.0-gpu",
        f"{registry}/warren-notebook:0.1.0",
    }


def test_a_scale_down_waits_longer_than_a_chunk_takes(rendered: dict[str, list[Object]]) -> None:
    keda = named(rendered["overlays/autoscale"], "ScaledObject", "worker")["spec"]
    hpa = named(rendered["overlays/autoscale/hpa"], "HorizontalPodAutoscaler", "worker")["spec"]
    for behavior in (keda["advanced"]["horizontalPodAutoscalerConfig"]["behavior"], hpa["behavior"]):
        assert behavior["scaleDown"]["stabilizationWindowSeconds"] >= 60, "a chunk takes up to a minute"


def test_idle_first_changes_one_annotation_of_workers_and_no_image(rendered: dict[str, list[Object]]) -> None:
    objects = rendered["overlays/local"]
    may = {tuple(rule["resources"]): rule["verbs"] for rule in named(objects, "Role", "idle-first")["rules"]}
    assert may == {("pods",): ["list"], ("pods/status",): ["patch"]}
    policy = named(objects, "ValidatingAdmissionPolicy", "warren-idle-first")
    spec = policy["spec"]
    assert spec["failurePolicy"] == "Fail"
    assert "request.namespace + ':idle-first'" in spec["matchConditions"][0]["expression"]
    said = " ".join(one["expression"] for one in (*spec["variables"], *spec["validations"]))
    assert f"'{COST}'" in said
    assert "object.spec == oldObject.spec" in said
    binding = named(objects, "ValidatingAdmissionPolicyBinding", "warren-idle-first")["spec"]
    assert (binding["policyName"], binding["validationActions"]) == (policy["metadata"]["name"], ["Deny"])


def test_who_makes_users_knows_every_password_that_it_sets(rendered: dict[str, list[Object]]) -> None:
    job = named(rendered["overlays/local"], "Job", "users")["spec"]
    (container,) = job["template"]["spec"]["containers"]
    known = {one["name"] for one in container["env"]}
    for name, role in ROLES.items():
        for server, has in (("RABBITMQ", role.broker), ("MONGO", role.database)):
            assert (f"{name.upper()}_{server}_PASSWORD" in known) == bool(has), name
    assert job["ttlSecondsAfterFinished"], "applying again makes another one"


def test_every_folder_is_explained() -> None:
    for folder, name in itertools.product(("overlays",), ("local", "gke", "gpu", "autoscale", "backup", "tensorboard")):
        assert (K8S / folder / name / "README.md").exists()
