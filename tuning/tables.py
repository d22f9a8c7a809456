"""The results of a study as one table: a row a trial, by number, and a column a field.

Reading thousands of documents is dear for a server and on a network. So a study of many trials keeps its table as a
Parquet file (https://parquet.apache.org/docs/file-format/) once it has ended, and its results are read from that. The
documents prove, the file is a copy of them.
"""

from __future__ import annotations

import io
import logging
from collections.abc import Iterable, Mapping
from contextlib import suppress
from itertools import chain, islice
from typing import IO, TYPE_CHECKING, Any

from tuning.blobs import Blobs
from tuning.documents import Document
from tuning.errors import StoreError, StudyError
from tuning.expected import COMPARED, Expected
from tuning.messages import Objective
from tuning.own import OwnTrials
from tuning.trials import Trials

if TYPE_CHECKING:
    import pyarrow as pa

logger = logging.getLogger(__name__)

# Trials from which on a study keeps its table: fewer are read from their documents in a moment.
_TABLE_TRIALS = 2_000
# By what they hold; every trial document has them, or lacks them where they say nothing.
_INTEGERS = ("number", "failed_fits", "shared_by", "attempts")
_TEXTS = ("state", "estimator", "error", "output", "worker", "device")
_NUMBERS = ("fit_seconds", "score_seconds", "saved_seconds", "mean_best_iteration")
_MOMENTS = ("started_at", "finished_at")
# A number a fold.
_BY_FOLD = ("split_fit_seconds", "split_score_seconds")
# Documents that are held as Python objects at a time.
_PAGE = 5_000


def schema(scores: Iterable[str]) -> pa.Schema:
    """Return the columns of a table.

    Parameters
    ----------
    scores : iterable of str
        What is scored, ``test_accuracy`` and ``train_accuracy``: `Objective.parts`.

    Returns
    -------
    pyarrow.Schema
    """
    import pyarrow as pa

    moment = pa.timestamp("us", tz="UTC")
    kinds = {
        pa.int64(): _INTEGERS,
        pa.string(): _TEXTS,
        pa.float64(): _NUMBERS,
        moment: _MOMENTS,
        pa.list_(pa.float64()): chain(_BY_FOLD, (f"split_{score}" for score in scores)),
    }
    return pa.schema([(name, kind) for kind, names in kinds.items() for name in names])


def as_table(documents: Iterable[Mapping[str, Any]], columns: pa.Schema) -> pa.Table:
    """Return trial documents as a table, by number.

    Parameters
    ----------
    documents : iterable of dict
        In any order.
    columns : pyarrow.Schema
        See `schema`. A document without a field has null there.

    Returns
    -------
    pyarrow.Table

    Raises
    ------
    StudyError
        A document was changed by hand: a field holds what no worker writes.
    """
    import pyarrow as pa

    batches, left = [], iter(documents)
    try:
        while page := list(islice(left, _PAGE)):
            arrays = [pa.array([document.get(field.name) for document in page], field.type) for field in columns]
            batches.append(pa.record_batch(arrays, schema=columns))
    except pa.ArrowException as exc:
        raise StudyError(f"a result holds what no worker writes: {exc}. Was a document changed by hand?") from exc
    return pa.Table.from_batches(batches, columns).sort_by("number").combine_chunks()


def to_parquet(table: pa.Table) -> bytes:
    """Return a table as the bytes of a Parquet file."""
    import pyarrow.parquet as pq

    sink = io.BytesIO()
    pq.write_table(table, sink, compression="zstd", use_dictionary=list(_TEXTS))
    return sink.getvalue()


def from_parquet(content: bytes) -> pa.Table:
    """Return the table of a Parquet file.

    Raises
    ------
    StudyError
        It is none.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        return pq.read_table(io.BytesIO(content)).combine_chunks()
    except (pa.ArrowException, OSError) as exc:
        raise StudyError(f"a table of results can't be read: {exc}") from exc


def _is_whole(table: pa.Table, expected: Expected) -> bool:
    """Say whether a table has a row a trial, by number, and a number a fold."""
    import pyarrow.compute as pc
    import pyarrow.types as kinds

    if table.column("number").to_pylist() != list(range(expected.n_trials)):
        return False
    lists = [table.column(field.name) for field in table.schema if kinds.is_list(field.type)]
    return all(pc.all(pc.equal(pc.list_value_length(one), expected.n_splits)).as_py() is True for one in lists)


class Tables:
    """The tables of one database.

    Parameters
    ----------
    trials : Trials
    files : Blobs
        The bucket ``results``.

    Raises
    ------
    StoreError
        From `read` and `delete_of`: the server is unreachable or refuses.
    """

    def __init__(self, trials: Trials, files: Blobs) -> None:
        self._trials = trials
        self._files = files

    def keep(self, study: Document, publications: int | None) -> str | None:
        """Keep the results of a study that ends.

        It is for speed alone: what goes wrong is logged, and the study ends without.

        Parameters
        ----------
        study : dict
            Its document.
        publications : int or None
            How often it was published when all trials had ended.

        Returns
        -------
        str or None
            The name of the file; None where there is none.
        """
        study_id, n_trials = study["_id"], study["n_trials"]
        if n_trials < _TABLE_TRIALS:
            return None
        objective = Objective.model_validate(study["objective"])
        columns = schema(objective.parts)
        expected = Expected(study_id, n_trials, objective)
        try:
            found = self._trials.of(study_id, [*columns.names, *COMPARED])
            table = as_table(expected.own(found, expected.result), columns)
            if table.num_rows != n_trials:  # some were taken back meanwhile
                return None
            content = to_parquet(table)
            self.delete_of(study_id)  # those of earlier publications
            name = f"{study_id}.{publications}.parquet"

            def write(stream: IO[bytes]) -> None:
                stream.write(content)

            self._files.put(name, write, {"study": study_id, "trials": n_trials})
        except (StoreError, StudyError) as exc:
            logger.warning("a study keeps no table of its results", extra={"study": study_id, "reason": str(exc)})
            return None
        return name

    def read(self, trials: OwnTrials, columns: pa.Schema, name: str | None) -> pa.Table:
        """Return the results that a study has by now: of its file, or of the documents where it has none."""
        if isinstance(name, str):
            with suppress(StudyError):  # the study was taken up again, or deleted, this moment
                kept = from_parquet(self._files.get(name))
                # An earlier version may have kept less, and somebody else anything.
                if kept.schema.equals(columns) and _is_whole(kept, trials.expected):
                    return kept
        return as_table(trials.of(columns.names), columns)

    def delete_of(self, study_id: str) -> None:
        """Delete what a study keeps."""
        self._files.delete_of(study_id)
