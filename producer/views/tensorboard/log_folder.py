"""TensorBoard's log folder: a run for every trial, and the columns of the HParams table.

The folder mirrors the database. A file's name identifies its result (end time and the kinds of the
table's columns), so the names alone show what is missing or out of date, also after a restart::

    <folder>/events.out.tfevents.0.<digest>.warren the columns
    <folder>/<study>/<number>/events.out.tfevents.<ended>.<digest>.warren a trial
    <folder>/<study>/<number>/events.out.tfevents.training.warren a network in training, see
    `Growing`
"""

from __future__ import annotations

import contextlib
import heapq
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from zlib import crc32

from filelock import FileLock, Timeout

from producer.views.tensorboard.events import (
    Experiment,
    encode_experiment,
    encode_run,
    file_name,
    is_number,
    run_folder,
    stamps,
)
from producer.views.tensorboard.hparams import Columns
from producer.views.tensorboard.live_runs import TRAINING, Growing
from producer.views.tensorboard.runs import STUDY, StudyRuns
from warren.errors import InputError, StoreError, short
from warren.storage.documents import Document, now
from warren.storage.own_trials import OwnTrials
from warren.storage.readable_studies import skip
from warren.storage.store import Store

# Default for the most runs of a study: TensorBoard reads them all into memory, and its table takes
# a second per thousand runs.
MOST_RUNS = 1000
# Part of every file name: increase it when the content of the files changes, so that folders are
# written again.
_FORMAT = 3
# Seconds by which results may be late: workers write them up to a second after the trial's end, and
# clocks differ.
_LATE_SECONDS = 15.0
# Most results that one read gets by end time; comparing numbers finds the rest.
_MOST_NEW = 20_000
# From this share of a study's trials on, reading all is cheaper than finding each by number.
_MOST_SHARE = 0.1

_LISTED = ("name", "created_at", "publications", "progress", "n_trials", "state")
_DEFINED = ("objective", "space", "estimator_in_grid")
_RANKED = ("number", "state", "mean_test_score", "failed_fits", "finished_at")


@dataclass(frozen=True, kw_only=True)
class Changes:
    """The changes that a refresh made to the folder.

    Attributes
    ----------
    written, removed : int
        Number of runs.
    shown, ended : int
        Number of runs in the folder, and of trials that have ended, of all studies together.
    studies : int
        Number of studies.
    """

    written: int
    removed: int
    shown: int
    ended: int
    studies: int


class Board:
    """A log folder that mirrors the current studies.

    Parameters
    ----------
    store : Store
    folder : path-like
        Created if missing. Files of other programs stay; runs of studies that are not shown are
        removed.
    study_ids : sequence of str, default=()
        Studies to show; empty shows all.
    most_runs : int, default=1000
        Most trials of a study to show: first those with the best scores, then those without a
        score.

    Raises
    ------
    InputError
        The folder can't be written, or another process writes to it.
    """

    def __init__(
        self, store: Store, folder: str | os.PathLike[str], study_ids: Sequence[str] = (), most_runs: int = MOST_RUNS
    ) -> None:
        self._store = store
        self.folder = Path(folder).resolve()
        self._wanted = set(study_ids)
        self._most_runs = most_runs
        self._studies: dict[str, StudyRuns] = {}
        self._running: list[StudyRuns] = []
        self._columns = Columns({})
        # Whether the folder may be out of date, and whether TensorBoard may have read it.
        self._stale = True
        self._shown = False
        self._lock = self._prepare()
        self._growing = Growing(self.folder)

    def _prepare(self) -> FileLock:
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            lock = FileLock(self.folder / ".warren.lock", thread_local=False)
            lock.acquire(timeout=0)
        except Timeout:
            raise InputError(
                f"another `warren tensorboard` writes into {self.folder}: stop it, or pass another --logdir"
            ) from None
        except OSError as exc:
            raise InputError(f"can't write into {self.folder} ({exc}): pass another --logdir") from exc
        return lock

    def close(self) -> None:
        """Release the folder, so that another process may write to it."""
        self._lock.release()

    def refresh(self) -> Changes:
        """Bring the folder up to date.

        After the first call, a changed run is removed by one call and written by the next:
        TensorBoard keeps what it has read of a run until it sees that the run is gone.

        Returns
        -------
        Changes

        Raises
        ------
        StoreError
            The database is unreachable; the folder stays as it was.
        InputError
            The folder can't be written.
        """
        self._read()
        written = removed = 0
        try:
            if self._stale:
                written, removed = self._mirror()
            self._show_training()
        except StoreError:  # it is a ConnectionError, and so an OSError
            raise
        except OSError as exc:
            way_out = "free some disk space, or pass another --logdir"
            raise InputError(f"can't write into {self.folder} ({exc}): {way_out}") from exc
        shown = sum(min(len(study.ended), self._most_runs) for study in self._studies.values())
        ended = sum(len(study.ended) for study in self._studies.values())
        return Changes(written=written, removed=removed, shown=shown, ended=ended, studies=len(self._studies))

    # --------------------------------------------------------------- the database

    def _read(self) -> None:
        """Read the new results."""
        listed = [
            document
            for document in self._store.studies(fields=_LISTED)
            if not self._wanted or document["_id"] in self._wanted
        ]
        before, self._studies = self._studies, {}
        for document in reversed(listed):
            study = before.get(document["_id"])
            if study is None or study.created_at != document["created_at"]:
                definition = self._store.study(document["_id"], _DEFINED)
                if definition is None:  # deleted since it was listed
                    continue
                try:
                    study = StudyRuns(document, definition)
                except (InputError, ValueError, LookupError, TypeError, AttributeError) as exc:
                    skip(document["_id"], f"its document is invalid ({short(str(exc))})")
                    continue
            self._studies[study.id] = study
        if self._studies != before:
            self._columns = Columns.merged(study.columns for study in self._studies.values())
            self._stale = True
        self._running = []
        for document in listed:
            if document["_id"] in self._studies:
                self._read_new(self._studies[document["_id"]], document)
                if document["state"] == "RUNNING":
                    self._running.append(self._studies[document["_id"]])

    def _read_new(self, study: StudyRuns, document: Document) -> None:
        progress, publications = document["progress"], document.get("publications")
        counted = progress["complete"] + progress["failed"]
        counts_read = (publications, counted)
        if study.counts_read == counts_read and len(study.ended) >= counted:
            return
        self._stale = True
        moment = now()
        if study.counts_read is None or study.counts_read[0] != publications or study.read_at is None:
            # Failed trials may have been reset to be tried again.
            study.forget()
            study.add(self._trials(study).of(_RANKED))
        else:
            since = study.read_at - timedelta(seconds=_LATE_SECONDS)
            study.add(self._trials(study).ended_since(since, _MOST_NEW, _RANKED))
            if len(study.ended) < counted:
                missing = self._trials(study).finished_numbers() - study.ended.keys()
                study.add(self._trials(study).at(missing, _RANKED))
        study.counts_read, study.read_at = counts_read, moment

    def _trials(self, study: StudyRuns) -> OwnTrials:
        return OwnTrials(self._store.trials, self._store.unfinished, study.expected)

    # ----------------------------------------------------------------- the folder

    def _mirror(self) -> tuple[int, int]:
        """Write missing runs and remove unwanted ones; return the number of each."""
        later = False
        wanted = {study.id: self._stamps(study) for study in self._studies.values()}
        removed = 0
        there: dict[str, set[int]] = {name: set() for name in wanted}
        for folder in _folders(self.folder):
            stamps_wanted = wanted.get(folder.name, {})
            for run in _folders(folder):
                number = int(run.name) if run.name.isdecimal() else -1
                for stamp in stamps(run):
                    if stamp == TRAINING and self._trains(folder.name, number):
                        continue
                    if stamps_wanted.get(number) == stamp:
                        there[folder.name].add(number)
                    else:
                        self._remove(run / file_name(stamp))
                        removed += 1
                        if self._shown and stamps_wanted.pop(number, ""):
                            later = True
        later |= not self._write_experiment()
        written = 0
        for study in self._studies.values():
            missing = wanted[study.id].keys() - there[study.id]
            for document in self._read_trials(study, missing):
                if not is_number(document["number"]) or document["number"] not in missing:
                    continue  # the document's id and number don't match
                run = run_folder(self.folder, study.id, document["number"])
                stamp = self._stamp(study, document["finished_at"])
                self._write(run / file_name(stamp), encode_run(study.run(document, self._columns.kinds)))
                written += 1
        self._stale, self._shown = later, True
        return written, removed

    def _trains(self, study_id: str, number: int) -> bool:
        """Return whether this process shows a trial's growing run, and the trial has not ended."""
        study = self._studies.get(study_id)
        return study is not None and number not in study.ended and self._growing.knows(study_id, number)

    def _show_training(self) -> None:
        """Append new epochs to the runs of networks in training."""
        for study in self._running:
            for note in self._trials(study).in_training():
                if note["number"] not in study.ended:
                    self._growing.show(study.id, note["number"], study.running(note, self._columns.kinds))

    def _read_trials(self, study: StudyRuns, numbers: set[int]) -> Iterator[Document]:
        """Yield the documents of some trials."""
        if len(numbers) > len(study.ended) * _MOST_SHARE:
            every = self._trials(study).of(study.fields)
            return (document for document in every if document["number"] in numbers)
        return self._trials(study).at(sorted(numbers), study.fields)

    def _stamps(self, study: StudyRuns) -> dict[int, str]:
        """Return the stamps of the trials to show, by number."""
        best = heapq.nlargest(self._most_runs, study.ranks, key=study.ranks.__getitem__)
        return {number: self._stamp(study, study.ended[number]) for number in best}

    def _stamp(self, study: StudyRuns, ended: datetime) -> str:
        kinds = sorted((name, self._columns.kinds[name]) for name in study.columns.kinds)
        return f"{ended.timestamp() * 1000:.0f}.{crc32(repr((_FORMAT, kinds)).encode()):08x}"

    def _write_experiment(self) -> bool:
        """Write the columns and return True.

        If TensorBoard may have read other columns, only remove those and return False.
        """
        stamp, content = encode_experiment(self._experiment())
        found = stamps(self.folder)
        for other in found:
            if other != stamp:
                self._remove(self.folder / file_name(other))
        if stamp not in found:
            if found and self._shown:
                return False
            self._write(self.folder / file_name(stamp), content)
        return True

    def _experiment(self) -> Experiment:
        columns = self._columns.described()
        if len(self._studies) > 1:
            columns = Columns({STUDY: list(self._studies)}).described() | columns
        metrics = {metric.tag: metric for study in self._studies.values() for metric in study.metrics}
        return Experiment(about=", ".join(self._studies), columns=columns, metrics=list(metrics.values()))

    def _write(self, path: Path, content: bytes) -> None:
        # Write under another name first: TensorBoard would read a half-written file as broken.
        part = self.folder / ".warren.part"
        part.write_bytes(content)
        path.parent.mkdir(parents=True, exist_ok=True)
        part.replace(path)

    def _remove(self, path: Path) -> None:
        path.unlink(missing_ok=True)
        self._growing.forget(path)
        for folder in (path.parent, path.parent.parent):
            if self.folder not in folder.parents:
                return
            with contextlib.suppress(OSError):  # the folder is not empty
                folder.rmdir()


def _folders(path: Path) -> list[Path]:
    with os.scandir(path) as entries:
        return [Path(entry.path) for entry in entries if entry.is_dir(follow_symlinks=False)]
