"""What a message may hold, and what is refused."""

from __future__ import annotations

import json
import math
import re
import sys
from typing import Any

import pytest
from hostile import CASES, Case, good
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from warren.errors import MessageError
from warren.messages import (
    LARGEST_BODY,
    MOST_ITEMS,
    Address,
    Chunk,
    Objective,
    Trial,
    address_of,
    decode_chunk,
    encode_chunk,
)

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
# What `warren.encoding.codec.encode` makes: names of parameters, and values without reserved keys.
NAMES = st.from_regex(r"[a-z][a-z0-9 -]{0,9}", fullmatch=True)
VALUES = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(-(2**63) + 1, 2**63 - 1),
        st.floats(allow_nan=False, allow_infinity=False),
        st.text(),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.dictionaries(st.from_regex(r"[A-Z][A-Za-z ]{0,9}", fullmatch=True), inner, max_size=4),
        st.builds(lambda items: {"__tuple__": items}, st.lists(inner, max_size=3)),
        st.sampled_from([{"__float__": "nan"}, {"__float__": "-inf"}]),
        st.builds(lambda key, item: {"__dict__": [[key, item]]}, st.integers(-9, 9) | st.booleans(), inner),
    ),
    max_leaves=10,
)
ENCODED = st.dictionaries(NAMES, VALUES, max_size=4)
ESTIMATORS = st.builds(
    lambda name, params: {"__estimator__": name, "params": params},
    st.sampled_from(["sklearn.dummy.DummyClassifier", "own.Estimator"]),
    ENCODED,
)
DIGESTS = st.text("0123456789abcdef", min_size=64, max_size=64)
OBJECTIVES = st.builds(
    Objective,
    estimator=ESTIMATORS,
    dataset=DIGESTS,
    splits=DIGESTS,
    validation=st.none() | DIGESTS,
    n_splits=st.integers(1, 100),
    scorers=st.fixed_dictionaries({"score": st.none() | st.just("roc_auc")}, optional={"a-b": st.just("neg_log_loss")}),
    refit=st.just("score"),
    error_score=st.just("raise") | st.floats(),
    return_train_score=st.booleans(),
)
TRIALS = st.builds(
    Trial,
    number=st.integers(0, 2**63 - 1),
    params=ENCODED,
    estimator=st.none() | ESTIMATORS,
    estimated_seconds=st.floats(0, 1e100),
)
CHUNKS = st.builds(
    Chunk,
    study_id=st.from_regex(r"[a-z0-9][a-z0-9-]{0,112}", fullmatch=True),
    generation=st.integers(1, 10**6),
    index=st.integers(0, 10**6),
    objective=OBJECTIVES,
    trials=st.lists(TRIALS, min_size=1, max_size=3, unique_by=lambda trial: trial.number).map(tuple),
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


@given(CHUNKS)
def test_a_chunk_comes_back_as_it_was(chunk: Chunk) -> None:
    body = encode_chunk(chunk)
    back = decode_chunk(body)
    assert exactly(back.model_dump()) == exactly(chunk.model_dump())
    assert encode_chunk(back) == body
    json.loads(body, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))


@given(st.binary())
def test_bytes_that_are_no_chunk_are_one_error(body: bytes) -> None:
    with pytest.raises(MessageError):
        decode_chunk(body)


@given(JSON)
def test_json_that_is_no_chunk_is_one_error(value: Any) -> None:
    with pytest.raises(MessageError):
        decode_chunk(json.dumps(value).encode())


def decode_good(**changes: Any) -> Chunk:
    return decode_chunk(json.dumps(good(**changes)).encode())


def test_defaults_need_not_be_written() -> None:
    chunk = decode_good(schema_version=...)
    assert chunk.schema_version == 1
    assert chunk.trial_timeout is None
    assert chunk.share_fits is True
    assert chunk.objective.validation is None
    assert chunk.trials == (Trial(number=0, params={"max_depth": 2}, estimator=None, estimated_seconds=0.0),)
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
        decode_good(**changes)


def test_an_error_counts_problems_and_repeats_no_content() -> None:
    with pytest.raises(MessageError, match=r"\(2 problem\(s\) in \d+ bytes\)$") as caught:
        decode_good(study_id=["s3cret"], index="s3cret")
    assert "s3cret" not in str(caught.value)


def test_records_are_frozen() -> None:
    chunk = decode_good()
    for record, name in [(chunk, "study_id"), (chunk.objective, "refit"), (chunk.trials[0], "number")]:
        with pytest.raises(ValidationError, match="frozen"):
            setattr(record, name, "other")


def test_a_message_is_small_and_reads_well() -> None:
    body = encode_chunk(decode_good())
    assert len(body) < 700
    assert json.loads(body)["trials"] == [
        {"number": 0, "params": {"max_depth": 2}, "estimator": None, "estimated_seconds": 0.0}
    ]


# ------------------------------------------------------------------------- hostile input


def test_a_good_message_is_taken() -> None:
    """The cases below are changes to this one: were it refused, they would show nothing."""
    assert decode_chunk(json.dumps(good()).encode()).study_id == "study-0123456789ab"


@pytest.mark.parametrize("case", [pytest.param(case, id=name) for name, case in CASES.items() if case.decoder])
def test_a_hostile_message_is_refused_with_its_reason(case: Case) -> None:
    with pytest.raises(MessageError) as caught:
        decode_chunk(case.body(good()))
    reason = str(caught.value)
    assert re.search(case.reason, reason), reason
    assert len(reason) <= 500
    assert reason.isascii()
    assert reason.isprintable()


def test_a_decoder_knows_no_library() -> None:
    """Nor has it to: names of classes are only text to it."""
    body = json.dumps(good() | {"trials": [{"number": 0, "params": {}, "estimator": good()["objective"]["estimator"]}]})
    before = set(sys.modules)
    decode_chunk(body.encode())
    assert set(sys.modules) == before


def test_a_message_of_the_largest_size_is_read() -> None:
    trials = [{"number": number, "params": {"criterion": "x" * 1000}} for number in range(LARGEST_BODY // 1056)]
    body = json.dumps(good(trials=trials)).encode()
    assert LARGEST_BODY * 0.97 < len(body) < LARGEST_BODY
    assert len(decode_chunk(body).trials) == len(trials)


def test_what_is_too_large_is_not_even_parsed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Chunk, "model_validate_json", lambda _: pytest.fail("it was parsed"))
    for body in (b" " * (LARGEST_BODY + 1), b"[" * (MOST_ITEMS + 1)):
        with pytest.raises(MessageError, match="^a message of .*: at most"):
            decode_chunk(body)


def test_of_a_key_that_comes_twice_the_last_counts() -> None:
    """In the worker as in its training process, which reads the same bytes: neither sees what the
    other does not."""
    text = json.dumps(good()).replace('"max_depth": 2', '"max_depth": 2, "max_depth": 3')
    assert decode_chunk(text.encode()).trials[0].params == {"max_depth": 3}


def test_a_chunk_of_another_version_says_whose_it_is() -> None:
    body = json.dumps(good(schema_version=2, trials=[{"number": 7}, {"number": 3, "more": []}, {"number": 7}])).encode()
    with pytest.raises(MessageError, match="^schema_version"):
        decode_chunk(body)
    assert address_of(body) == Address("study-0123456789ab", 1, 0, [7, 3])


@pytest.mark.parametrize(
    "changes",
    [
        {"study_id": {"$gt": ""}},
        {"study_id": "a:1"},
        {"study_id": None},
        {"generation": "1"},
        {"generation": 0},
        {"generation": True},
        {"index": 2**63},
        {"index": None},
    ],
)
def test_an_address_that_no_study_could_have_is_none(changes: dict[str, Any]) -> None:
    assert address_of(json.dumps(good(**changes)).encode()) is None


@pytest.mark.parametrize(
    "trials", [None, {}, "0", 7, [], [None, [], 3, {"number": -1}, {"number": 2**63}, {"number": "1"}]]
)
def test_an_address_has_only_numbers_that_trials_can_have(trials: Any) -> None:
    assert address_of(json.dumps(good(trials=trials)).encode()) == Address("study-0123456789ab", 1, 0, [])


@given(st.binary() | JSON.map(lambda value: json.dumps(value).encode()))
def test_an_address_is_read_from_anything_or_is_none(body: bytes) -> None:
    assert address_of(body) is None


@pytest.mark.parametrize("case", [pytest.param(case, id=name) for name, case in CASES.items()])
def test_the_address_of_a_hostile_message_is_that_of_a_study_or_none(case: Case) -> None:
    found = address_of(case.body(good()))
    assert found is None or re.fullmatch("[a-z0-9][a-z0-9-]{0,199}", found.study_id)
