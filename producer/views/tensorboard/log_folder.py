"""TensorBoard's log folder of a database: a run for each trial, and the table's columns.

The folder mirrors the database. A file's name contains its result's version (the end of the trial,
and the kinds of the table's columns), so the names show what is missing or outdated, also after a
restart::

    <folder>/events.out.tfevents.0.<digest>.warren                      the columns
    <folder>/<study>/<number>/events.out.tfevents.<ended>.<digest>.warren   a trial
    <folder>/<study>/<number>/events.out.tfevents.training.warren           a network in training
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

# Default runs of a study: TensorBoard keeps all in memory, and its table takes a second per 1,000.
MOST_RUNS = 1000
# Version of the files' content; a new number changes every name, so that all files are rewritten.
_FORMAT = 3
# Seconds by which results may be late: workers write up to a second late, and clocks differ.
_LATE_SECONDS = 15.0
# Most results that one read finds by their time; a comparison of numbers finds any others.
_MOST_NEW = 20_000
# Share of a study's trials from which all are read, which is then cheaper than separate reads.
_MOST_SHARE = 0.1

_RANKED = ("number", "state", "mean_test_score", "failed_fits", "finished_at")


@dataclass(frozen=True, kw_only=True)
class Changes:
    """What a refresh has changed in the folder.

    Attributes
    ----------
    written, removed : int
        Numbers of runs.
    shown, ended : int
        Numbers of existing runs and of ended trials, over all studies.
    studies : int
    """

    written: int
    removed: int
    shown: int
    ended: int
    studies: int


class Board:
    """A log folder that shows the current state of studies.

    Parameters
    ----------
    store : Store
    folder : path-like
        Created if missing. Files of others stay; runs of studies that are not shown are removed.
    study_ids : sequence of str, default=()
        Studies to show; none are all.
    most_runs : int, default=1000
        Trials of a study to show: those with the best scores, then failed ones if there is room.

    Raises
    ------
    InputError
        The folder can't be written, or another process updates it.
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
        # Whether the folder may differ from what is known, and whether it was complete once.
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
        """Release the folder for other processes."""
        self._lock.release()

    def refresh(self) -> Changes:
        """Update the folder.

        After the first refresh, a changed run is removed now and written by the next refresh:
        TensorBoard keeps what it has read of a folder until the folder is gone.

        Returns
        -------
        Changes

        Raises
        ------
        StoreError
            The database is unreachable; the files stay.
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
        """Read the changes."""
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
            # Failed trials may have been reset.
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
        """Write missing files and remove others; return the numbers of both."""
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
                    continue  # the document's id does not match its fields
                run = run_folder(self.folder, study.id, document["number"])
                stamp = self._stamp(study, document["finished_at"])
                self._write(run / file_name(stamp), encode_run(study.run(document, self._columns.kinds)))
                written += 1
        self._stale, self._shown = later, True
        return written, removed

    def _trains(self, study_id: str, number: int) -> bool:
        """Return whether this process began a growing run for a trial that has not ended."""
        study = self._seen.get(study_id)
        return study is not None and number not in study.ended and self._growing.knows(study_id, number)

    def _show_training(self) -> None:
        """Append new epochs to the runs of networks in training."""
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
        """Write the columns unless they exist, or others existed; return whether they exist."""
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
        # TensorBoard reads a file with this name at once, and an incomplete one as broken.
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
            with contextlib.suppress(OSError):  # it has other files
                folder.rmdir()


def _folders(path: Path) -> list[Path]:
    with os.scandir(path) as entries:
        return [Path(entry.path) for entry in entries if entry.is_dir(follow_symlinks=False)]
