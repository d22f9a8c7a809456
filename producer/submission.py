"""``submit`` checks everything, then stores the study, then publishes it, and returns at once."""

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

# Arguments of `Blobs.put`: the digest, a function that writes the content, and facts for people.
_Blob: TypeAlias = tuple[str, Callable[[IO[bytes]], None], Document]

# MongoDB's integers have 64 bits.
_MOST_TRIALS = 2**63 - 1
# Most bytes of the space as JSON: MongoDB's documents hold 16 MiB, and BSON may need more than
# JSON.
_LARGEST_SPACE = 8 * 2**20
# Run settings, which may change from one submission to the next; they are not in the identity.
_RUNNING = ("n_chunks", "share_fits", "trial_timeout", "priority", "versions")
# Hexadecimal digits of the digest in an id: 48 bits distinguish a database's studies.
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
    """Submit a study: workers cross-validate every point of a grid. Returns at once.

    The same call again resumes the study: it publishes only trials without a result. The servers
    are those in ``AMQP_URL`` and ``MONGO_URL``.

    Parameters
    ----------
    estimator : estimator instance or None
        An estimator of XGBoost, LightGBM, CatBoost or scikit-learn. The workers' setting replaces
        its ``n_jobs``, ``thread_count`` and the like. None if every grid has its own:
        ``{"estimator": [...], ...}``.
    param_grid : dict of str to sequence, or list of such dicts
        As for `sklearn.model_selection.GridSearchCV`, with the same order of candidates.
    X : ndarray, DataFrame or sparse matrix of shape (n_samples, n_features)
        The samples.
    y : array-like of shape (n_samples,) or (n_samples, n_outputs), default=None
        Numbers or labels.
    scoring : str, scorer, list of str, or dict of str to (str or scorer), default=None
        Names of scikit-learn's scorers, or ``make_scorer(...)`` of its metric functions, such as
        ``make_scorer(fbeta_score, beta=2)``; higher is better. None is the estimator's own
        ``score``.
    cv : int, splitter or iterable of (train, test) indices, default=5
        The study stores the indices, not the splitter. An int is stratified for classifiers.
    groups : array-like of shape (n_samples,), default=None
        For splitters that keep groups together.
    sample_weight : array-like of shape (n_samples,), default=None
        As in ``GridSearchCV.fit(X, y, sample_weight=...)``: for ``fit``, and, if the workers have
        scikit-learn 1.7 or later, for the scorers that accept weights.
    refit : str, default=None
        With several metrics, the one that determines the best trial; None is the first.
    n_chunks : int, default=None
        Number of messages that the trials are cut into, at most the number of trials. It overrides
        what sharing fits would prefer. Each message takes about the same expected time; there may
        be one more if the grid has trials for a GPU and others. None sizes messages by the expected
        time of their trials: up to a minute, less towards the end, and trials that may share a fit
        stay together.
    share_fits : bool, default=True
        Fit trials once that differ only in the number of boosting rounds (or a network's epochs, if
        it has a ``random_state``). The fit uses the largest number, and the model is scored at
        each: the same scores in less time. False fits every trial separately.
    name : str, default=None
        The study's name, which is part of its identity. None is the estimator's class.
    error_score : float or "raise", default=nan
        Score of a fold that fails. With "raise", a failed trial raises `TrialError` when results
        are read as ``cv_results_``; the study continues in both cases.
    return_train_score : bool, default=False
        Whether to score the training parts, too.
    trial_timeout : float, default=None
        Seconds for one trial on all its folds. Trials that share a fit and together take longer are
        fitted separately. A trial that takes longer alone counts as crashed: it is tried again,
        with its finished folds and its remaining seconds, ``WARREN_MAX_ATTEMPTS`` times in all, and
        then fails. None is each worker's ``WARREN_TRIAL_SECONDS``, by default a week.
    validation_fraction : float, default=None
        Share of each fold's training part that early stopping watches and the fit does not use, in
        trials with ``early_stopping_rounds`` (or their library's name for it). None watches the
        held-out part. The same rows then choose the rounds and give the score, so that the score is
        slightly too good.
    priority : int, default=1
        From 1 to 9: the study's share of the workers while other studies run. A study of priority 4
        gets four times the time of one of priority 1; a single study gets everything. The priority
        is not part of the identity: the same call with another priority changes it.
    device : {"cpu", "gpu"}, default=None
        Where fits run. "gpu" sets the parameter of each library (``device``, ``device_type``,
        ``task_type``) on every XGBoost, LightGBM, CatBoost and Keras estimator in the study; such
        trials wait in the queue ``chunks.gpu`` for workers with a GPU. "cpu" removes parameters
        that ask for a GPU. None uses what the estimators and the grid say. A GPU computes other
        numbers, so the device is part of the identity.

    Returns
    -------
    Study
        The new study, or the existing one if it was submitted before.

    Raises
    ------
    InputError
        An argument is invalid; nothing was published. A ``ValueError`` whose text says what to do.
    StoreError, BrokerError
        A server is unreachable. If one becomes unreachable later, the call waits
        ``WARREN_PATIENCE_SECONDS`` from the last progress; if it stays away, the text says how much
        is in the queue, and the same call completes the study.

    Examples
    --------
    >>> grid = {"max_depth": [3, 5], "n_estimators": [50, 100]}
    >>> study = submit(XGBClassifier(), grid, X, y)  # doctest: +SKIP
    >>> study.wait().best_params_  # doctest: +SKIP
    {'max_depth': 3, 'n_estimators': 100}
    """
    # This must be the first statement: `locals` then has only the arguments, the options among
    # them.
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
    """Submit a study of an existing space.

    Parameters
    ----------
    estimator : estimator instance or None
        As for `submit`.
    space : Space
        The points.
    X : ndarray, DataFrame or sparse matrix of shape (n_samples, n_features)
        The samples.
    y : array-like of shape (n_samples,) or (n_samples, n_outputs)
        Numbers or labels.
    options : StudyOptions
        As for `submit`.
    groups : array-like of shape (n_samples,), default=None
        As for `submit`.
    sample_weight : array-like of shape (n_samples,), default=None
        As for `submit`.
    folds : sequence of (train, test), default=None
        The folds of ``options.cv`` if a caller has drawn them already; None draws them.
    weigh_scores : bool, default=True
        Whether the scorers use the sample weights, too.

    Returns
    -------
    Study
        The study.

    Raises
    ------
    InputError, StoreError, BrokerError
        As for `submit`.
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
        # Check both servers before anything is stored: a study without messages would look as if it
        # ran.
        store.ping()
        broker.check(settings)
        try:
            kept = ride(_keep, store, keys, blobs, study)
        except StoreError as exc:
            raise StoreError(f"{exc}. Nothing was published: the same submit() goes on from here") from exc
        if kept.state != "COMPLETE":
            publish_missing(store, settings, study_id, Objective.model_validate(kept.objective), space)
    except BaseException:  # Ctrl-C too: no other code closes the store
        store.close()
        raise
    return Study(kept, settings, SharedStore(store))


def _keep(store: Store, keys: Keys, blobs: Sequence[_Blob], study: StudyDocument) -> StudyPlan:
    """Store a study and its data unless they exist; return the study as stored."""
    store.prepare()
    changing: tuple[str, ...] = _RUNNING
    if (earlier := store.study(study.id, StudyDefinition)) is not None:
        # The same data may be stored in another container or with other row numbers: use the stored
        # ones.
        kept, sent = earlier.objective["dataset"], study.objective["dataset"]
        if kept != sent and store.datasets.has(kept) and study_problem(keys, earlier) is None:
            blobs = [blob for blob in blobs if blob[0] != sent]
            study = study.model_copy(update={"objective": earlier.objective})
        else:
            changing = (*changing, "objective")
    if signed := signed_study(keys, study):
        study = study.model_copy(update=signed)
        # Sign this submission's definition, not the stored one, which others may have written.
        changing = (*changing, *IMMUTABLE, "signature", "space")
    # Store the data before the study that refers to it, and the study before the messages.
    for blob in blobs:
        store.datasets.put(*blob)
    store.create_study(study)
    stored = store.update_study(study.id, {"$set": study.to_document(changing)}) or study
    # Put the data again: another process may have deleted it with another study in the meantime.
    for blob in blobs:
        store.datasets.put(*blob)
    return stored


def _usual_name(estimators: Iterable[Any]) -> str:
    return "+".join(dict.fromkeys(type(one).__name__ for one in estimators))[:LONGEST_NAME]


def _study_id(name: str, objective: Objective, encoded_space: Json, *, member: bool = False) -> str:
    """Return the study's id: equal name, objective and space give the same id on every machine.

    Earlier versions took a step called "estimator" in a grid for the trial's own estimator, so
    their results are not those of this study (`member`).
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
    """Return facts about the data, shown in Compass."""
    kind = type(dataset.X).__name__
    shape = [int(side) for side in dataset.X.shape]
    return Data(X=kind, shape=shape, n_samples=shape[0], bytes=dataset.nbytes)
