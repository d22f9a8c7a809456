"""What is pinned, for every Python that Warren runs on: pins differ between them."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

ROOT = Path(__file__).parents[2]
PYTHONS = ("3.11", "3.12", "3.13", "3.14")
FILES = ("requirements", "requirements-dev", "requirements-worker", "requirements-gpu", "requirements-tensorflow")
NEEDED = {"numpy", "scipy", "scikit-learn", "pandas", "lightgbm", "catboost", "pika", "pymongo", "skops"}


def pins(file: str, python: str) -> dict[str, list[str]]:
    """Return what a file pins on Linux for a Python, by package."""
    here = {"python_version": python, "python_full_version": f"{python}.1", "sys_platform": "linux", "extra": ""}
    here |= {"platform_machine": "x86_64", "platform_system": "Linux", "os_name": "posix"}
    found: dict[str, list[str]] = {}
    for line in (ROOT / f"{file}.txt").read_text().splitlines():
        text = line.partition("#")[0].strip()
        if text and (one := Requirement(text)) and (one.marker is None or one.marker.evaluate(here)):
            found.setdefault(one.name, []).append(str(one.specifier))
    return found


@pytest.mark.parametrize("python", PYTHONS)
@pytest.mark.parametrize("file", FILES)
def test_a_python_has_one_version_of_everything(file: str, python: str) -> None:
    found = pins(file, python)
    assert {name: versions for name, versions in found.items() if len(versions) != 1} == {}
    assert all(versions[0].startswith("==") for versions in found.values())
    assert found.keys() >= NEEDED
    assert {"xgboost", "xgboost-cpu"} & found.keys()


@pytest.mark.parametrize("python", PYTHONS)
def test_notebooks_and_workers_on_one_python_have_the_same_versions(python: str) -> None:
    notebook, worker = pins("requirements", python), pins("requirements-worker", python)
    assert {name: version for name, version in worker.items() if notebook.get(name, version) != version} == {}


def test_every_python_that_is_allowed_is_locked_for() -> None:
    allowed = SpecifierSet(tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["requires-python"])
    assert {python for python in ("3.9", "3.10", *PYTHONS) if f"{python}.0" in allowed} == set(PYTHONS)
    assert f"\nfor python in {' '.join(PYTHONS)}; do\n" in (ROOT / "scripts/lock.sh").read_text()
