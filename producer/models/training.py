"""Trains a model as a study of one trial: publishes it, waits for it, and reads it."""

from __future__ import annotations

import hashlib
import json
import logging
import math
import time
from typing import Any

import sklearn

from producer.models.loading import load
from producer.publishing.publication import publish_missing
from producer.publishing.study_signature import check_study, model_problem, signed_study
from producer.results.follower import Follower, resumable
from producer.results.own_trials import own_trials
from producer.results.status import Status
from producer.space.space import Space
from warren import broker
from warren.encoding.codec import encode_estimator
from warren.errors import StudyError, TrialError, study_gone
from warren.messages import Objective, check_objective
from warren.printable import one_line
from warren.safety.signing import Keys
from warren.settings import Settings
from warren.storage.documents import OUTPUT_LINES, Document, end_of_output, now
from warren.storage.store import Store
from warren.storage.study_document import StudyDocument, StudyPlan, StudyStatus
from warren.versions import differences, relevant

logger = logging.getLogger(__name__)

# Seconds after which an untrained model is published again: its message may be lost with its queue.
_LOST_SECONDS = 3600.0


def fitted_model(
    store: Store, settings: Settings, study_id: str, number: int, unfitted: Any, timeout: float | None
) -> Any:
    """Return an estimator that a worker has trained on all data of a study.

    Parameters
    ----------
    store : Store
    settings : Settings
    study_id : str
    number : int
        The trial whose parameters the estimator has.
    unfitted : estimator instance
        Returned fitted, or as a fitted copy.
    timeout : float or None
        Seconds to wait; None waits without limit.

    Returns
    -------
    estimator instance

    Raises
    ------
    TrialError, TimeoutError, StudyError, StoreError, BrokerError
        As for `trained`.
    """
    trial = trained(store, settings, study_id, number, unfitted, timeout)
    content = store.models.get(trial["model"]["file"])
    return load(content, trial["model"], unfitted, settings.allow, vouched=bool(settings.key))


def trained(
    store: Store, settings: Settings, study_id: str, number: int, unfitted: Any, timeout: float | None
) -> Document:
    """Let a worker train an estimator on all data of a study, unless one has done so.

    Parameters
    ----------
    store, settings, study_id, number, unfitted, timeout
        As for `fitted_model`.

    Returns
    -------
    dict
        Document of the trial that trained it; its field ``model`` says where the model is.

    Raises
    ------
    TrialError
        The fit failed.
    TimeoutError
        The time is over; the same call continues waiting.
    StudyError, StoreError, BrokerError
        As for `producer.study.Study.wait` and `producer.study.Study.resume`.
    """
    deadline = time.monotonic() + timeout if timeout is not None else math.inf
    keys = Keys(settings.key)
    definition = _definition(store, settings, study_id, number, unfitted)
    own_id, trials = definition.id, own_trials(store, definition)
    trial = trials.one(0)
    if (trial is None or trial["state"] == "COMPLETE") and (problem := _problem(store, keys, own_id, trial)):
        if trial is not None and keys.is_of_another(trial["model"].get("signature")):
            # It may be valid: do not delete it because this process lacks a key.
            raise StudyError(
                f"the model of trial {number} of study {study_id} {problem}: name that key in WARREN_KEY too"
            )
        if trial is not None:
            logger.warning("the model of trial %d of study %s %s: it is trained again", number, study_id, problem)
        # The model is missing in a restored backup, older than the key, or not ours.
        store.delete_results(own_id)
        trial = None
    if trial is None or trial["state"] == "FAILED":
        if trial is not None or not _under_way(store, own_id):
            broker.check(settings)
            store.create_study(definition)
            # Try a failed fit again: memory may have been short.
            store.update_study(own_id, {"$set": {"state": "RUNNING", "finished_at": None}})
            store.delete_failed(own_id)
            publish_missing(store, settings, own_id, Objective.model_validate(definition.objective), Space([{}]))
        with resumable("The same call"):
            Follower(store, own_id, deadline, lambda _: None, settings).run()
        trial = trials.one(0)
    if trial is None:
        raise StudyError(f"study {own_id}, which trains a model for {study_id}, was cancelled or deleted")
    if trial["state"] == "FAILED":
        raise TrialError(
            f"study {study_id}: training trial {number} on all data failed: {trial['error']}"
            + "".join(f"\n  it printed: {line}" for line in end_of_output(trial, OUTPUT_LINES))
        )
    if problem := _problem(store, keys, own_id, trial):
        raise StudyError(
            f"study {study_id}: the model of trial {number} {problem}. Give the workers the WARREN_KEY that is set "
            "here, and ask for it again"
        )
    _tell_versions(definition, trial)
    return trial


def _problem(store: Store, keys: Keys, own_id: str, trial: Document | None) -> str | None:
    """Return why a model's trial document can't be used; None if it can."""
    if trial is None:
        return "is not there" if store.trials.one(own_id, 0) else None
    if "model" not in trial or not store.models.has(trial["model"]["file"]):
        return "is not there"
    return model_problem(keys, own_id, trial)


def _tell_versions(definition: StudyDocument, trial: Document) -> None:
    """Return how the versions of the training process differ from those of this process."""
    here, there = differences(
        relevant(definition.objective["estimator"], definition.data.X),
        {name: (version,) for name, version in trial.get("versions", {}).items()},
    )
    if here:
        logger.warning(
            "%s was trained with %s, and is read with %s: it may not load, or predict otherwise",
            one_line(definition.name),
            one_line(there),
            here,
        )


def _under_way(store: Store, own_id: str) -> bool:
    """Return whether a model's trial is in the queue or with a worker."""
    study = store.study(own_id, StudyStatus)
    if study is None or (status := Status.of(study)).state != "RUNNING" or status.dead or status.lost:
        return False
    return status.submitted_at is not None and (now() - status.submitted_at).total_seconds() < _LOST_SECONDS


def _definition(store: Store, settings: Settings, study_id: str, number: int, unfitted: Any) -> StudyDocument:
    """Return the document of the study whose one trial trains the model."""
    study = store.study(study_id, StudyPlan)
    if study is None:
        raise study_gone(study_id)
    keys = Keys(settings.key)
    check_study(keys, study)
    configuration = Objective.model_validate(study.objective).configuration
    # With metadata routing, the study's setting decides what estimators request, not this
    # process's.
    with sklearn.config_context(enable_metadata_routing=configuration.enable_metadata_routing):
        encoded = encode_estimator(unfitted, "estimator", settings.allow)
    objective = Objective.model_validate(
        study.objective
        | {
            "estimator": encoded,
            "validation": None,
            "scorers": {"score": None},
            "refit": "score",
            "error_score": "raise",
            "return_train_score": False,
            "n_splits": 1,
            "keep_model": True,
        }
    )
    check_objective(objective)
    content = json.dumps([study_id, objective.identity()], sort_keys=True)
    definition = StudyDocument.new(
        f"{study_id}-model-{hashlib.sha256(content.encode()).hexdigest()[:12]}",
        name=f"{study.name}, model of trial {number}",
        model_of=study_id,
        n_trials=1,
        n_splits=1,
        train_rows=study.data.n_samples,
        n_classes=study.n_classes,
        objective=objective.model_dump(),
        space=Space([{}]).encode(),
        estimator_in_grid=False,
        data=study.data,
        n_chunks=None,
        share_fits=False,
        trial_timeout=None,
        priority=study.priority,
    )
    return definition.model_copy(update=signed_study(keys, definition))
