"""Runs of TensorBoard that grow: of networks while they are trained.

TensorBoard reads what is added to a file. So such a run is one file, to which each look adds the epochs that are new.
It gives way to the trial's own file once the trial has ended.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from itertools import groupby
from pathlib import Path

from producer.views.tensorboard.events import Moment, Point, Run, encode_points, encode_run, file_name, run_folder

TRAINING = "training"
"""The stamp of such a file."""


class Growing:
    """The runs that grow in a log folder.

    Parameters
    ----------
    folder : Path
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        # By file: the last step of each curve that is there, and the moment of the last of all.
        self._steps: dict[Path, dict[str, int]] = {}
        self._until: dict[Path, Moment] = {}

    def knows(self, study_id: str, number: int) -> bool:
        """Say whether the run of a trial is one that we began; what an earlier process has left is not."""
        return self._path(study_id, number) in self._steps

    def forget(self, path: Path) -> None:
        """Take note that a file is removed."""
        self._steps.pop(path, None)
        self._until.pop(path, None)

    def show(self, study_id: str, number: int, run: Run) -> None:
        """Begin the run of a trial, or add what is new.

        Raises
        ------
        OSError
            It can't be written.
        """
        path = self._path(study_id, number)
        # Whoever deletes a log folder to save room deletes what was written of this one too.
        there = self._steps.get(path, {}) if path.exists() else {}
        since = self._until[path] if there else run.started
        new = spread((point for point in run.points if point.step > there.get(point.tag, 0)), since)
        if not there:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(encode_run(replace(run, points=new)))
        elif new:
            with path.open("ab") as file:
                file.write(encode_points(new))
        self._steps[path] = there | {point.tag: point.step for point in new}
        self._until[path] = max([since, *(point.moment for point in new)])

    def _path(self, study_id: str, number: int) -> Path:
        return run_folder(self._folder, study_id, number) / file_name(TRAINING)


def spread(points: Iterable[Point], since: Moment) -> list[Point]:
    """Give each epoch that was told in one look a moment of its own.

    Parameters
    ----------
    points : iterable of Point
        Epoch by epoch, all of the moment when they were told.
    since : float
        The moment of the last epoch before them.

    Returns
    -------
    list of Point
        Evenly from then to when they were told; never before `since`, for two workers' clocks differ.
    """
    # Two folds may have epochs of the same number.
    epochs = [[*group] for _, group in groupby(points, lambda one: (one.tag.rpartition("/")[2], one.step))]
    return [
        replace(one, moment=since + max(one.moment - since, 0.0) * position / len(epochs))
        for position, epoch in enumerate(epochs, start=1)
        for one in epoch
    ]
