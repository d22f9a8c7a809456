"""The machine under a process: its CPUs and its memory, as the kernel grants them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from warren.host import available_memory, available_threads, cpu_model

V2 = "0::/kubepods/pod7/worker"
V1 = "12:pids:/docker/abc\n4:cpu,cpuacct:/docker/abc\n1:name=systemd:/docker/abc"


@pytest.fixture(autouse=True)
def _many_cpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(64)), raising=False)


def v2(folder: Path, quota: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "cpu.max").write_text(quota + "\n")


def v1(folder: Path, quota: int, period: int = 100_000) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "cpu.cfs_quota_us").write_text(f"{quota}\n")
    (folder / "cpu.cfs_period_us").write_text(f"{period}\n")


@pytest.mark.parametrize(
    ("quota", "threads"),
    [
        ("max 100000", 64),
        ("400000 100000", 4),
        ("390000 100000", 3),
        ("100000 100000", 1),
        ("50000 100000", 1),
        ("1000 100000", 1),
        ("75000 50000", 1),
        ("1000000 10000", 64),
    ],
)
def test_a_quota_is_rounded_down_to_threads_at_least_one(tmp_path: Path, quota: str, threads: int) -> None:
    v2(tmp_path / "kubepods/pod7/worker", quota)
    assert available_threads(tmp_path, V2) == threads


@pytest.mark.parametrize(("quota", "threads"), [(-1, 64), (400_000, 4), (250_000, 2), (99_999, 1), (1000, 1)])
def test_a_quota_of_the_older_kind_counts_too(tmp_path: Path, quota: int, threads: int) -> None:
    v1(tmp_path / "cpu/docker/abc", quota)
    assert available_threads(tmp_path, V1) == threads


def test_the_period_of_a_quota_counts(tmp_path: Path) -> None:
    v1(tmp_path / "cpu/docker/abc", 40_000, period=10_000)
    assert available_threads(tmp_path, V1) == 4


@pytest.mark.parametrize("tight", ["", "kubepods", "kubepods/pod7", "kubepods/pod7/worker"])
def test_of_nested_groups_the_tightest_counts(tmp_path: Path, tight: str) -> None:
    for folder in ("kubepods", "kubepods/pod7", "kubepods/pod7/worker"):
        v2(tmp_path / folder, "800000 100000")
    v2(tmp_path / tight, "300000 100000")
    assert available_threads(tmp_path, V2) == 3


def test_nested_groups_of_the_older_kind_count_too(tmp_path: Path) -> None:
    v1(tmp_path / "cpu/docker/abc", -1)
    v1(tmp_path / "cpu/docker", 300_000)
    v1(tmp_path / "cpu", 800_000)
    assert available_threads(tmp_path, V1) == 3


def test_a_neighbour_s_quota_does_not_count(tmp_path: Path) -> None:
    root = tmp_path / "cgroup"
    v2(root / "kubepods/pod7/worker", "max 100000")
    for other in (root / "kubepods/pod7/worker/inner", root / "kubepods/pod8", tmp_path):
        v2(other, "100000 100000")
    assert available_threads(root, V2) == 64


@pytest.mark.parametrize("membership", ["0::/", "0::/not/mounted/here", "", "0::/../../kubepods"])
def test_a_container_that_sees_its_own_group_as_the_root_finds_the_quota(tmp_path: Path, membership: str) -> None:
    v2(tmp_path, "200000 100000")
    assert available_threads(tmp_path, membership) == 2


def test_a_container_finds_a_quota_of_the_older_kind_at_the_root(tmp_path: Path) -> None:
    v1(tmp_path / "cpu", 200_000)
    assert available_threads(tmp_path, V1) == 2


def test_without_control_groups_the_affinity_mask_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 3, 5}, raising=False)
    assert available_threads(tmp_path, "") == 3
    v2(tmp_path, "800000 100000")
    assert available_threads(tmp_path, "0::/") == 3


def test_without_an_affinity_mask_the_cpus_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 6)
    assert available_threads(tmp_path, "") == 6
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert available_threads(tmp_path, "") == 1


def test_a_file_that_can_not_be_read_is_no_quota(tmp_path: Path) -> None:
    (tmp_path / "cpu.max").mkdir()
    assert available_threads(tmp_path, "0::/") == 64


def test_this_machine_has_threads() -> None:
    assert 1 <= available_threads() <= 64


def test_the_cpu_has_a_model_of_one_line() -> None:
    assert cpu_model()
    assert "\n" not in cpu_model()


def test_most_of_the_tightest_memory_limit_is_a_trials(tmp_path: Path) -> None:
    folder = tmp_path / "kubepods/pod7/worker"
    folder.mkdir(parents=True)
    (folder / "memory.max").write_text("max\n")
    assert available_memory(tmp_path, V2) is None
    (folder.parent / "memory.max").write_text("2000000000\n")
    assert available_memory(tmp_path, V2) == 1_700_000_000
    (folder / "memory.max").write_text("1000000000\n")
    assert available_memory(tmp_path, V2) == 850_000_000


def test_a_memory_limit_of_version_1_counts_and_its_word_for_none_does_not(tmp_path: Path) -> None:
    folder = tmp_path / "memory/docker/abc"
    folder.mkdir(parents=True)
    membership = "4:memory:/docker/abc"
    (folder / "memory.limit_in_bytes").write_text("9223372036854771712\n")
    assert available_memory(tmp_path, membership) is None
    (folder / "memory.limit_in_bytes").write_text("1000000000\n")
    assert available_memory(tmp_path, membership) == 850_000_000
