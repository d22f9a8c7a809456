"""The volume of checkpoints, mounted into the workers of other overlays as its README says."""

from __future__ import annotations

from pathlib import Path

import pytest
from manifest_rules import RULES
from manifests import ROOT, Object, copy_with_secrets, find_kustomize, named, render, template_of

LINES = "components:\n  - ../checkpoints/mount\n"


@pytest.fixture(scope="module")
def rendered(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[Object]]:
    """Overlays with the lines that the README names."""
    command = find_kustomize()
    if command is None:
        pytest.skip("no kubectl here, and no kustomize: https://kubernetes.io/docs/tasks/tools/ has them")
    copy = copy_with_secrets(tmp_path_factory.mktemp("checkpoints"))
    for name in ("local", "gke", "gpu"):
        with (copy / "overlays" / name / "kustomization.yaml").open("a") as file:
            file.write(LINES)
    return {name: render(command, copy / "overlays" / name) for name in ("local", "gke", "gpu", "checkpoints")}


@pytest.mark.parametrize(("overlay", "workers"), [("local", "worker"), ("gke", "worker"), ("gpu", "worker-gpu")])
def test_workers_of_every_overlay_mount_the_one_volume(
    overlay: str, workers: str, rendered: dict[str, list[Object]]
) -> None:
    claim = named(rendered["checkpoints"], "PersistentVolumeClaim", "checkpoints")
    assert claim["spec"]["accessModes"] == ["ReadWriteMany"]
    assert claim["metadata"]["namespace"] == "tuning"
    deployment = named(rendered[overlay], "Deployment", workers)
    template = template_of(deployment)
    assert template is not None
    spec = template["spec"]
    assert {"name": "checkpoints", "persistentVolumeClaim": {"claimName": "checkpoints"}} in spec["volumes"]
    [container] = spec["containers"]
    assert {"name": "checkpoints", "mountPath": "/checkpoints"} in container["volumeMounts"]
    assert {"name": "WARREN_CHECKPOINTS", "value": "/checkpoints"} in container["env"]
    assert spec["securityContext"]["fsGroup"] == spec["securityContext"]["runAsUser"] == 10001
    others = [one for one in rendered[overlay] if one["kind"] in {"Deployment", "StatefulSet"} and one != deployment]
    assert "checkpoints" not in str(others), "nothing else mounts it"


@pytest.mark.parametrize("overlay", ["local", "gke"])
def test_the_rules_hold_with_the_volume_too(overlay: str, rendered: dict[str, list[Object]]) -> None:
    objects = [*rendered[overlay], *rendered["gpu"], *rendered["checkpoints"]]
    assert [said for rule in RULES.values() for said in rule(objects)] == []


def test_the_readme_has_these_lines() -> None:
    assert f"```yaml\n{LINES}```" in (ROOT / "k8s" / "overlays" / "checkpoints" / "README.md").read_text()
    assert Path(ROOT / "k8s" / "overlays" / "checkpoints" / "mount" / "kustomization.yaml").exists()
