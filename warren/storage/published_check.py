"""Whether a message is one that its study published."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError
from pydantic_core import from_json

from warren.errors import short
from warren.messages import Address, Objective
from warren.storage.store import Store

# Of a study's document, what a body that nobody noted is compared with.
_STUDY_FIELDS = ("publications", "noted", "n_trials", "objective", "estimator_in_grid", "trial_timeout")


def why_not(store: Store, address: Address, body: bytes) -> str | None:
    """Return why a message is not what its study published, or None where it is.

    Parameters
    ----------
    store : Store
    address : Address
        What the message says of itself.
    body : bytes

    Raises
    ------
    StoreError
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
        return f"{which}: its content is another one than was published"
    # An earlier version published it, which noted nothing.
    return None if (found := _other(study, body, address)) is None else f"{which}: its {found} not the study's"


def _other(study: Mapping[str, Any], body: bytes, address: Address) -> str | None:
    """Say what of a message can't be its study's, as far as the study's document tells."""
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
    # As text, for NaN, the usual error score, equals nothing.
    return json.dumps(Objective.model_validate(objective).model_dump(mode="json"), sort_keys=True)
