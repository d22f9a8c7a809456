"""The studies of a database as a log folder of TensorBoard: a run for every trial, and the columns of its table.

The folder mirrors the database. A file is named after the result that it holds (when it ended, and the kinds of the
table's columns), so the names alone say what is missing and what is out of date, after a restart too::

    <folder>/events.out.tfevents.0.<digest>.warren                      the columns
    <folder>/<study>/<number>/events.out.tfevents.<ended>.<digest>.warren   a trial
    <folder>/<study>/<number>/events.out.tfevents.training.warren           a network in training, see `Growing`
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
from warren.errors import InputError, StoreError, StudyError, short
from warren.storage.documents import Document, now
from warren.storage.own_trials import OwnTrials
from warren.storage.readable_studies import skip
from warren.storage.store import Store
from warren.storage.study_document import StudyProgress, StudySpace

# Runs of a study by default: TensorBoard reads them all into memory, and its table takes a second a thousand.
MOST_RUNS = 1000
# Another number gives every file another name, so that a folder is written anew once what stands in them has changed.
_FORMAT = 3
# Seconds by which results may be late: workers write them up to a second after their end, and their clocks differ.
_LATE_SECONDS = 15.0
# Results that one look reads by their time; what is beyond is found by comparing numbers.
_MOST_NEW = 20_000
# Share of a study's trials from which on all are read: to look for each of them is dearer.
_MOST_SHARE = 0.1

_RANKED = ("number", "state", "mean_test_score", "failed_fits", "finished_at")


@dataclass(frozen=True, kw_only=True)
class Changes:
    """What a look has changed in the folder.

    Attributes
    ----------
    written, removed : int
        Runs.
    shown, ended : int
        Runs that are there, and trials that have ended, of all studies together.
    studies : int
    """

    written: int
    removed: int
    shown: int
    ended: int
    studies: int


class Board:
    """A log folder that shows studies as they are.

    Parameters
    ----------
    store : Store
    folder : path-like
        Made where it is missing. What others wrote there stays; runs of studies that are not shown go.
    study_ids : sequence of str, default=()
        Studies to show; none are all.
    most_runs : int, default=1000
        Trials of a study to show: those with the best scores, then, where there is room, those without.

    Raises
    ------
    InputError
        The folder can't be written, or another process keeps it fresh.
    """

    def __init__(
        self, store: Store, folder: str | os.PathLike[str], study_ids: Sequence[str] = (), most_runs: int = MOST_RUNS
    ) -> None:
        self._store = store
        self.folder = Path(folder).resolve()
        self._wanted = set(study_ids)
        self._most_runs = most_runs
        self._seen: dict[str, StudyRuns] = {}
        self._running: list[StudyRuns] = []
        self._columns = Columns({})
        # Whether the folder may differ from what is known; and whether it was once the same, and may be looked at.
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
        """Let others write into the folder."""
        self._lock.release()

    def refresh(self) -> Changes:
        """Bring the folder up to date.

        What changed since the first look is removed now, and written by the next: TensorBoard keeps what it has read of
        a folder until it sees it gone.

        Returns
        -------
        Changes

        Raises
        ------
        StoreError
            The database is unreachable; what was there stays.
        InputError
            The folder can't be written.
        """
        self._look()
        written = removed = 0
        try:
            if self._stale:
                written, removed = self._mirror()
            self._show_training()
        except StoreError:  # a ConnectionError, which is an OSError
            raise
        except OSError as exc:
            way_out = "free some disk space, or pass another --logdir"
            raise InputError(f"can't write into {self.folder} ({exc}): {way_out}") from exc
        shown = sum(min(len(study.ended), self._most_runs) for study in self._seen.values())
        ended = sum(len(study.ended) for study in self._seen.values())
        return Changes(written=written, removed=removed, shown=shown, ended=ended, studies=len(self._seen))

    # --------------------------------------------------------------- the database

    def _look(self) -> None:
        """Read what is new."""
        listed = [one for one in self._store.studies(StudyProgress) if not self._wanted or one.id in self._wanted]
        before, self._seen = self._seen, {}
        for one in reversed(listed):
            study = before.get(one.id)
            if study is None or study.created_at != one.created_at:
                try:
                    definition = self._store.study(one.id, StudySpace)
                    if definition is None:  # deleted since it was listed
                        continue
                    study = StudyRuns(definition, one.created_at)
                except (InputError, StudyError, ValueError, LookupError, TypeError, AttributeError) as exc:
                    skip(one.id, f"its document is invalid ({short(str(exc))})")
                    continue
            self._seen[study.id] = study
        if self._seen != before:
            self._columns = Columns.merged(study.columns for study in self._seen.values())
            self._stale = True
        self._running = []
        for one in listed:
            if one.id in self._seen:
                self._read_new(self._seen[one.id], one)
                if one.state == "RUNNING":
                    self._running.append(self._seen[one.id])

    def _read_new(self, study: StudyRuns, now_there: StudyProgress) -> None:
        counted, publications = now_there.progress.done, now_there.publications
        looked = (publications, counted)
        if study.looked == looked and len(study.ended) >= counted:
            return
        self._stale = True
        moment = now()
        if study.looked is None or study.looked[0] != publications or study.looked_at is None:
            # For failed trials may have been taken back.
            study.forget()
            study.add(self._trials(study).of(_RANKED))
        else:
            since = study.looked_at - timedelta(seconds=_LATE_SECONDS)
            study.add(self._trials(study).ended_since(since, _MOST_NEW, _RANKED))
            if len(study.ended) < counted:
                missing = self._trials(study).finished_numbers() - study.ended.keys()
                study.add(self._trials(study).at(missing, _RANKED))
        study.looked, study.looked_at = looked, moment

    def _trials(self, study: StudyRuns) -> OwnTrials:
        return OwnTrials(self._store.trials, self._store.unfinished, study.expected)

    # ----------------------------------------------------------------- the folder

    def _mirror(self) -> tuple[int, int]:
        """Write what is missing and remove what is not wanted; return how many runs of each."""
        later = False
        wanted = {study.id: self._stamps(study) for study in self._seen.values()}
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
        for study in self._seen.values():
            missing = wanted[study.id].keys() - there[study.id]
            for document in self._read(study, missing):
                if not is_number(document["number"]) or document["number"] not in missing:
                    continue  # a document that is called otherwise than it says
                run = run_folder(self.folder, study.id, document["number"])
                stamp = self._stamp(study, document["finished_at"])
                self._write(run / file_name(stamp), encode_run(study.run(document, self._columns.kinds)))
                written += 1
        self._stale, self._shown = later, True
        return written, removed

    def _trains(self, study_id: str, number: int) -> bool:
        """Say whether a run grows that we began, of a trial that has not ended."""
        study = self._seen.get(study_id)
        return study is not None and number not in study.ended and self._growing.knows(study_id, number)

    def _show_training(self) -> None:
        """Let the runs of networks that are being trained grow."""
        for study in self._running:
            for note in self._trials(study).in_training():
                if note["number"] not in study.ended:
                    self._growing.show(study.id, note["number"], study.running(note, self._columns.kinds))

    def _read(self, study: StudyRuns, numbers: set[int]) -> Iterator[Document]:
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
        """Write the columns unless they are there, or others were; return whether they are there."""
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
        if len(self._seen) > 1:
            columns = Columns({STUDY: list(self._seen)}).described() | columns
        metrics = {metric.tag: metric for study in self._seen.values() for metric in study.metrics}
        return Experiment(about=", ".join(self._seen), columns=columns, metrics=list(metrics.values()))

    def _write(self, path: Path, content: bytes) -> None:
        # TensorBoard reads what is called like this at once, and what is half there as broken.
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
            with contextlib.suppress(OSError):  # something else is in it
                folder.rmdir()


def _folders(path: Path) -> list[Path]:
    with os.scandir(path) as entries:
        return [Path(entry.path) for entry in entries if entry.is_dir(follow_symlinks=False)]
