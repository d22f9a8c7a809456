"""The GPU of a worker: found without a driver's library, and claimed by one worker at a time.

A GPU is named as ``CUDA_VISIBLE_DEVICES`` names it, by its UUID or its number
(https://docs.nvidia.com/cuda/cuda-programming-guide/05-appendices/environment-variables.html). A worker that
claims one holds a lock on a file, and so does its training process: the claim ends when both are dead.
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

# What NVIDIA's driver says of each GPU, in a folder by its address on the bus; and the nodes that it is reached by.
_DRIVER = Path("/proc/driver/nvidia/gpus")
_NODES = Path("/dev")
_NODE = re.compile(r"nvidia(\d+)", re.ASCII)
_MINOR = re.compile(r"^Device Minor:\s*(\d+)\s*$", re.MULTILINE | re.ASCII)
_UUID = re.compile(r"^GPU UUID:\s*(GPU-[0-9a-f-]+)\s*$", re.MULTILINE | re.ASCII)
# What NVIDIA_VISIBLE_DEVICES says where a container is to have no GPU.
_NONE = frozenset({"", "none", "void"})
# What a name in CUDA_VISIBLE_DEVICES may be: a number, or a UUID of a GPU or of a part of one, also shortened.
_NAME = re.compile(r"\d+|(GPU|MIG)-[0-9A-Za-z/-]+", re.ASCII)


@dataclass(frozen=True, kw_only=True)
class GpuClaim:
    """Where a worker fits, and which trials it takes.

    Attributes
    ----------
    gpu : str or None
        The GPU that it has claimed, as ``CUDA_VISIBLE_DEVICES`` names it.
    takes_gpu_trials : bool
        Whether it takes trials that ask for one.
    lock : int or None
        Descriptor of the file that says so; it stays open for the worker's life.
    """

    gpu: str | None = None
    takes_gpu_trials: bool = False
    lock: int | None = field(default=None, repr=False)

    @property
    def device(self) -> str:
        """Where fits that ask for a GPU run: "gpu" or "cpu"."""
        return "cpu" if self.gpu is None else "gpu"

    @property
    def lanes(self) -> tuple[str, ...]:
        """The queues that it takes chunks from."""
        return (GPU_QUEUE, *LANES) if self.takes_gpu_trials else LANES

    def environment(self, environ: Mapping[str, str]) -> dict[str, str]:
        """Return what its training process has in its environment besides the worker's: that GPU, and no other."""
        found = {"CUDA_VISIBLE_DEVICES": "-1" if self.gpu is None else self.gpu, "WARREN_DEVICE": self.device}
        if self.gpu is not None:
            # TensorFlow takes all memory of a GPU at its first step, and the next trial may be of another library.
            # https://www.tensorflow.org/guide/gpu#limiting_gpu_memory_growth
            for name, value in (("TF_FORCE_GPU_ALLOW_GROWTH", "true"), ("TF_GPU_ALLOCATOR", "cuda_malloc_async")):
                found[name] = environ.get(name, value)
        return found


def find_gpus(environ: Mapping[str, str], driver: Path = _DRIVER, nodes: Path = _NODES) -> dict[str, str]:
    """Return the NVIDIA GPUs that a process with this environment may use.

    Parameters
    ----------
    environ : mapping of str to str
        ``CUDA_VISIBLE_DEVICES`` and ``NVIDIA_VISIBLE_DEVICES`` may leave fewer, or parts of some.
    driver, nodes : Path
        Where the driver describes GPUs, and where their device nodes are.

    Returns
    -------
    dict of str to str
        What each is locked by, under its name in ``CUDA_VISIBLE_DEVICES``; in the order in which to claim them.
    """
    there = _existing(driver, nodes)
    granted = environ.get("NVIDIA_VISIBLE_DEVICES")
    if not there or (granted is not None and granted.strip().lower() in _NONE):
        return {}
    # A container that was given parts of GPUs sees the node of a whole one.
    parts = [name for name in (granted or "").split(",") if name.startswith("MIG-")]
    if (chosen := environ.get("CUDA_VISIBLE_DEVICES")) is not None:
        known = [name for name in _names(chosen) if not name.isdecimal() or int(name) < len(there)]
        return {name: _identity(name, there) for name in known}
    return {name: name for name in parts or there}


def _names(chosen: str) -> Iterator[str]:
    """Yield the devices in ``CUDA_VISIBLE_DEVICES``, which ends at the first that is none: ``-1``."""
    for name in map(str.strip, chosen.split(",")):
        if not _NAME.fullmatch(name):
            return
        yield name


def _identity(name: str, there: list[str]) -> str:
    """Return what a device is locked by: the same for its number and its UUID, where GPUs are alike."""
    if name.isdecimal():
        return there[int(name)]
    return next((one for one in there if one.startswith(name)), name)


def _existing(driver: Path, nodes: Path) -> list[str]:
    """Return the names of the GPUs whose nodes exist: UUIDs, or numbers where the driver does not give them."""
    try:
        minors = sorted(int(found[1]) for path in nodes.iterdir() if (found := _NODE.fullmatch(path.name)))
        told = [path.read_text(errors="replace") for path in sorted(driver.glob("*/information"))] if minors else []
    except OSError as exc:
        logger.debug("can't look for GPUs", extra={"reason": str(exc)})
        return []
    uuids = [
        uuid[1]
        for text in told
        if (minor := _MINOR.search(text)) and int(minor[1]) in minors and (uuid := _UUID.search(text))
    ]
    # CUDA counts those that it can reach from 0, whatever their nodes are called.
    return uuids if len(uuids) == len(minors) else [str(number) for number in range(len(minors))]


def lock_folder() -> Path:
    """Return the folder with a lock for each GPU, this user's own.

    Raises
    ------
    OSError
        It can't be made, or something else has its name.
    """
    folder = Path(tempfile.gettempdir()) / f"warren-gpus-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    about = folder.lstat()
    if not stat.S_ISDIR(about.st_mode) or about.st_uid != os.getuid() or about.st_mode & 0o022:
        raise OSError(f"{folder} is not a folder of this user's alone")
    return folder


# Held for this process's life.
_held: list[int] = []


def _protect(folder: Path) -> None:
    """Keep cleaners of old files away from the locks: a process may not see that its lock file was deleted.

    systemd-tmpfiles leaves locked folders alone (https://systemd.io/TEMPORARY_DIRECTORIES).
    """
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    _held.append(descriptor)


def _lock(folder: Path, identity: str) -> int | None:
    """Return the descriptor of a GPU's lock, or None where another worker holds it."""
    path = folder / (re.sub(r"[^0-9A-Za-z-]", "_", identity) + ".lock")
    while True:  # until no cleaner removes the file just now
        try:
            descriptor = lock_path(path, os.O_RDWR | os.O_CREAT)
        except BlockingIOError:
            return None
        if descriptor is not None:
            return descriptor


def claim_gpu(device: str, environ: Mapping[str, str], driver: Path = _DRIVER, nodes: Path = _NODES) -> GpuClaim:
    """Claim a GPU if one is free, and say where this worker fits.

    Parameters
    ----------
    device : {"auto", "cpu", "gpu"}
        The setting.
    environ : mapping of str to str
        See `find_gpus`. With "gpu", ``CUDA_VISIBLE_DEVICES`` also names what is not found (on WSL, for one).
    driver, nodes : Path
        See `find_gpus`.

    Returns
    -------
    GpuClaim
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
