"""The manifest of an export: the model, its origin, and the digest of every file."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path, PurePosixPath
from typing import Any

from producer.models.export_folder import MANIFEST
from warren.errors import InputError
from warren.storage.documents import Document

VERSION = 1
"""Version of the manifest's fields; a reader refuses other versions."""
# Folder for files that users add for TensorFlow Serving, such as warm-up requests
# (https://www.tensorflow.org/tfx/serving/saved_model_warmup).
_ADDED_LATER = "assets.extra"


def write_manifest(folder: Path, fields: Mapping[str, Any]) -> None:
    """Write the manifest of a folder, after all other files.

    Parameters
    ----------
    folder : Path
        The folder with all files of the export.
    fields : mapping
        The fields besides ``manifest_version`` and ``files``. NaN and infinities become null.

    Raises
    ------
    OSError
        The manifest can't be written.
    """
    files = {
        name: {"sha256": _digest(folder / name), "bytes": (folder / name).stat().st_size} for name in _names(folder)
    }
    manifest = {"manifest_version": VERSION, **_plain(fields), "files": files}
    (folder / MANIFEST).write_text(json.dumps(manifest, indent=2, ensure_ascii=False, allow_nan=False) + "\n", "utf-8")


def verify(path: str | Path) -> Document:
    """Read the manifest of an export, and verify that its files are unchanged.

    Parameters
    ----------
    path : str or Path
        The folder with ``manifest.json``; for a SavedModel, the folder of a version.

    Returns
    -------
    dict
        The manifest.

    Raises
    ------
    InputError
        There is no manifest, it has another version, or a file is missing, changed, or not in it.

    Notes
    -----
    Digests detect damage and mistakes, but not attacks: an attacker can change the manifest, too.
    Against that, keep the manifest's own SHA-256 elsewhere.
    """
    folder = Path(path)
    manifest = _read(folder)
    listed = manifest["files"]
    try:
        there = {name for name in _names(folder) if not name.startswith(f"{_ADDED_LATER}/")}
        wrong = [
            *(f"{name} is missing" for name in sorted(listed.keys() - there)),
            *(f"{name} is not in the manifest" for name in sorted(there - listed.keys())),
            *(
                f"{name} has another digest"
                for name in sorted(there & listed.keys())
                if _digest(folder / name) != listed[name]["sha256"]
            ),
        ]
    except OSError as exc:
        raise InputError(f"{folder}: can't be read ({exc.strerror or exc})") from exc
    if wrong:
        raise InputError(f"{folder}: differs from the export: {'; '.join(wrong[:5])}. Export the model again")
    return manifest


def _read(folder: Path) -> Document:
    file = folder / MANIFEST
    try:
        found = json.loads(file.read_text("utf-8"))
    except OSError as exc:
        versions = sorted(manifest.parent for manifest in folder.glob(f"*/{MANIFEST}"))
        hint = f"; there is one in {versions[-1]}" if versions else ""
        raise InputError(f"{file}: can't be read ({exc.strerror or exc}): pass the folder of an export{hint}") from exc
    except ValueError as exc:
        raise InputError(f"{file}: invalid JSON ({exc}): export the model again") from exc
    version = found.get("manifest_version") if isinstance(found, dict) else None
    if version != VERSION:
        raise InputError(f"{file}: manifest_version is {version!r}, and this version of Warren reads {VERSION}")
    files = found.get("files")
    if not isinstance(files, dict) or not all(
        isinstance(about, dict) and isinstance(about.get("sha256"), str) for about in files.values()
    ):
        raise InputError(f"{file}: its field 'files' lacks a file's sha256: export the model again")
    for name in files:
        if PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts:
            raise InputError(f"{file}: names the file {name!r}, which is outside the folder")
    manifest: Document = found
    return manifest


def _names(folder: Path) -> list[str]:
    """Return all files below a folder as POSIX paths, without the manifest."""
    found = (path.relative_to(folder).as_posix() for path in folder.rglob("*") if not path.is_dir())
    return sorted(name for name in found if name != MANIFEST)


def _digest(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _plain(value: Any) -> Any:
    """Convert a value for JSON: NaN and infinities to null, times to ISO 8601 text."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    if isinstance(value, datetime):
        return value.isoformat()
    if hasattr(value, "tolist"):
        return _plain(value.tolist())
    return value if value is None or isinstance(value, (bool, int, str)) else str(value)
