"""What a server's log says when it does not start, and what that means for whoever reads it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from shlex import quote

Cause = tuple[re.Pattern[str], str]
"""Words of a log, and what happened and what to do, half a sentence."""


def _cause(pattern: str, meaning: str) -> Cause:
    return re.compile(pattern, re.IGNORECASE), meaning


def of_any(folder: Path) -> list[Cause]:
    """Return what may befall every server in a folder."""
    return [
        _cause(r"\benospc\b|no space left on device", f"no room is left on the disk of {folder}: make some"),
        _cause(
            r"\beacces\b|permission denied|operation not permitted|must be accessible by owner only",
            f"files in {folder} are another user's, as after a stack that root ran: give them to yourself with chown, "
            "or name another data_dir",
        ),
    ]


def of_broker(folder: Path) -> list[Cause]:
    """Return what may befall a RabbitMQ whose data lie in a folder.

    The data of an older one that lack a feature, as 4.0 finds those of 3.10, and those of a newer one.
    """
    return [
        _cause(
            "disabled_required_feature_flag|failed_to_initialize_feature_flags_registry|incompatible_feature_flags"
            "|schema_integrity_check_failed|cluster_upgrade_failure|cannot_upgrade|unsupported_version",
            f"what {folder} holds was written by another version of RabbitMQ, which this one does not read. No result "
            f"lies there: move that folder away (mv {quote(str(folder))} {quote(f'{folder}.old')}), start again, and "
            "call resume() for each study that ran (`warren list`, `warren resume ID`): it publishes all that has no "
            "result",
        ),
        *of_any(folder),
    ]


def of_database(folder: Path) -> list[Cause]:
    """Return what may befall a MongoDB-compatible server whose data lie in a folder."""
    return [
        _cause(
            "featureCompatibilityVersion|wrong mongod version|upgrade problem|too recent to start up on the existing"
            r"|unsupported wiredtiger file version|wt_[a-z_]*: .*unsupported|incompatible with this version",
            f"what {folder} holds was written by another version of the database, which this one does not read. "
            "Results lie there, so keep it: start it with the version that wrote it, and upgrade one version after the "
            "other; another data_dir starts anew",
        ),
        *of_any(folder),
    ]


def find(log: str, causes: Sequence[Cause]) -> str | None:
    """Return the meaning of the first cause that a log speaks of, or None."""
    return next((meaning for words, meaning in causes if words.search(log)), None)
