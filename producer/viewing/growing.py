"""Runs of TensorBoard that grow: of networks while they are trained.

TensorBoard reads what is added to a file. So such a run is one file, to which each look adds the epochs that are new.
It gives way to the trial's own file once the trial has ended.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from producer.viewing.events import Run, encode_points, encode_run, file_name

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
        # By file: the last step of each curve that is there.
        self._steps: dict[Path, dict[str, int]] = {}

    def knows(self, study_id: str, number: int) -> bool:
        """Say whether the run of a trial is one that we began; what an earlier process has left is not."""
        return self._path(study_id, number) in self._steps

    def forget(self, path: Path) -> None:
        """Take note that a file is removed."""
        self._steps.pop(path, None)

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
        new = [point for point in run.points if point.step > there.get(point.tag, 0)]
        if not there:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(encode_run(replace(run, points=new)))
        elif new:
            with path.open("ab") as file:
                file.write(encode_points(new))
        self._steps[path] = there | {point.tag: point.step for point in new}

    def _path(self, study_id: str, number: int) -> Path:
        return self._folder / study_id / str(number) / file_name(TRAINING)
