"""TensorBoard's event files: one run for each trial, and one file for the HParams columns.

A file's name identifies its content, so that listing a folder shows what is there. TensorBoard's
own packages write them; TensorFlow is not needed, and not imported.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias
from zlib import crc32

from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import DATA_CLASS_TENSOR, Summary
from tensorboard.compat.proto.tensor_pb2 import TensorProto
from tensorboard.compat.proto.types_pb2 import DT_STRING
from tensorboard.plugins.hparams import api_pb2 as api
from tensorboard.plugins.hparams import metadata as hparams
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData, SessionEndInfo, SessionStartInfo
from tensorboard.plugins.text import metadata as text
from tensorboard.summary.writer.record_writer import RecordWriter

from producer.views.tensorboard.hparams import Column, Kind, Value
from warren.messages import is_study_id

# The version in a file's first record. https://github.com/tensorflow/tensorflow:
# EventsWriter::kVersionPrefix
_VERSION = "brain.Event:2"
# TensorBoard reads the files whose names contain "tfevents".
_PREFIX, _SUFFIX = "events.out.tfevents.", ".warren"
_TYPES = {Kind.NUMBER: api.DATA_TYPE_FLOAT64, Kind.BOOL: api.DATA_TYPE_BOOL, Kind.TEXT: api.DATA_TYPE_STRING}

Moment: TypeAlias = float
"""Seconds since 1970, UTC."""


@dataclass(frozen=True, kw_only=True)
class Point:
    """One number of a run: a step of the curve `tag`, or its only value."""

    tag: str
    value: float
    step: int = 0
    moment: Moment


@dataclass(frozen=True, kw_only=True)
class Run:
    """A trial for TensorBoard.

    Attributes
    ----------
    name : str
        Its unique name in the table.
    started, ended : float
        Seconds since 1970, UTC; `ended` is None for a trial that is in training.
    failed : bool
    parameters : dict
        By column; see `producer.views.tensorboard.hparams.cell`.
    points : sequence of Point
        NaN is not written, because the table could not be sorted by it.
    error : str or None
        Why it failed.
    """

    name: str
    started: Moment
    ended: Moment | None
    failed: bool
    parameters: Mapping[str, Value]
    points: Sequence[Point]
    error: str | None = None


@dataclass(frozen=True, kw_only=True)
class Metric:
    """A result column of the table."""

    tag: str
    about: str
    training: bool = False


@dataclass(frozen=True, kw_only=True)
class Experiment:
    """The columns of the HParams table."""

    about: str
    columns: Mapping[str, Column]
    metrics: Sequence[Metric] = field(default_factory=tuple)


def file_name(stamp: str) -> str:
    """Return the name of the file with a stamp."""
    return f"{_PREFIX}{stamp}{_SUFFIX}"


def run_folder(folder: Path, study_id: str, number: int) -> Path:
    """Return the folder of a trial's run, always below the log folder.

    Raises
    ------
    ValueError
        The study id or the trial number is invalid.
    """
    if not is_study_id(study_id) or not is_number(number):
        raise ValueError(f"run {study_id!r}, {number!r}: not a valid study id and trial number")
    return folder / study_id / str(number)


def is_number(value: object) -> bool:
    """Return whether a value is a valid trial number."""
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def stamps(folder: Path) -> list[str]:
    """Return the stamps of our files in a folder; ignore other files."""
    try:
        names = [path.name for path in folder.iterdir()]
    except (FileNotFoundError, NotADirectoryError):
        return []
    return [
        name.removeprefix(_PREFIX).removesuffix(_SUFFIX)
        for name in names
        if name.startswith(_PREFIX) and name.endswith(_SUFFIX)
    ]


def encode_run(run: Run) -> bytes:
    """Return the event file of a trial."""
    start = SessionStartInfo(group_name=run.name, start_time_secs=run.started)
    for name, value in run.parameters.items():
        _fill(start.hparams[name], value)
    events = [_event(run.started, _hparams(hparams.SESSION_START_INFO_TAG, session_start_info=start))]
    events += _scalars(run.points)
    if run.ended is not None:
        if run.error:
            events.append(_event(run.ended, _text("error", run.error)))
        status = api.STATUS_FAILURE if run.failed else api.STATUS_SUCCESS
        end = SessionEndInfo(status=status, end_time_secs=run.ended)
        events.append(_event(run.ended, _hparams(hparams.SESSION_END_INFO_TAG, session_end_info=end)))
    return _file(run.started, events)


def encode_points(points: Iterable[Point]) -> bytes:
    """Return the records that add points to an event file."""
    return _records(_scalars(points))


def _scalars(points: Iterable[Point]) -> list[Event]:
    return [
        _event(point.moment, Summary.Value(tag=point.tag, simple_value=point.value), point.step)
        for point in points
        if not math.isnan(point.value)
    ]


def encode_experiment(experiment: Experiment) -> tuple[str, bytes]:
    """Return the stamp and content of the file that defines the HParams columns."""
    message = api.Experiment(description=experiment.about)
    for name, column in experiment.columns.items():
        info = message.hparam_infos.add(name=name, display_name=name, type=_TYPES[column.kind])
        if column.values is not None:
            for value in column.values:
                _fill(info.domain_discrete.values.add(), value)
        elif column.bounds is not None:
            info.domain_interval.min_value, info.domain_interval.max_value = column.bounds
    for metric in experiment.metrics:
        info = message.metric_infos.add(display_name=metric.tag, description=metric.about)
        info.name.tag = metric.tag
        info.dataset_type = api.DATASET_TRAINING if metric.training else api.DATASET_VALIDATION
    content = _file(0.0, [_event(0.0, _hparams(hparams.EXPERIMENT_TAG, experiment=message))])
    return f"0.{crc32(content):08x}", content


def _fill(slot: Any, value: Value) -> None:
    if isinstance(value, bool):
        slot.bool_value = value
    elif isinstance(value, str):
        slot.string_value = value
    else:
        slot.number_value = value


def _hparams(tag: str, **data: Any) -> Summary.Value:
    """Return HParams data: the plugin reads it from the metadata of an empty value."""
    described = hparams.create_summary_metadata(HParamsPluginData(**data))
    return Summary.Value(tag=tag, metadata=described, tensor=hparams.NULL_TENSOR)


def _text(tag: str, content: str) -> Summary.Value:
    # TensorBoard shows Markdown, which keeps indented lines unchanged.
    indented = "\n".join(f"    {line}" for line in content.splitlines())
    described = text.create_summary_metadata(display_name="", description="")
    described.data_class = DATA_CLASS_TENSOR
    return Summary.Value(
        tag=tag, metadata=described, tensor=TensorProto(dtype=DT_STRING, string_val=[indented.encode()])
    )


def _event(moment: Moment, value: Summary.Value, step: int = 0) -> Event:
    return Event(wall_time=moment, step=step, summary=Summary(value=[value]))


class _Bytes:
    """A buffer that `RecordWriter` writes to."""

    def __init__(self) -> None:
        self.parts: list[bytes] = []

    def write(self, part: bytes) -> None:
        self.parts.append(part)


def _file(moment: Moment, events: Iterable[Event]) -> bytes:
    return _records(_with_version(moment, events))


def _records(events: Iterable[Event]) -> bytes:
    buffer = _Bytes()
    writer = RecordWriter(buffer)
    for event in events:
        # A random order of maps would give equal content different names.
        writer.write(event.SerializeToString(deterministic=True))
    return b"".join(buffer.parts)


def _with_version(moment: Moment, events: Iterable[Event]) -> Iterator[Event]:
    yield Event(wall_time=moment, file_version=_VERSION)
    yield from events
