"""Check whether a message is one that its study published."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError
from pydantic_core import from_json

from warren.errors import short
from warren.messages import Address, Objective
from warren.storage.store import Store

# Fields of a study's document with which a message without a record is compared.
_STUDY_FIELDS = ("publications", "noted", "n_trials", "objective", "estimator_in_grid", "trial_timeout")


def why_not(store: Store, address: Address, body: bytes) -> str | None:
    """Return why a message is not what its study published; None if it is.

    Parameters
    ----------
    store : Store
        The database.
    address : Address
        Study, publication, chunk and trials in the message.
    body : bytes
        The message.

    Returns
    -------
    str or None
        A sentence.

    Raises
    ------
    StoreError
        The database is unreachable or refuses.
    """
    if store.published.has(address.study_id, address.generation, address.index, body):
        return None
    which = f"it is not chunk {address.index} of publication {address.generation} of study {address.study_id!r}"
    study = store.study(address.study_id, _STUDY_FIELDS)
    if study is None:
        return f"{which}, which is not in database {store.database!r}"
    published, noted = study.get("publications"), study.get("noted")
    if not isinstance(published, int) or address.generation > published:
        return f"{which}, which was published {short(published or 0)} time(s)"
    if isinstance(noted, list) and address.generation in noted:
        return f"{which}: its content differs from what was published"
    # Published by an earlier version, which recorded nothing.
    return None if (found := _other(study, body, address)) is None else f"{which}: its {found} not the study's"


def _other(study: Mapping[str, Any], body: bytes, address: Address) -> str | None:
    """Return which part of a message can't be its study's, as far as the study's document shows."""
    try:
        content = from_json(body, cache_strings=False)
        if _plain(content["objective"]) != _plain(study["objective"]):
            return "objective is"
        if max(address.numbers, default=0) >= study["n_trials"]:
            return f"trial {max(address.numbers)} is"
        if not study["estimator_in_grid"] and any(trial.get("estimator") for trial in content["trials"]):
            return "trials' own estimators are"
        return None if content.get("trial_timeout") == study["trial_timeout"] else "time limit is"
    except (ValidationError, ValueError, LookupError, TypeError, AttributeError):
        return "content is"


def _plain(objective: object) -> str:
    # Compared as text, because NaN, the usual error score, equals nothing.
    return json.dumps(Objective.model_validate(objective).model_dump(mode="json"), sort_keys=True)
