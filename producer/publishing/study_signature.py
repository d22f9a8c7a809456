"""Signs studies, and verifies them for readers with a key.

The signature covers a study's definition: name, objective, and a digest of its space, so that
listing studies need not read the space. Run settings (priority, chunks, time limit) may change with
each submission, and chunks have their own signatures.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from warren.errors import StudyError
from warren.safety.signing import Keys, signed_model
from warren.storage.documents import Document
from warren.storage.study_document import StudyDefinition, StudySpace

IMMUTABLE = ("name", "n_trials", "objective", "estimator_in_grid", "space_sha256")
"""Fields of a study's document that its signature covers, in addition to its id."""


def signed_study(keys: Keys, study: StudySpace) -> Document:
    """Return the fields that sign a study; none where there is no key.

    Parameters
    ----------
    keys : Keys
    study : StudySpace
    """
    if not keys:
        return {}
    digest = {"space_sha256": _digest(study.space)}
    return digest | {"signature": keys.sign("warren/study", _content(study.model_copy(update=digest)))}


def study_problem(keys: Keys, study: StudyDefinition) -> str | None:
    """Return why a reader with a key can't believe a study, or None."""
    return keys.problem("warren/study", _content(study), study.signature)


def check_study(keys: Keys, study: StudyDefinition) -> None:
    """Refuse a study that a reader with a key can't believe.

    Parameters
    ----------
    keys : Keys
    study : StudyDefinition
        A `StudySpace` where its space is used.

    Raises
    ------
    StudyError
        The signature is missing or does not match.
    """
    problem = study_problem(keys, study)
    if problem is None and keys and isinstance(study, StudySpace) and _digest(study.space) != study.space_sha256:
        problem = "has a space that differs from the signed one"
    if problem is not None:
        raise StudyError(
            f"study {study.id!r} {problem}, and WARREN_KEY is set. If it is yours, the same submit() with this key "
            "signs it, and ended trials stay. Unset WARREN_KEY to read it unverified, if you trust it"
        )


def model_problem(keys: Keys, study_id: str, trial: Mapping[str, Any]) -> str | None:
    """Return why a stored model fails verification, or None.

    Parameters
    ----------
    keys : Keys
    study_id : str
        The study whose trial trained the model.
    trial : dict
        The document of that trial.

    Returns
    -------
    str or None
    """
    model = trial["model"]
    return keys.problem("warren/model", signed_model(study_id, trial["number"], model), model.get("signature"))


def _content(study: StudyDefinition) -> bytes:
    what = {name: getattr(study, name) for name in IMMUTABLE} | {"_id": study.id}
    return json.dumps(what, sort_keys=True, default=str).encode()


def _digest(space: Any) -> str:
    return hashlib.sha256(json.dumps(space, sort_keys=True, default=str).encode()).hexdigest()
