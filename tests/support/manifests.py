"""The Kubernetes manifests as a cluster would get them: rendered by kustomize, with secrets of the
test's own."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeAlias

from ruamel.yaml import YAML

import producer

Object: TypeAlias = dict[str, Any]

ROOT = Path(producer.__file__).parents[1]
K8S = ROOT / "k8s"
PASSWORD = "0123456789abcdef" * 3

# What a user applies, one folder after the other: the first is a whole deployment, others are
# added to one.
DEPLOYMENTS = {
    "base": ("base",),
    "local": ("overlays/local",),
    "gke": ("overlays/gke",),
    "gke and gpu": ("overlays/gke", "overlays/gpu"),
    "gke, gpu and its autoscale": ("overlays/gke", "overlays/gpu", "overlays/gpu/autoscale"),
    "gke with everything that scales": (
        *("overlays/gke", "overlays/gpu"),
        *("overlays/gpu/autoscale", "overlays/autoscale"),
    ),
    "gke and autoscale": ("overlays/gke", "overlays/autoscale"),
    "local and hpa": ("overlays/local", "overlays/autoscale/hpa"),
    "gke and backup": ("overlays/gke", "overlays/backup"),
    "gke, gpu and checkpoints": ("overlays/gke", "overlays/gpu", "overlays/checkpoints"),
    "local and tensorboard": ("overlays/local", "overlays/tensorboard"),
    "gke and tensorboard": ("overlays/gke", "overlays/tensorboard"),
}
# Kubernetes' kinds have schemas in kubernetes-validate; KEDA's do not, and are looked at by tests
# of their own.
KEDA = "keda.sh/v1alpha1"
WORKLOADS = ("Deployment", "StatefulSet", "CronJob", "Job", "DaemonSet")
# The secrets and what is in each.
SECRETS = {
    "rabbitmq": ("username", "password"),
    "mongodb": ("username", "password"),
    "worker": ("rabbitmq_password", "mongodb_password"),
    "producer": ("rabbitmq_password", "mongodb_password"),
    "viewer": ("mongodb_password",),
    "watcher": ("username", "password"),
    "backup": ("mongodb_password",),
    "signing": ("key",),
}
_RENDER_SECONDS = 60.0


def find_kustomize() -> list[str] | None:
    """Return the command that renders a folder, or None where there is none."""
    for name, *arguments in (("kubectl", "kustomize"), ("kustomize", "build")):
        if found := shutil.which(name):
            return [found, *arguments]
    return None


def copy_with_secrets(folder: Path) -> Path:
    """Copy the manifests and give them secrets; return the copy. The user's own secrets stay
    where they are."""
    copy = folder / "k8s"
    shutil.copytree(
        K8S, copy, ignore=lambda where, names: [n for n in names if where.endswith("secrets") and ".env" in n]
    )
    for name, keys in SECRETS.items():
        values = {"username": "watcher" if name == "watcher" else "warren"}
        lines = [f"{key}={values.get(key, PASSWORD)}\n" for key in keys]
        (copy / "secrets" / f"{name}.env").write_text("".join(lines))
    return copy


def render(command: list[str], folder: Path) -> list[Object]:
    """Render a folder with kustomize; fail with what it says."""
    done = subprocess.run([*command, str(folder)], capture_output=True, text=True, timeout=_RENDER_SECONDS)
    assert done.returncode == 0, f"{folder} does not build: {done.stderr}"
    # A field that kustomize calls deprecated is one that it will not know one day.
    assert "deprecated" not in done.stderr, done.stderr
    return parse(done.stdout)


def parse(text: str) -> list[Object]:
    return [document for document in YAML(typ="safe").load_all(text) if document]


def named(objects: list[Object], kind: str, name: str) -> Object:
    """Return the one object of a kind and a name."""
    found = [one for one in objects if one["kind"] == kind and one["metadata"]["name"] == name]
    assert len(found) == 1, f"{len(found)} objects are {kind} {name}"
    return found[0]


def title(thing: Object) -> str:
    return f"{thing['kind']} {thing['metadata']['name']}"


def template_of(thing: Object) -> Object | None:
    """Return the pod template of a workload, None of anything else."""
    if thing["kind"] not in WORKLOADS:
        return None
    spec = thing["spec"]["jobTemplate"]["spec"] if thing["kind"] == "CronJob" else thing["spec"]
    return spec["template"]


def pods(objects: list[Object]) -> Iterator[tuple[str, Object]]:
    """Yield each pod template with the title of its workload."""
    for thing in objects:
        if (template := template_of(thing)) is not None:
            yield title(thing), template


def containers(objects: list[Object]) -> Iterator[tuple[str, Object]]:
    """Yield each container, of initialisation too, with where it stands."""
    for where, template in pods(objects):
        spec = template["spec"]
        for one in [*spec.get("initContainers", []), *spec["containers"]]:
            yield f"{where}, container {one['name']}", one


def quantity(text: str | int) -> float:
    """Return a Kubernetes quantity as a number: CPUs or bytes."""
    units = {"m": 1e-3, "Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "k": 1e3, "M": 1e6, "G": 1e9}
    text = str(text)
    for unit in sorted(units, key=len, reverse=True):
        if text.endswith(unit):
            return float(text.removesuffix(unit)) * units[unit]
    return float(text)
