"""Check whether a message is one that its study published."""

from __future__ import annotations

import json

from pydantic import ValidationError
from pydantic_core import from_json

from warren.messages import Address, Objective
from warren.storage.store import Store
from warren.storage.study_document import StudyPlan


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
    study = store.study(address.study_id, StudyPlan)
    if study is None:
        return f"{which}, which is not in database {store.database!r}"
    if study.publications is None or address.generation > study.publications:
        return f"{which}, which was published {study.publications or 0} time(s)"
    if address.generation in study.noted:
        return f"{which}: its content differs from what was published"
    # An earlier version published it, which noted nothing.
    return None if (found := _other(study, body, address)) is None else f"{which}: its {found} not the study's"


def _other(study: StudyPlan, body: bytes, address: Address) -> str | None:
    """Say what of a message can't be its study's, as far as the study's document tells."""
    try:
        content = from_json(body, cache_strings=False)
        if _plain(content["objective"]) != _plain(study.objective):
            return "objective is"
        if max(address.numbers, default=0) >= study.n_trials:
            return f"trial {max(address.numbers)} is"
        if not study.estimator_in_grid and any(trial.get("estimator") for trial in content["trials"]):
            return "trials' own estimators are"
        return None if content.get("trial_timeout") == study.trial_timeout else "time limit is"
    except (ValidationError, ValueError, LookupError, TypeError, AttributeError):
        return "content is"


def _plain(objective: object) -> str:
    # Compared as text, because NaN, the usual error score, equals nothing.
    return json.dumps(Objective.model_validate(objective).model_dump(mode="json"), sort_keys=True)
