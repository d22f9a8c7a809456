"""What `submit` publishes, evaluated by a worker's evaluator in this process, with no
server between."""

from __future__ import annotations

import contextlib
import io
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import IO, Any, cast
from unittest import mock

from blobs import Blobs
from evaluating import SETTINGS
from sklearn import config_context, model_selection
from sklearn.base import clone
from threadpoolctl import threadpool_limits

from producer import GridSearchCV, submission
from producer.models.loading import load
from producer.space.space import Space
from warren.messages import Chunk, Objective, Trial, encode_chunk
from warren.storage.dataset import Dataset, read_dataset
from warren.storage.documents import Document, pack, unpack
from warren.storage.study_document import StudyDocument
from worker.database import PackedModel
from worker.process.database_access import store_model
from worker.training.evaluator import ChunkEvaluator


class Files(Blobs):
    """Keeps what is written, as GridFS would."""

    def put(self, name: str, write: Callable[[IO[bytes]], None], _about: Document) -> None:
        stream = io.BytesIO()
        write(stream)
        self.content[name] = stream.getvalue()

    def store_model(self, number: int, model: PackedModel, cls: str) -> Document:
        return store_model(cast("Any", SimpleNamespace(models=self)), "study", number, model, cls)


class Store(SimpleNamespace):
    """As much of a store as a submission and a worker need."""

    def __init__(self, files: Files) -> None:
        super().__init__(datasets=files, models=files, studies=[])
        self.study = self.update_study = self.close = self.ping = self.prepare = lambda *_: None

    def create_study(self, study: StudyDocument) -> None:
        self.studies.append(study)


class Unqueued:
    """One worker and the data that it was sent. Studies that are evaluated one after the other
    share its caches."""

    def __init__(self, **settings: Any) -> None:
        self.files = Files()
        self.store: Any = Store(self.files)
        self.settings = SETTINGS.model_copy(update={"allow": (settings["WARREN_ALLOW"],)}) if settings else SETTINGS
        self.evaluator = ChunkEvaluator(self.files, self.settings)

    @contextmanager
    def instead_of_servers(self) -> Iterator[None]:
        """Let submissions store here, and publish nothing."""
        with (
            mock.patch.object(submission, "Store", return_value=self.store),
            mock.patch.object(submission, "Study"),
            mock.patch.object(submission, "publish_missing"),
            mock.patch.object(submission.broker, "check"),
        ):
            yield

    def submitted(self, estimator: Any, grid: Any, X: Any, y: Any, **options: Any) -> StudyDocument:
        """Return the definition of a study whose data are stored."""
        with self.instead_of_servers():
            submission.submit(estimator, grid, X, y, **{"cv": 3} | options)
        return self.store.studies[-1]

    def arrived(self, definition: StudyDocument) -> Dataset:
        """Return the data of a study as a worker has them."""
        return read_dataset(self.files.content[definition.objective["dataset"]])

    def evaluate(self, estimator: Any, grid: Any, X: Any, y: Any, **options: Any) -> list[Document]:
        """Return the documents of all trials, by number."""
        return _all(self.trials(estimator, grid, X, y, **options))

    def searched(
        self, estimator: Any, grid: Any, X: Any, y: Any, fit: dict[str, Any], **options: Any
    ) -> list[Document]:
        """Return the same of a search's ``fit``, which ends where it would wait for a result."""
        submitted_only = mock.patch.object(GridSearchCV, "_wait", side_effect=_SubmittedError)
        with self.instead_of_servers(), submitted_only, contextlib.suppress(_SubmittedError):
            GridSearchCV(estimator, grid, **{"cv": 3} | options).fit(X, y, **fit)
        return _all(self._run(self.store.studies[-1], grid))

    def trials(self, estimator: Any, grid: Any, X: Any, y: Any, **options: Any) -> Iterator[list[Document]]:
        """Return the same, evaluated as it is advanced."""
        return self._run(self.submitted(estimator, grid, X, y, **options), grid)

    def model(self, estimator: Any, X: Any, y: Any, **options: Any) -> Any:
        """Return an estimator that was fitted there, as ``best_estimator_`` is."""
        definition = self.submitted(estimator, [{}], X, y, **options)
        definition.objective.update(n_splits=1, keep_model=True)
        [document] = _all(self._run(definition, [{}]))
        assert document["model"], document["error"]
        content = self.files.content[document["model"]["file"]]
        # As if it were signed: otherwise each file of CatBoost is tried in a process of
        # its own first.
        return load(content, document["model"], clone(estimator), self.settings.allow, vouched=True)

    def _run(self, definition: StudyDocument, grid: Any) -> Iterator[list[Document]]:
        objective = Objective.model_validate(definition.objective)
        trials = tuple(Trial(number=number, params=params) for number, params in Space(grid).encoded_points())
        chunk = Chunk(study_id=definition.id, generation=1, index=0, objective=objective, trials=trials)
        # A worker's process knows nothing of what is set here.
        with config_context(**DEFAULTS):
            return self.evaluator.evaluate(encode_chunk(chunk))


class _SubmittedError(Exception):
    """A search has submitted its study."""


def _all(trials: Iterator[list[Document]]) -> list[Document]:
    with config_context(**DEFAULTS), threadpool_limits(1), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        ended = [unpack(pack(one)) for documents in trials for one in documents]
    return sorted(ended, key=lambda one: one["number"])


DEFAULTS: dict[str, Any] = {
    **{"assume_finite": False, "working_memory": 1024, "pairwise_dist_chunk_size": 256},
    **{"enable_cython_pairwise_dist": True, "array_api_dispatch": False, "transform_output": "default"},
    **{"enable_metadata_routing": False, "skip_parameter_validation": False},
}


def as_scikit_learn(
    estimator: Any, grid: Any, X: Any, y: Any, fit: dict[str, Any] | None = None, **options: Any
) -> list[list[float]]:
    """Return what scikit-learn's own search gives for each candidate, fold by fold."""
    with warnings.catch_warnings(), threadpool_limits(1):
        warnings.simplefilter("ignore")
        search = model_selection.GridSearchCV(estimator, grid, refit=False, **{"cv": 3} | options).fit(
            X, y, **(fit or {})
        )
    scored = next(name for name in search.cv_results_ if name.startswith("split0_test_")).removeprefix("split0_")
    folds = [search.cv_results_[f"split{number}_{scored}"] for number in range(search.n_splits_)]
    return [[float(one) for one in candidate] for candidate in zip(*folds, strict=True)]


def scores(documents: list[Document]) -> list[list[float]]:
    """Return the same of trial documents, all of which must be complete."""
    assert [one["error"] for one in documents] == [None] * len(documents)
    return [one["split_test_score"] for one in documents]
