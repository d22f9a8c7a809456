"""Finds in a server's log why it did not start, and says what to do."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from shlex import quote

Cause = tuple[re.Pattern[str], str]
"""A pattern in a log, and the cause with what to do, without a final full stop."""


def _cause(pattern: str, meaning: str) -> Cause:
    return re.compile(pattern, re.IGNORECASE), meaning


def of_any(folder: Path) -> list[Cause]:
    """Return the causes that any server can have."""
    return [
        _cause(r"\benospc\b|no space left on device", f"the disk of {folder} is full: free some space"),
        _cause(
            r"\beacces\b|permission denied|operation not permitted|must be accessible by owner only",
            f"another user owns files in {folder}, for example after root ran a stack: change the owner with chown, "
            "or pass another data_dir",
        ),
    ]


def of_broker(folder: Path) -> list[Cause]:
    """Return the causes for a RabbitMQ with data in a folder.

    They include data of an older version without a required feature (3.10 for 4.0), and of a newer
    version.
    """
    return [
        _cause(
            "disabled_required_feature_flag|failed_to_initialize_feature_flags_registry|incompatible_feature_flags"
            "|schema_integrity_check_failed|cluster_upgrade_failure|cannot_upgrade|unsupported_version",
            f"another version of RabbitMQ wrote the data in {folder}, and this version can't read it. It holds no "
            f"results: move that folder away (mv {quote(str(folder))} {quote(f'{folder}.old')}), start again, and "
            "call resume() for each study that ran (`warren list`, `warren resume ID`): it publishes all trials "
            "without a result",
        ),
        *of_any(folder),
    ]


def of_database(folder: Path) -> list[Cause]:
    """Return the causes for a MongoDB-compatible server with data in a folder."""
    return [
        _cause(
            "featureCompatibilityVersion|wrong mongod version|upgrade problem|too recent to start up on the existing"
            r"|unsupported wiredtiger file version|wt_[a-z_]*: .*unsupported|incompatible with this version",
            f"another version of the database wrote the data in {folder}, and this version can't read it. It holds "
            "results, so keep it: start the version that wrote it, and upgrade one version at a time; another data_dir "
            "starts empty",
        ),
        *of_any(folder),
    ]


def find(log: str, causes: Sequence[Cause]) -> str | None:
    """Return the meaning of the first cause found in a log, or None."""
    return next((meaning for words, meaning in causes if words.search(log)), None)
