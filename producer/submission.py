"""``submit``: everything is checked, then stored, then published. Returns at once."""

from __future__ import annotations

import hashlib
import json
import logging
import math
import re
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import IO, Any, Literal, TypeAlias

import numpy as np

from producer.options import LONGEST_NAME, StudyOptions
from producer.publishing.publication import publish_missing
from producer.publishing.study_signature import IMMUTABLE, signed_study, study_problem
from producer.results.study_reader import SharedStore
from producer.space.columns import packed
from producer.space.grid import ParamGrid
from producer.space.space import Space
from producer.study import Study
from producer.validation import (
    check_early_stopping,
    check_estimators,
    check_scoring,
    choose_device,
    configuration_here,
    make_splits,
    make_validation,
    prepare,
    tell_deprecated,
)
from producer.validation.estimators import settled
from warren import broker
from warren.encoding.codec import Json
from warren.errors import InputError, StoreError
from warren.messages import Objective, check_objective
from warren.retry import wait_for_store
from warren.safety.signing import Keys, tell_unsigned
from warren.settings import load_settings
from warren.storage.dataset import Dataset, dataset_parts, digest, splits_parts, write_parts
from warren.storage.documents import Document
from warren.storage.store import Store
from warren.storage.study_document import Data, StudyDefinition, StudyDocument, StudyPlan
from warren.versions import relevant

logger = logging.getLogger(__name__)

# What `Blobs.put` takes: the digest, what writes the content, and what a person wants to know of it.
_Blob: TypeAlias = tuple[str, Callable[[IO[bytes]], None], Document]

# MongoDB's integers have 64 bits.
_MOST_TRIALS = 2**63 - 1
# Bytes of the space as JSON: MongoDB's documents hold 16 MiB, and BSON may take more than JSON.
_LARGEST_SPACE = 8 * 2**20
# How a study is run is not what it is: these fields may change from one submission to the next.
_RUNNING = ("n_chunks", "share_fits", "trial_timeout", "priority", "versions")
# Hexadecimal digits of the digest in an id: 48 bits tell a database's studies apart.
_ID_DIGITS = 12


def submit(
    estimator: Any,
    param_grid: ParamGrid,
    X: Any,
    y: Any = None,
    *,
    scoring: Any = None,
    cv: Any = 5,
    groups: Any = None,
    sample_weight: Any = None,
    refit: str | None = None,
    n_chunks: int | None = None,
    share_fits: bool = True,
    name: str | None = None,
    error_score: float | Literal["raise"] = math.nan,
    return_train_score: bool = False,
    trial_timeout: float | None = None,
    validation_fraction: float | None = None,
    priority: int = 1,
    device: Literal["cpu", "gpu"] | None = None,
) -> Study:
    """Submit a study: every point of a grid, cross-validated by the workers. Returns at once.

    The same call again resumes the study: only trials without a result are published. The servers are
    those that ``AMQP_URL`` and ``MONGO_URL`` name.

    Parameters
    ----------
    estimator : estimator instance or None
        Of XGBoost, LightGBM, CatBoost or scikit-learn. Its ``n_jobs``, ``thread_count`` and the like give way
        to the workers' setting. None when every grid brings its own: ``{"estimator": [...], ...}``.
    param_grid : dict of str to sequence, or list of such dicts
        As for `sklearn.model_selection.GridSearchCV`, in the same order of candidates.
    X : ndarray, DataFrame or sparse matrix of shape (n_samples, n_features)
    y : array-like of shape (n_samples,) or (n_samples, n_outputs), default=None
        Numbers or labels.
    scoring : str, scorer, list of str, or dict of str to (str or scorer), default=None
        Names of scikit-learn's scorers, or what ``make_scorer`` makes of its metric functions,
        ``make_scorer(fbeta_score, beta=2)``; higher is better. None is the estimator's own ``score``.
    cv : int, splitter or iterable of (train, test) indices, default=5
        The indices are stored, not the splitter. An int is stratified for classifiers.
    groups : array-like of shape (n_samples,), default=None
        For splitters that keep groups together.
    sample_weight : array-like of shape (n_samples,), default=None
        As ``GridSearchCV.fit(X, y, sample_weight=...)`` takes them: for ``fit`` and, where the workers have
        scikit-learn 1.7 or later, for the scorers that take weights.
    refit : str, default=None
        With several metrics, the one that says which trial is best; None is the first.
    n_chunks : int, default=None
        Number of messages that the trials are cut into, never more than there are trials: honoured whatever sharing
        fits would prefer, each of about the same expected time; there may be one more where a grid has trials for a
        GPU beside others. None sizes messages by what their trials are expected
        to take: up to a minute, less towards the end, and trials that may share a fit stay together.
    share_fits : bool, default=True
        Fit trials that differ in the number of boosting rounds (or a network's epochs, if it has a ``random_state``)
        alone once, with the most, and score the model at each: the same scores, for less. False fits every trial by
        itself.
    name : str, default=None
        What you call the study; part of its identity. None is the estimator's class.
    error_score : float or "raise", default=nan
        Score of a fold that fails. With "raise" a failed trial raises `TrialError` when results are read as
        ``cv_results_``; the study itself goes on either way.
    return_train_score : bool, default=False
        Score the training parts too.
    trial_timeout : float, default=None
        Seconds for one trial on all its folds. Trials that share a fit and take longer together are fitted alone,
        and only one that takes longer alone counts as crashed: it is tried again, with its folds that are done and
        what is left of its seconds, ``WARREN_MAX_ATTEMPTS`` times in all, and then fails. None is what each worker's
        ``WARREN_TRIAL_SECONDS`` says, a week.
    validation_fraction : float, default=None
        Share of each fold's training part that early stopping watches, and that is not trained on, in trials with
        ``early_stopping_rounds`` (or what their library calls it). None lets it watch the held-out part, which is
        then both: the rounds are chosen by the rows that give the score, and the score is a little too good.
    priority : int, default=1
        From 1 to 9: the study's share of the workers beside other studies that run. One of priority 4 gets four times
        the time of one of priority 1; alone, any gets all. No part of its identity: the same call with another
        priority changes it.
    device : {"cpu", "gpu"}, default=None
        Where fits run. "gpu" sets the parameter of each library (``device``, ``device_type``, ``task_type``) on every
        XGBoost, LightGBM, CatBoost and Keras estimator in the study; such trials wait in the queue ``chunks.gpu`` for
        workers with a GPU. "cpu" takes back what asks for one. None is what the estimators and the grid say themselves.
        Numbers of a GPU are other ones, and so is the study.

    Returns
    -------
    Study

    Raises
    ------
    InputError
        Something can't be used; nothing was published. A ``ValueError`` whose text says what to do.
    StoreError, BrokerError
        A server is unreachable. One that goes away in the middle is waited for, ``WARREN_PATIENCE_SECONDS`` from the
        last time that it got on; if it stays away, the text says how much is in the queue, and the same call
        completes the study.

    Examples
    --------
    >>> study = submit(XGBClassifier(), {"max_depth": [3, 5], "n_estimators": [50, 100]}, X, y)  # doctest: +SKIP
    >>> study.wait().best_params_  # doctest: +SKIP
    {'max_depth': 3, 'n_estimators': 100}
    """
    # The first statement: all that is there by now are the arguments, and the options are among them.
    options = StudyOptions.of(locals())
    return submit_space(estimator, Space(param_grid), X, y, options, groups=groups, sample_weight=sample_weight)


def submit_space(
    estimator: Any,
    space: Space,
    X: Any,
    y: Any,
    options: StudyOptions,
    *,
    groups: Any = None,
    sample_weight: Any = None,
    folds: Sequence[tuple[Any, Any]] | None = None,
    weigh_scores: bool = True,
) -> Study:
    """Submit a study of a space that is made already.

    Parameters
    ----------
    estimator, X, y, groups, sample_weight
        As for `submit`.
    space : Space
        The points.
    options : StudyOptions
        As for `submit`.
    folds : sequence of (train, test), default=None
        What ``options.cv`` has drawn, where that may not be asked twice; None draws them.
    weigh_scores : bool, default=True
        Whether the scorers get the sample weights too.

    Returns
    -------
    Study

    Raises
    ------
    InputError, StoreError, BrokerError
        As `submit` raises them.
    """
    settings = load_settings()
    if space.size > _MOST_TRIALS:
        raise InputError(
            f"param_grid has {space.size:,} points: at most {_MOST_TRIALS:,} can be numbered in a database"
        )
    estimator, space = choose_device(options.device, settled(estimator), space, settings.allow)
    candidates = check_estimators(estimator, space, settings.allow)
    prepared = prepare(X, y, sample_weight=sample_weight, groups=groups, candidates=candidates)
    dataset, target = prepared.dataset, prepared.y
    scorers, best_by = check_scoring(options.scoring, options.refit, candidates.estimators, settings.allow)
    drawn = options.cv if folds is None else folds
    splits = make_splits(drawn, dataset.X, target, prepared.groups, classifier=candidates.classifier)
    check_early_stopping(options.validation_fraction, candidates, space, settings.allow)
    data_parts, index_parts = dataset_parts(dataset), splits_parts(splits)
    validation_parts = None
    if (fraction := options.validation_fraction) is not None:
        validation_parts = splits_parts(
            make_validation(fraction, splits, options.cv, target, prepared.groups, classifier=candidates.classifier)
        )
    objective = Objective(
        estimator=candidates.encoded,
        dataset=digest(data_parts),
        dataset_values=prepared.values_digest(data_parts),
        splits=digest(index_parts),
        validation=digest(validation_parts) if validation_parts else None,
        n_splits=len(splits),
        scorers=scorers,
        refit=best_by,
        error_score=options.error_score,
        return_train_score=options.return_train_score,
        weigh_scores=weigh_scores,
        configuration=configuration_here(),
    )
    check_objective(objective)
    encoded_space = space.encode(settings.allow)
    tell_deprecated([candidates.encoded, encoded_space])
    study_name = options.name or _usual_name(candidates.estimators)
    study_id = _study_id(study_name, objective, encoded_space, member=candidates.estimator_is_member)
    about = _about(dataset)
    study = StudyDocument.new(
        study_id,
        name=study_name,
        n_trials=space.size,
        n_splits=len(splits),
        train_rows=round(sum(len(train) for train, _ in splits) / len(splits)),
        n_classes=len(np.unique(target)) if candidates.classifier and target is not None else 0,
        objective=objective.model_dump(),
        space=packed(encoded_space),
        estimator_in_grid=candidates.own,
        data=about,
        n_chunks=options.n_chunks,
        share_fits=options.share_fits,
        trial_timeout=options.trial_timeout,
        priority=options.priority,
        versions=relevant([candidates.encoded, encoded_space], about.X),
    )
    about_splits = {"kind": "splits", "n_splits": len(splits), "n_samples": about.n_samples}
    blobs: list[_Blob] = [
        (objective.dataset, partial(write_parts, data_parts), {"kind": "dataset"} | about.model_dump()),
        (objective.splits, partial(write_parts, index_parts, compress=True), about_splits),
    ]
    if objective.validation and validation_parts:
        write_validation = partial(write_parts, validation_parts, compress=True)
        blobs.append((objective.validation, write_validation, about_splits | {"kind": "validation"}))
    keys = Keys(settings.key)
    if not keys:
        tell_unsigned()
    store = Store(settings)
    ride = wait_for_store(settings, logger, f"submitting study {study_id} waits for the database")
    try:
        # Both servers answer before anything is stored: a study without messages would look like one that runs.
        store.ping()
        broker.check(settings)
        try:
            kept = ride(_keep, store, keys, blobs, study)
        except StoreError as exc:
            raise StoreError(f"{exc}. Nothing was published: the same submit() goes on from here") from exc
        if kept.state != "COMPLETE":
            publish_missing(store, settings, study_id, Objective.model_validate(kept.objective), space)
    except BaseException:  # Ctrl-C too: nobody else closes the store
        store.close()
        raise
    return Study(kept, settings, SharedStore(store))


def _keep(store: Store, keys: Keys, blobs: Sequence[_Blob], study: StudyDocument) -> StudyPlan:
    """Store a study and its data, as far as they are not there; return the study as it is there."""
    store.prepare()
    changing: tuple[str, ...] = _RUNNING
    if (earlier := store.study(study.id, StudyDefinition)) is not None:
        # The same data may have come in another container, or with other numbers of rows: those that are there count.
        kept, sent = earlier.objective["dataset"], study.objective["dataset"]
        if kept != sent and store.datasets.has(kept) and study_problem(keys, earlier) is None:
            blobs = [blob for blob in blobs if blob[0] != sent]
            study = study.model_copy(update={"objective": earlier.objective})
        else:
            changing = (*changing, "objective")
    if signed := signed_study(keys, study):
        study = study.model_copy(update=signed)
        # Not what is there, which anybody may have written: what this submission is made of.
        changing = (*changing, *IMMUTABLE, "signature", "space")
    # Data before the study that points to it, the study before the messages that name it.
    for blob in blobs:
        store.datasets.put(*blob)
    store.create_study(study)
    stored = store.update_study(study.id, {"$set": study.to_document(changing)}) or study
    # Once more: who deleted another study with the same data may not have known that this one needs it too.
    for blob in blobs:
        store.datasets.put(*blob)
    return stored


def _usual_name(estimators: Iterable[Any]) -> str:
    return "+".join(dict.fromkeys(type(one).__name__ for one in estimators))[:LONGEST_NAME]


def _study_id(name: str, objective: Objective, encoded_space: Json, *, member: bool = False) -> str:
    """Name a study by what it is: the same name, objective and space have the same id on every machine.

    Earlier versions took a step called "estimator" in a grid for the trial's own estimator: what they found is not
    this study (`member`).
    """
    what = [name, objective.identity(), encoded_space, *(["estimator is a member"] if member else [])]
    content = json.dumps(what, sort_keys=True)
    if len(content) > _LARGEST_SPACE:
        raise InputError(
            f"param_grid takes {len(content) / 2**20:.0f} MiB as JSON, and a study document holds "
            f"{_LARGEST_SPACE // 2**20}: pass a range(...) for long runs of integers, or several studies"
        )
    slug = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:LONGEST_NAME]
    return f"{slug or 'study'}-{hashlib.sha256(content.encode()).hexdigest()[:_ID_DIGITS]}"


def _about(dataset: Dataset) -> Data:
    """Return what a person wants to know of the data in Compass."""
    kind = type(dataset.X).__name__
    shape = [int(side) for side in dataset.X.shape]
    return Data(X=kind, shape=shape, n_samples=shape[0], bytes=dataset.nbytes)
