"""Studies of small trees, what they leave in the queue, and results as a worker would
write them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from sklearn.model_selection import ParameterGrid
from sklearn.tree import DecisionTreeClassifier

from producer import Study, submit
from warren.broker import channel
from warren.encoding.codec import readable
from warren.messages import Chunk, decode_chunk
from warren.queues import CHUNKS_QUEUE
from warren.settings import Settings
from warren.storage.documents import Document, now, pack, trial_id
from warren.storage.store import Store

X = np.arange(60.0).reshape(20, 3)
Y = np.arange(20) % 2
GRID = {"max_depth": [1, 2, 3, None], "min_samples_leaf": [1, 2, 5]}
TWELVE = list(ParameterGrid(GRID))


def submit_trees(**options: Any) -> Study:
    return submit(DecisionTreeClassifier(random_state=0), options.pop("grid", GRID), X, Y, **({"cv": 3} | options))


def waiting(settings: Settings) -> int:
    with channel(settings) as open_channel:
        return open_channel.queue_declare(CHUNKS_QUEUE, passive=True).method.message_count


def drain(settings: Settings) -> list[Chunk]:
    """Take every message of the queue."""
    found = []
    with channel(settings) as open_channel:
        for _ in range(open_channel.queue_declare(CHUNKS_QUEUE, passive=True).method.message_count):
            _, properties, body = open_channel.basic_get(CHUNKS_QUEUE, auto_ack=True)
            assert properties.delivery_mode == 2
            found.append(decode_chunk(body))
    return found


def numbers(chunks: Iterable[Chunk]) -> list[int]:
    return [trial.number for chunk in chunks for trial in chunk.trials]


def own_fields(study: Study, number: int, score: float = 0.5) -> Document:
    """Return the fields by which a result is known as the study's own: its point, and a
    score a fold."""
    [(_, params)] = study.space.encoded_points([number])
    folds = {f"split_{part}": [score] * study.objective.n_splits for part in study.objective.parts}
    return {"params": {name: readable(value) for name, value in params.items()}, **folds}


def finish(store: Store, study: Study, which: Iterable[int], state: str = "COMPLETE", estimated: float = 0.125) -> None:
    """Write results as a worker would, all of which ended at the same moment."""
    ended = now()
    documents = [
        {
            "_id": trial_id(study.id, number),
            "study_id": study.id,
            "number": number,
            "estimator": "DecisionTreeClassifier",
            "state": state,
            "error": None if state == "COMPLETE" else "fold 0: no",
            "mean_test_score": 0.5,
            "fit_seconds": 0.25,
            "score_seconds": 0.25,
            "saved_seconds": 0.0,
            "estimated_seconds": estimated,
            "finished_at": ended,
            **own_fields(study, number),
        }
        for number in which
    ]
    new = store.trials.insert([pack(document) for document in documents])
    store.add_progress(study.id, [documents[position] for position in new])


def files(store: Store) -> list[Document]:
    return list(store.datasets._files.find({}))


def stored(store: Store, study: Study | str) -> Document:
    """Return the document of a study as it lies there."""
    found = store._studies.find_one({"_id": study if isinstance(study, str) else study.id})
    assert found is not None
    return found
