"""GPUs found by what a driver leaves in folders, and owned by one worker at a time: with folders of
the test's own."""

from __future__ import annotations

import fcntl
import logging
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from polling import until

from warren.queues import GPU_QUEUE, LANES
from worker.process.gpus import GpuClaim, claim_gpu, find_gpus, lock_folder

UUIDS = ["GPU-0a1b2c3d-0000-1111-2222-333344445555", "GPU-ffff0000-aaaa-bbbb-cccc-ddddeeeeffff"]


class Machine:
    """A machine's folders, with so many GPUs."""

    def __init__(self, folder: Path, gpus: int, *, told: bool = True, minors: tuple[int, ...] = ()) -> None:
        self.driver, self.nodes = folder / "driver", folder / "dev"
        self.driver.mkdir()
        self.nodes.mkdir()
        for name in ("nvidiactl", "nvidia-uvm", "nvidia-caps", "null"):
            (self.nodes / name).touch()
        for number in range(gpus):
            minor = minors[number] if minors else number
            (self.nodes / f"nvidia{minor}").touch()
            if told:
                about = self.driver / f"0000:0{number}:00.0"
                about.mkdir()
                (about / "information").write_text(
                    f"Model: \t\t Some GPU\nIRQ:   \t\t 100\nGPU UUID: \t {UUIDS[number]}\nDevice Minor: \t {minor}\n"
                )

    def find(self, **environ: str) -> dict[str, str]:
        return find_gpus(environ, self.driver, self.nodes)

    def take(self, device: str = "auto", **environ: str) -> GpuClaim:
        return claim_gpu(device, environ, self.driver, self.nodes)


@pytest.fixture(autouse=True)
def own_locks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "tmp"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


@pytest.fixture
def two(tmp_path: Path) -> Machine:
    return Machine(tmp_path, 2)


def test_a_machine_without_a_driver_has_no_gpu(tmp_path: Path) -> None:
    assert find_gpus({}, tmp_path / "driver", tmp_path / "dev") == {}
    assert Machine(tmp_path, 0).find() == {}


def test_gpus_go_by_their_uuids(two: Machine) -> None:
    assert two.find() == {uuid: uuid for uuid in UUIDS}
    assert two.find(NVIDIA_VISIBLE_DEVICES="all") == {uuid: uuid for uuid in UUIDS}


def test_a_container_has_those_whose_nodes_it_has(tmp_path: Path) -> None:
    machine = Machine(tmp_path, 2)
    (machine.nodes / "nvidia0").unlink()
    assert list(machine.find()) == [UUIDS[1]]


@pytest.mark.parametrize("text", ["", "GPU UUID: GPU-????????-????\nDevice Minor: 4", "Model: ?"])
def test_a_driver_that_says_nothing_leaves_the_numbers_that_cuda_counts(tmp_path: Path, text: str) -> None:
    machine = Machine(tmp_path, 2, told=False, minors=(4, 7))
    (machine.driver / "0000:01:00.0").mkdir()
    (machine.driver / "0000:01:00.0" / "information").write_text(text)
    assert list(machine.find()) == ["0", "1"]


@pytest.mark.parametrize("none", ["none", "void", "", "NONE"])
def test_a_container_that_is_to_have_none_has_none(two: Machine, none: str) -> None:
    assert two.find(NVIDIA_VISIBLE_DEVICES=none) == {}


@pytest.mark.parametrize(
    ("chosen", "found"),
    [
        ("", {}),
        ("-1", {}),
        ("NoDevFiles", {}),
        ("1", {"1": UUIDS[1]}),
        ("1,0", {"1": UUIDS[1], "0": UUIDS[0]}),
        ("1,-1,0", {"1": UUIDS[1]}),
        ("2", {}),
        (UUIDS[1], {UUIDS[1]: UUIDS[1]}),
        ("GPU-ffff", {"GPU-ffff": UUIDS[1]}),
        ("MIG-1234", {"MIG-1234": "MIG-1234"}),
    ],
)
def test_cuda_visible_devices_says_which_and_in_what_order(two: Machine, chosen: str, found: dict[str, str]) -> None:
    assert two.find(CUDA_VISIBLE_DEVICES=chosen) == found
    assert list(two.find(CUDA_VISIBLE_DEVICES=chosen)) == list(found)


def test_parts_of_a_gpu_are_devices_of_their_own(two: Machine) -> None:
    assert list(two.find(NVIDIA_VISIBLE_DEVICES="MIG-1,MIG-2")) == ["MIG-1", "MIG-2"]


def test_two_workers_on_a_machine_with_two_get_one_each_and_a_third_none(two: Machine) -> None:
    places = [two.take() for _ in range(3)]
    assert [place.gpu for place in places] == [*UUIDS, None]
    assert [place.takes_gpu_trials for place in places] == [True, True, False]
    assert [place.device for place in places] == ["gpu", "gpu", "cpu"]
    assert places[0].lanes == (GPU_QUEUE, *LANES)
    assert places[2].lanes == LANES


def test_a_number_and_a_uuid_are_one_gpu(two: Machine) -> None:
    assert two.take(CUDA_VISIBLE_DEVICES="1").gpu == "1"
    assert two.take(CUDA_VISIBLE_DEVICES=UUIDS[1]).gpu is None
    assert two.take().gpu == UUIDS[0]


CLAIM = """
import sys, time
from pathlib import Path
from worker.process.gpus import claim_gpu
place = claim_gpu("auto", {}, Path(sys.argv[1]), Path(sys.argv[2]))
print(place.gpu, flush=True)
time.sleep(60)
"""


def test_a_worker_that_was_killed_leaves_its_gpu_to_the_next(tmp_path: Path, own_locks: Path) -> None:
    machine = Machine(tmp_path, 1)
    command = [sys.executable, "-c", CLAIM, str(machine.driver), str(machine.nodes)]
    root = str(Path(__file__).parents[2])
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, env={**os.environ, "TMPDIR": str(own_locks)}, cwd=root
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline().strip() == UUIDS[0]
        assert machine.take() == GpuClaim()
        other.send_signal(signal.SIGKILL)
        other.wait(10)
    until(lambda: machine.take().gpu == UUIDS[0], what="the kernel has taken the lock back")


def test_a_lock_outlives_its_worker_with_its_training_process(tmp_path: Path) -> None:
    machine = Machine(tmp_path, 1)
    place = machine.take()
    assert place.lock is not None
    child = subprocess.Popen(["sleep", "60"], pass_fds=[place.lock])
    os.close(place.lock)
    assert machine.take().gpu is None
    child.kill()
    child.wait(10)
    until(lambda: machine.take().gpu == UUIDS[0], what="both are gone")


def test_a_lock_that_is_removed_while_it_is_taken_is_taken_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine = Machine(tmp_path, 1)
    path = lock_folder() / f"{UUIDS[0]}.lock"
    flock, removed = fcntl.flock, []

    def removed_first(descriptor: int, how: int) -> None:
        flock(descriptor, how)
        if path.exists() and not removed and os.path.samestat(os.fstat(descriptor), path.stat()):
            removed.append(path.unlink())

    monkeypatch.setattr(fcntl, "flock", removed_first)
    assert machine.take().gpu == UUIDS[0]
    assert removed
    assert machine.take() == GpuClaim(), "the lock that is there is held"


def test_the_folder_of_locks_is_held_so_that_cleaners_leave_it_alone(tmp_path: Path) -> None:
    Machine(tmp_path, 1).take()
    folder = os.open(lock_folder(), os.O_RDONLY)
    with pytest.raises(BlockingIOError):
        fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
    os.close(folder)


def test_a_worker_that_is_to_use_none_claims_none(two: Machine) -> None:
    assert two.take("cpu") == GpuClaim()
    assert two.take().gpu == UUIDS[0]


def test_a_worker_that_is_told_to_takes_gpu_trials_where_there_is_no_gpu(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    machine = Machine(tmp_path, 0)
    assert machine.take() == GpuClaim()
    place = machine.take("gpu")
    assert (place.gpu, place.device, place.lanes) == (None, "cpu", (GPU_QUEUE, *LANES))
    assert "no GPU is found" in caplog.text


def test_but_not_where_others_have_them_all(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    machine = Machine(tmp_path, 1)
    first = machine.take("gpu")
    with caplog.at_level(logging.WARNING):
        assert machine.take("gpu").lanes == LANES
    assert first.gpu == UUIDS[0]
    assert "other workers have every GPU" in caplog.text


def test_a_gpu_that_is_not_found_may_be_named(tmp_path: Path) -> None:
    machine = Machine(tmp_path, 0)
    assert machine.take("auto", CUDA_VISIBLE_DEVICES="0").gpu is None
    assert machine.take("gpu", CUDA_VISIBLE_DEVICES="0").gpu == "0"
    assert machine.take("gpu", CUDA_VISIBLE_DEVICES="-1") == GpuClaim(takes_gpu_trials=True)


def test_the_training_process_sees_that_gpu_and_no_other(two: Machine) -> None:
    mine = two.take().environment({"CUDA_VISIBLE_DEVICES": "0,1", "TF_GPU_ALLOCATOR": "mine"})
    assert mine == {
        "CUDA_VISIBLE_DEVICES": UUIDS[0],
        "WARREN_DEVICE": "gpu",
        "TF_FORCE_GPU_ALLOW_GROWTH": "true",
        "TF_GPU_ALLOCATOR": "mine",
    }
    assert two.take("cpu").environment({}) == {"CUDA_VISIBLE_DEVICES": "-1", "WARREN_DEVICE": "cpu"}


def test_locks_lie_in_a_folder_of_this_user_alone(own_locks: Path) -> None:
    folder = lock_folder()
    assert folder.parent == own_locks
    assert folder.stat().st_mode & 0o777 == 0o700
    assert lock_folder() == folder


@pytest.mark.parametrize("trap", ["link", "file", "open"])
def test_a_folder_that_may_be_somebody_else_s_is_not_used(
    two: Machine, own_locks: Path, caplog: pytest.LogCaptureFixture, trap: str
) -> None:
    there = own_locks / f"warren-gpus-{os.getuid()}"
    if trap == "link":
        (own_locks / "elsewhere").mkdir(mode=0o700)
        there.symlink_to(own_locks / "elsewhere")
    elif trap == "file":
        there.touch()
    else:
        there.mkdir()
        there.chmod(0o777)
    assert two.take() == GpuClaim()
    assert "no GPU can be claimed" in caplog.text


def test_a_lock_that_is_a_link_is_not_followed(tmp_path: Path, own_locks: Path) -> None:
    machine = Machine(tmp_path, 1)
    target = own_locks / "target"
    (lock_folder() / f"{UUIDS[0]}.lock").symlink_to(target)
    assert machine.take() == GpuClaim()
    assert not target.exists()
