"""A few of the messages of `make fuzz`, with every run of the tests."""

from __future__ import annotations

import importlib
import json
import socket
import subprocess
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fuzz import building, decoder, patterns
from fuzz.audit import AuditError, watched
from fuzz.mutations import CORPUS, mutated
from warren.messages import decode_chunk


def test_what_is_mutated_was_good() -> None:
    for message in CORPUS:
        assert decode_chunk(json.dumps(message).encode())


def test_a_seed_gives_the_same_message() -> None:
    assert [mutated(Random(seed)) for seed in range(50)] == [mutated(Random(seed)) for seed in range(50)]


def test_mutated_messages_are_chunks_or_one_error() -> None:
    found = decoder.run(1500, seed=0)
    assert 0.02 < found[decoder.ACCEPTED] / found.total() < 0.6
    assert len(found) > 60, "different reasons"


@settings(max_examples=100)
@given(st.randoms(use_true_random=False))
def test_mutations_that_hypothesis_draws_are_chunks_or_one_error(random: Random) -> None:
    """It shrinks what fails to the fewest mutations."""
    decoder.outcome(mutated(random))


def test_trees_that_are_built_reach_nothing() -> None:
    found = building.run(300, seed=0)
    assert 0.1 < found[decoder.ACCEPTED] / found.total() < 0.6
    assert any(reason.startswith(building.REFUSED) for reason in found)


def test_patterns_that_are_drawn_end_or_are_refused() -> None:
    found = patterns.run(3000, seed=0)
    assert 0.2 < found[decoder.ACCEPTED] / found.total() < 0.9
    assert len(found) > 3, "different reasons"


def test_what_no_building_does_is_heard() -> None:
    for forbidden in (
        lambda: open(__file__),  # noqa: PTH123, SIM115
        lambda: exec("1"),
        lambda: socket.create_connection(("127.0.0.1", 9), timeout=0.1),
        lambda: subprocess.run(["true"], check=False),
        lambda: importlib.import_module("antigravity"),
    ):
        with pytest.raises(AuditError), watched():
            forbidden()
