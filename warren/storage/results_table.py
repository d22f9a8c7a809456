"""The results of a study as one table: one row per trial, by number, and one column per field.

Reading thousands of documents is slow for a server and on a network. So a study with many trials
stores its table as a Parquet file (https://parquet.apache.org/docs/file-format/) when it ends, and
its results are read from that. The documents are authoritative; the file is only a copy.
"""

from __future__ import annotations

import io
import logging
from collections.abc import Iterable, Mapping
from itertools import chain, islice
from typing import IO, TYPE_CHECKING, Any

from warren.errors import StoreError, StudyError
from warren.messages import Objective
from warren.storage.blobs import Blobs
from warren.storage.expected_trials import COMPARED, Expected
from warren.storage.own_trials import OwnTrials
from warren.storage.study_document import StudyDefinition
from warren.storage.trials import Trials

if TYPE_CHECKING:
    import pyarrow as pa

logger = logging.getLogger(__name__)

# A study with so many trials stores its table: fewer are read quickly from their documents.
_TABLE_TRIALS = 2_000
# Columns by type; every trial document has these fields, or lacks those that do not apply.
_INTEGERS = ("number", "failed_fits", "shared_by", "attempts")
_TEXTS = ("state", "estimator", "error", "output", "worker", "device")
_NUMBERS = ("fit_seconds", "score_seconds", "saved_seconds", "mean_best_iteration")
_MOMENTS = ("started_at", "finished_at")
# Lists with one number per fold.
_BY_FOLD = ("split_fit_seconds", "split_score_seconds")
# Allowed bytes of a trial's texts in an uncompressed table, and of a number, with some reserve.
_TEXT_BYTES, _NUMBER_BYTES = 2**16, 16
# Documents that are Python objects at the same time.
_PAGE = 5_000


def schema(scores: Iterable[str]) -> pa.Schema:
    """Return the columns of a table.

    Parameters
    ----------
    scores : iterable of str
        The scored parts, such as ``test_accuracy`` and ``train_accuracy``: `Objective.parts`.

    Returns
    -------
    pyarrow.Schema
        Names and types.
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
        See `schema`. A missing field becomes null.

    Returns
    -------
    pyarrow.Table
        Sorted by number.

    Raises
    ------
    StudyError
        A document was changed by hand: a field has a value that no worker writes.
    """
    import pyarrow as pa

    batches, left = [], iter(documents)
    try:
        while page := list(islice(left, _PAGE)):
            arrays = [pa.array([document.get(field.name) for document in page], field.type) for field in columns]
            batches.append(pa.record_batch(arrays, schema=columns))
    except pa.ArrowException as exc:
        raise StudyError(f"a result has a value that no worker writes: {exc}. Was a document changed by hand?") from exc
    return pa.Table.from_batches(batches, columns).sort_by("number").combine_chunks()


def to_parquet(table: pa.Table) -> bytes:
    """Return a table as the bytes of a Parquet file."""
    import pyarrow.parquet as pq

    sink = io.BytesIO()
    pq.write_table(table, sink, compression="zstd", use_dictionary=list(_TEXTS))
    return sink.getvalue()


def from_parquet(content: bytes, columns: pa.Schema, n_trials: int, n_splits: int) -> pa.Table | None:
    """Return the table of a Parquet file.

    Parameters
    ----------
    content : bytes
        The file.
    columns : pyarrow.Schema
        See `schema`.
    n_trials, n_splits : int
        The number of its rows, and of the numbers in a list by fold.

    Returns
    -------
    pyarrow.Table or None
        None if it has other columns: an earlier version may have stored fewer.

    Raises
    ------
    StudyError
        It was not written by `to_parquet` for so many trials; its decompressed size is checked
        before reading.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(io.BytesIO(content)) as file:
            about = file.metadata
            if not file.schema_arrow.equals(columns):
                return None
            groups = [about.row_group(number) for number in range(about.num_row_groups)]
            chunks = [group.column(number) for group in groups for number in range(group.num_columns)]
            size = sum(chunk.total_uncompressed_size for chunk in chunks)
            values = sum(chunk.num_values for chunk in chunks)
            most = n_trials * max(n_splits, 1) * len(columns)
            most_bytes = _TEXT_BYTES * (n_trials + 1) + _NUMBER_BYTES * most
            if about.num_rows != n_trials or values > most or size > most_bytes:
                raise StudyError(f"{about.num_rows:,} rows, {values:,} values, {size:,} bytes for {n_trials:,} trials")
            table = file.read().combine_chunks()
            table.validate(full=True)
    except (pa.ArrowException, LookupError, MemoryError, OSError, ValueError) as exc:
        raise StudyError(f"a table that can't be read: {type(exc).__name__}: {exc}") from exc
    return table


def _is_whole(table: pa.Table, expected: Expected) -> bool:
    """Return whether a table has one row per trial, and one number per fold in its lists."""
    import pyarrow.compute as pc
    import pyarrow.types as kinds

    if table.column("number").to_pylist() != list(range(expected.n_trials)):
        return False
    lists = [table.column(field.name) for field in table.schema if kinds.is_list(field.type)]
    return all(pc.all(pc.equal(pc.list_value_length(part), expected.n_splits)).as_py() is True for part in lists)


class Tables:
    """The tables of one database.

    Parameters
    ----------
    trials : Trials
        The results of all studies.
    files : Blobs
        The bucket ``results``.

    Raises
    ------
    StoreError
        `read` and `delete_of` raise it when the server is unreachable or refuses.
    """

    def __init__(self, trials: Trials, files: Blobs) -> None:
        self._trials = trials
        self._files = files

    def keep(self, study: StudyDefinition, publications: int | None) -> str | None:
        """Keep the results of a study that ends.

        This is only for speed: an error is logged, and the study ends without a table.

        Parameters
        ----------
        study : StudyDefinition
        publications : int or None
            Its number of publications when all trials had ended.

        Returns
        -------
        str or None
            The name of the file; None if there is none.
        """
        study_id, n_trials = study.id, study.n_trials
        if n_trials < _TABLE_TRIALS:
            return None
        objective = Objective.model_validate(study.objective)
        columns = schema(objective.parts)
        expected = Expected(study_id, n_trials, objective)
        try:
            found = self._trials.of(study_id, [*columns.names, *COMPARED])
            table = as_table(expected.own(found, expected.result), columns)
            if table.num_rows != n_trials:  # some were deleted meanwhile
                return None
            content = to_parquet(table)
            self.delete_of(study_id)  # tables of earlier publications
            name = f"{study_id}.{publications}.parquet"

            def write(stream: IO[bytes]) -> None:
                stream.write(content)

            self._files.put(name, write, {"study": study_id, "trials": n_trials})
        except (StoreError, StudyError) as exc:
            logger.warning("a study keeps no table of its results", extra={"study": study_id, "reason": str(exc)})
            return None
        return name

    def read(self, trials: OwnTrials, columns: pa.Schema, name: str | None) -> pa.Table:
        """Return the results of a study so far, from its file or from the documents.

        Parameters
        ----------
        trials : OwnTrials
            The study's documents.
        columns : pyarrow.Schema
            See `schema`.
        name : str or None
            The file, if the study has ended.

        Returns
        -------
        pyarrow.Table
            The results.
        """
        if isinstance(name, str):
            expected = trials.expected
            try:
                kept = from_parquet(self._files.get(name), columns, expected.n_trials, expected.n_splits)
            except StudyError as exc:  # the study was resumed or deleted just now; or it is not a table
                about = {"study": expected.study_id, "reason": str(exc)}
                logger.info("results are read from their documents", extra=about)
            else:
                # An earlier version may have stored fewer columns, and another program anything.
                if kept is not None and _is_whole(kept, expected):
                    return kept
        return as_table(trials.of(columns.names), columns)

    def delete_of(self, study_id: str) -> None:
        """Delete the tables of a study."""
        self._files.delete_of(study_id)
