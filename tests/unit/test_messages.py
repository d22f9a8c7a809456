"""What travels in a message, and what is refused."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from tuning.errors import MessageError
from tuning.messages import Chunk, Objective, Trial, decode_chunk, encode_chunk

JSON = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(-(2**63), 2**63 - 1),
        st.floats(allow_nan=False, allow_infinity=False),
        st.text(),
    ),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(st.text(), inner, max_size=4)),
    max_leaves=10,
)
ENCODED = st.dictionaries(st.text(), JSON, max_size=4)
DIGESTS = st.text("0123456789abcdef", min_size=64, max_size=64)
OBJECTIVES = st.builds(
    Objective,
    estimator=st.none() | ENCODED,
    dataset=DIGESTS,
    splits=DIGESTS,
    validation=st.none() | DIGESTS,
    n_splits=st.integers(1, 100),
    scorers=st.dictionaries(st.text(), st.none() | st.text(), min_size=1, max_size=3),
    refit=st.text(),
    error_score=st.just("raise") | st.floats(),
    return_train_score=st.booleans(),
)
TRIALS = st.builds(
    Trial,
    number=st.integers(0, 2**63 - 1),
    params=ENCODED,
    estimator=st.none() | ENCODED,
    estimated_seconds=st.floats(0, allow_infinity=False),
)
CHUNKS = st.builds(
    Chunk,
    study_id=st.text(min_size=1, max_size=200),
    generation=st.integers(1, 10**6),
    index=st.integers(0, 10**6),
    objective=OBJECTIVES,
    trials=st.lists(TRIALS, min_size=1, max_size=3).map(tuple),
    trial_timeout=st.none() | st.floats(min_value=1e-3, max_value=1e9),
    share_fits=st.booleans(),
)


def exactly(value: Any) -> Any:
    """Return a value in which NaN is equal to itself, and floats are equal only bit for bit."""
    if isinstance(value, float):
        return "nan" if math.isnan(value) else value.hex()
    if isinstance(value, dict):
        return [(key, exactly(one)) for key, one in value.items()]
    if isinstance(value, list | tuple):
        return [exactly(one) for one in value]
    return type(value).__name__, value


@settings(deadline=None)
@given(CHUNKS)
def test_a_chunk_comes_back_as_it_was(chunk: Chunk) -> None:
    body = encode_chunk(chunk)
    back = decode_chunk(body)
    assert exactly(back.model_dump()) == exactly(chunk.model_dump())
    assert encode_chunk(back) == body
    json.loads(body, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))


@settings(deadline=None)
@given(st.binary())
def test_bytes_that_are_no_chunk_are_one_error(body: bytes) -> None:
    with pytest.raises(MessageError):
        decode_chunk(body)


@settings(deadline=None)
@given(JSON)
def test_json_that_is_no_chunk_is_one_error(value: Any) -> None:
    with pytest.raises(MessageError):
        decode_chunk(json.dumps(value).encode())


def message(**changes: Any) -> dict[str, Any]:
    """Return a good message as a dict, with some fields changed; ``objective__refit`` reaches inside."""
    made: dict[str, Any] = {
        "schema_version": 1,
        "study_id": "study-0123456789ab",
        "generation": 1,
        "index": 0,
        "objective": {
            "estimator": {"__estimator__": "sklearn.dummy.DummyClassifier", "params": {}},
            "dataset": "a" * 64,
            "splits": "b" * 64,
            "n_splits": 3,
            "scorers": {"score": None},
            "refit": "score",
            "error_score": "NaN",
            "return_train_score": False,
        },
        "trials": [{"number": 7, "params": {"strategy": "prior"}}],
    }
    for name, value in changes.items():
        outer, _, inner = name.rpartition("__")
        place = made[outer] if outer else made
        if value is ...:
            del place[inner]
        else:
            place[inner] = value
    return made


def decode_message(**changes: Any) -> Chunk:
    return decode_chunk(json.dumps(message(**changes)).encode())


def test_defaults_need_not_be_written() -> None:
    chunk = decode_message(schema_version=...)
    assert chunk.schema_version == 1
    assert chunk.trial_timeout is None
    assert chunk.share_fits is True
    assert chunk.objective.validation is None
    assert chunk.trials == (Trial(number=7, params={"strategy": "prior"}, estimator=None, estimated_seconds=0.0),)
    assert isinstance(chunk.objective.error_score, float)
    assert math.isnan(chunk.objective.error_score)


@pytest.mark.parametrize(
    ("changes", "where"),
    [
        ({"schema_version": 2}, "schema_version"),
        ({"schema_version": "1"}, "schema_version"),
        ({"study_id": ""}, "study_id"),
        ({"study_id": "x" * 201}, "study_id"),
        ({"study_id": ...}, "study_id"),
        ({"generation": 0}, "generation"),
        ({"index": -1}, "index"),
        ({"trials": []}, "trials"),
        ({"trials": [{"number": -1, "params": {}}]}, r"trials\.0\.number"),
        ({"trials": [{"number": 1}]}, r"trials\.0\.params"),
        ({"trials": [{"number": 1, "params": [], "estimator": None}]}, r"trials\.0\.params"),
        ({"trials": [{"number": 1, "params": {}, "code": "x"}]}, r"trials\.0\.code"),
        ({"trials": [{"number": 1, "params": {}, "estimated_seconds": -0.5}]}, r"trials\.0\.estimated_seconds"),
        ({"trials": [{"number": 1, "params": {}, "estimated_seconds": "Infinity"}]}, r"trials\.0\.estimated_seconds"),
        ({"trials": [{"number": 1, "params": {}, "estimated_seconds": "NaN"}]}, r"trials\.0\.estimated_seconds"),
        ({"trials": [{"number": 1, "params": {}, "estimated_seconds": None}]}, r"trials\.0\.estimated_seconds"),
        ({"trial_timeout": 0}, "trial_timeout"),
        ({"share_fits": None}, "share_fits"),
        ({"share_fits": "now and then"}, "share_fits"),
        ({"priority": 3}, "priority"),
        ({"objective": None}, "objective"),
        ({"objective__dataset": "a" * 63}, r"objective\.dataset"),
        ({"objective__dataset": "A" * 64}, r"objective\.dataset"),
        ({"objective__splits": "../../etc/passwd"}, r"objective\.splits"),
        ({"objective__validation": "../../etc/passwd"}, r"objective\.validation"),
        ({"objective__validation": "a" * 63}, r"objective\.validation"),
        ({"objective__validation": 0.1}, r"objective\.validation"),
        ({"objective__n_splits": 0}, r"objective\.n_splits"),
        ({"objective__scorers": {}}, r"objective\.scorers"),
        ({"objective__scorers": {"a": 1}}, r"objective\.scorers\.a"),
        ({"objective__error_score": "ignore"}, r"objective\.error_score"),
        ({"objective__refit": ...}, r"objective\.refit"),
        ({"objective__hook": "os.system"}, r"objective\.hook"),
    ],
)
def test_a_field_that_is_wrong_is_named(changes: dict[str, Any], where: str) -> None:
    with pytest.raises(MessageError, match=rf"^{where}"):
        decode_message(**changes)


def test_an_error_counts_problems_and_repeats_no_content() -> None:
    with pytest.raises(MessageError, match=r"\(2 problem\(s\) in \d+ bytes\)$") as caught:
        decode_message(study_id=["s3cret"], index="s3cret")
    assert "s3cret" not in str(caught.value)


def test_records_are_frozen() -> None:
    chunk = decode_message()
    for record, name in [(chunk, "study_id"), (chunk.objective, "refit"), (chunk.trials[0], "number")]:
        with pytest.raises(ValidationError, match="frozen"):
            setattr(record, name, "other")


def test_a_message_is_small_and_reads_well() -> None:
    body = encode_chunk(decode_message())
    assert len(body) < 600
    assert json.loads(body)["trials"] == [
        {"number": 7, "params": {"strategy": "prior"}, "estimator": None, "estimated_seconds": 0.0}
    ]
