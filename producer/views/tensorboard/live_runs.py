"""TensorBoard runs of networks in training, which grow with each epoch.

TensorBoard reads what is appended to a file. So such a run is one file, to which each refresh
appends the new epochs. Once the trial has ended, its final file replaces it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from itertools import groupby
from pathlib import Path

from producer.views.tensorboard.events import Moment, Point, Run, encode_points, encode_run, file_name, run_folder

TRAINING = "training"
"""The stamp of such a run's file."""


class Growing:
    """The growing runs in a log folder.

    Parameters
    ----------
    folder : Path
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        # By file: the last written step of each curve, and the time of the last point.
        self._steps: dict[Path, dict[str, int]] = {}
        self._until: dict[Path, Moment] = {}

    def knows(self, study_id: str, number: int) -> bool:
        """Return whether this process, not an earlier one, began the run of a trial."""
        return self._path(study_id, number) in self._steps

    def forget(self, path: Path) -> None:
        """Forget a removed file."""
        self._steps.pop(path, None)
        self._until.pop(path, None)

    def show(self, study_id: str, number: int, run: Run) -> None:
        """Begin the run of a trial, or append its new epochs.

        Raises
        ------
        OSError
            The file can't be written.
        """
        path = self._path(study_id, number)
        # If someone deleted the log folder, start the run from its first epoch again.
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
    """Give each epoch that was read in one refresh its own time.

    Parameters
    ----------
    points : iterable of Point
        Epoch by epoch, all with the time when they were reported.
    since : float
        The time of the last epoch before them.

    Returns
    -------
    list of Point
        Spread evenly from `since` to the time of the report; never before `since`, because workers'
        clocks differ.
    """
    # Two folds may have epochs of the same number.
    epochs = [[*group] for _, group in groupby(points, lambda point: (point.tag.rpartition("/")[2], point.step))]
    return [
        replace(point, moment=since + max(point.moment - since, 0.0) * position / len(epochs))
        for position, epoch in enumerate(epochs, start=1)
        for point in epoch
    ]
