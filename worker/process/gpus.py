"""Find the GPUs of a machine without a driver library, and claim one for a worker.

A GPU has the name that ``CUDA_VISIBLE_DEVICES`` uses: its UUID or its number
(https://docs.nvidia.com/cuda/cuda-programming-guide/05-appendices/environment-variables.html). The
worker that claims it holds a lock on a file, and so does its training process: the claim ends when
both are dead.
"""

from __future__ import annotations

import fcntl
import logging
import os
import re
import stat
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from warren.queues import GPU_QUEUE, LANES
from worker.process.file_locks import lock_path

logger = logging.getLogger(__name__)

# NVIDIA's driver describes each GPU in a folder named after its bus address; and the folder of the
# device nodes.
_DRIVER = Path("/proc/driver/nvidia/gpus")
_NODES = Path("/dev")
_NODE = re.compile(r"nvidia(\d+)", re.ASCII)
_MINOR = re.compile(r"^Device Minor:\s*(\d+)\s*$", re.MULTILINE | re.ASCII)
_UUID = re.compile(r"^GPU UUID:\s*(GPU-[0-9a-f-]+)\s*$", re.MULTILINE | re.ASCII)
# Values of NVIDIA_VISIBLE_DEVICES that give a container no GPU.
_NONE = frozenset({"", "none", "void"})
# A valid name in CUDA_VISIBLE_DEVICES: a number, or the UUID of a GPU or of a part of one, which
# may be shortened.
_NAME = re.compile(r"\d+|(GPU|MIG)-[0-9A-Za-z/-]+", re.ASCII)


@dataclass(frozen=True, kw_only=True)
class GpuClaim:
    """The device on which a worker fits, and whether it takes GPU trials.

    Attributes
    ----------
    gpu : str or None
        The claimed GPU, by its name in ``CUDA_VISIBLE_DEVICES``.
    takes_gpu_trials : bool
        Whether it takes trials that ask for a GPU.
    lock : int or None
        Descriptor of the lock file; it stays open as long as the worker lives.
    """

    gpu: str | None = None
    takes_gpu_trials: bool = False
    lock: int | None = field(default=None, repr=False)

    @property
    def device(self) -> str:
        """The device for fits that ask for a GPU: "gpu" or "cpu"."""
        return "cpu" if self.gpu is None else "gpu"

    @property
    def lanes(self) -> tuple[str, ...]:
        """The queues from which it takes chunks."""
        return (GPU_QUEUE, *LANES) if self.takes_gpu_trials else LANES

    def environment(self, environ: Mapping[str, str]) -> dict[str, str]:
        """Return environment variables that show the training process only the claimed GPU."""
        found = {"CUDA_VISIBLE_DEVICES": "-1" if self.gpu is None else self.gpu, "WARREN_DEVICE": self.device}
        if self.gpu is not None:
            # TensorFlow takes all memory of a GPU at its first step, but the next trial may use
            # another library. https://www.tensorflow.org/guide/gpu#limiting_gpu_memory_growth
            for name, value in (("TF_FORCE_GPU_ALLOW_GROWTH", "true"), ("TF_GPU_ALLOCATOR", "cuda_malloc_async")):
                found[name] = environ.get(name, value)
        return found


def find_gpus(environ: Mapping[str, str], driver: Path = _DRIVER, nodes: Path = _NODES) -> dict[str, str]:
    """Return the NVIDIA GPUs that a process with this environment may use.

    Parameters
    ----------
    environ : mapping of str to str
        ``CUDA_VISIBLE_DEVICES`` and ``NVIDIA_VISIBLE_DEVICES`` may hide some, or allow only parts.
    driver, nodes : Path
        The folder where the driver describes GPUs, and the folder of their device nodes.

    Returns
    -------
    dict of str to str
        The identity by which each is locked, by its name in ``CUDA_VISIBLE_DEVICES``; in the order
        in which to claim them.
    """
    present = _existing(driver, nodes)
    granted = environ.get("NVIDIA_VISIBLE_DEVICES")
    if not present or (granted is not None and granted.strip().lower() in _NONE):
        return {}
    # A container that was given a part of a GPU sees the device node of the whole GPU.
    parts = [name for name in (granted or "").split(",") if name.startswith("MIG-")]
    if (chosen := environ.get("CUDA_VISIBLE_DEVICES")) is not None:
        known = [name for name in _names(chosen) if not name.isdecimal() or int(name) < len(present)]
        return {name: _identity(name, present) for name in known}
    return {name: name for name in parts or present}


def _names(chosen: str) -> Iterator[str]:
    """Yield the devices in ``CUDA_VISIBLE_DEVICES``.

    The first invalid name, such as ``-1``, ends the list.
    """
    for name in map(str.strip, chosen.split(",")):
        if not _NAME.fullmatch(name):
            return
        yield name


def _identity(name: str, present: list[str]) -> str:
    """Return the identity by which a device is locked, the same for its number and its UUID."""
    if name.isdecimal():
        return present[int(name)]
    return next((gpu for gpu in present if gpu.startswith(name)), name)


def _existing(driver: Path, nodes: Path) -> list[str]:
    """Return the GPUs with a device node: UUIDs, or numbers if the driver gives no UUIDs."""
    try:
        minors = sorted(int(found[1]) for path in nodes.iterdir() if (found := _NODE.fullmatch(path.name)))
        reports = [path.read_text(errors="replace") for path in sorted(driver.glob("*/information"))] if minors else []
    except OSError as exc:
        logger.debug("can't look for GPUs", extra={"reason": str(exc)})
        return []
    uuids = [
        uuid[1]
        for text in reports
        if (minor := _MINOR.search(text)) and int(minor[1]) in minors and (uuid := _UUID.search(text))
    ]
    # CUDA numbers the GPUs that it can reach from 0, independent of the names of their nodes.
    return uuids if len(uuids) == len(minors) else [str(number) for number in range(len(minors))]


def lock_folder() -> Path:
    """Return this user's folder of GPU locks; create it if needed.

    Raises
    ------
    OSError
        It can't be created, or something else has its name.
    """
    folder = Path(tempfile.gettempdir()) / f"warren-gpus-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    about = folder.lstat()
    if not stat.S_ISDIR(about.st_mode) or about.st_uid != os.getuid() or about.st_mode & 0o022:
        raise OSError(f"{folder} is not a folder that only this user can write to")
    return folder


# Descriptors that stay open as long as this process lives.
_held: list[int] = []


def _protect(folder: Path) -> None:
    """Keep programs that clean up old files away from the locks.

    A worker does not notice that its lock file was deleted.

    systemd-tmpfiles leaves locked folders alone (https://systemd.io/TEMPORARY_DIRECTORIES).
    """
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    _held.append(descriptor)


def _lock(folder: Path, identity: str) -> int | None:
    """Return the descriptor of a GPU's lock, or None if another worker holds it."""
    path = folder / (re.sub(r"[^0-9A-Za-z-]", "_", identity) + ".lock")
    while True:  # again if the file was removed just now
        try:
            descriptor = lock_path(path, os.O_RDWR | os.O_CREAT)
        except BlockingIOError:
            return None
        if descriptor is not None:
            return descriptor


def claim_gpu(device: str, environ: Mapping[str, str], driver: Path = _DRIVER, nodes: Path = _NODES) -> GpuClaim:
    """Claim a GPU if one is free, and choose the device of this worker.

    Parameters
    ----------
    device : {"auto", "cpu", "gpu"}
        The setting ``WARREN_DEVICE``.
    environ : mapping of str to str
        See `find_gpus`. With "gpu", ``CUDA_VISIBLE_DEVICES`` may also name GPUs that are not found
        (as on WSL).
    driver, nodes : Path
        See `find_gpus`.

    Returns
    -------
    GpuClaim
        The claimed GPU and its lock, or the CPU.
    """
    if device == "cpu":
        return GpuClaim()
    found = find_gpus(environ, driver, nodes)
    if not found and device == "gpu":
        found = {name: name for name in _names(environ.get("CUDA_VISIBLE_DEVICES", ""))}
    if not found:
        if device == "gpu":
            logger.warning("WARREN_DEVICE is gpu and no GPU is found: fits that ask for one run on the CPU")
        return GpuClaim(takes_gpu_trials=device == "gpu")
    try:
        folder = lock_folder()
        _protect(folder)
        for gpu, identity in found.items():
            if (lock := _lock(folder, identity)) is not None:
                return GpuClaim(gpu=gpu, takes_gpu_trials=True, lock=lock)
    except OSError as exc:
        logger.warning("no GPU can be claimed: this worker fits on the CPU", extra={"reason": str(exc)})
        return GpuClaim()
    level = logging.WARNING if device == "gpu" else logging.INFO
    logger.log(level, "other workers have every GPU: this one fits on the CPU", extra={"gpus": list(found)})
    return GpuClaim()
