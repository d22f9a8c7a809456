"""Regular expressions of a message: those that may take for ever are refused, and no others that people write."""

from __future__ import annotations

import re
import time
from random import Random

import pytest
from sklearn.feature_extraction.text import CountVectorizer

from tuning.patterns import LONGEST, problem_of_pattern

GOOD = [
    *(CountVectorizer().token_pattern, r"[a-z]+", r"\b[a-zA-Z]{3,}\b", r"[^ ]+", r"\S+", r"\w+(?:'\w+)?"),
    *(r"(?u)\b\w[\w-]+\b", r"[A-Za-z]+(?:-[A-Za-z]+)*", r"(?:[A-Z][a-z]+)+", r"(\w+\.)+com", r"\w+@\w+\.\w+"),
    *(r"#\w+|@\w+|\w+", r"[\w']+|[.,!?;]", r"(?u)(?:\w\.)+\w?|\w+(?:[-']\w+)*", r"[a-z]+[a-z0-9]*", r"\d*\.?\d+"),
    *(r"https?://\S+|www\.\S+", r"(?:foo|bar)+", r"\d+(?:[.,]\d+)*", r"(?ui)\b[a-z0-9_-]+\b", r"(?:a|á)*b"),
    *("^a", "a|b", ".*", r".*_(mean|std)$", r"^(num|cat)_.*$", "(?i)^x.*", r"(?<=a)b+", r"^(?!id_).*", ".*a.*"),
    *("mean .*|worst .*", r"(?:^|_)x\d{1,3}$", r"^(?:\d{1,3}\.){3}\d{1,3}$", r"(?:sepal|petal) (?:length|width).*"),
    *(
        "colou?r",
        r"https?://(?:www\.)?\S+",
        r"[A-Z]?[a-z]+\d?",
        "a?b?c?d?e?f?g?h?",
        "(?:sepal|petal)+",
        "|".join("abcdefgh"),
    ),
    *("|".join(f"column {number}" for number in range(60)), r"(?:Mr|Mrs|Ms|Dr)\.? [A-Z]\w+"),
    *(r"(?:(?:foo|bar)_)*x", "(a|ab)*c", r"(\d{4}-?)+", ""),
]
BAD = [
    *("(a+)+b", "(a*)*", "(a|a)*b", r"(\w|\w\w)*$", "(.*a){20}", "(?:a?){30}a{30}", "(a?b?)*c", "(x+x+)+y"),
    *(r"^(([a-z])+.)+[A-Z]([a-z])+$", "(.*)*", "(?:(?:a|b)+)+c", r"(\s*\w*)*;", "([a-zA-Z]+)*$", "(a+?)+?b"),
    *("((a{1,5}){1,5}){1,5}b", "(?:a+){20}b", "(?=(a+)+b)", "(?<=x)(a+)+b", r"(?i)(?:A[a-z]+)+1", r"(?:\w+\s?)*$"),
    *(r"(.|\s)*x", "(a|b|ab)*c", "(?:-a*a*)*b", "(?:aa|aaa)*b", r"(x)(?:\1|a)*b", "(a|[^b])*b", r"(é+|\w)*!"),
    *(r"(?:-(?:\w\d|a1))*b", "(?>(a+)+)b", "(a++)+b", "(?i:(a+)+)b", "(?:a+)+?b", "(?P<x>a+)+b"),
    *(
        "a?" * 12 + "b",
        "a?" * 30 + "a" * 30,
        r"(?:a.|.b)" * 12,
        "(?:|)" * 30 + "a",
        "(?:a|)(?:a|)" * 9,
        "(?:b?a|a)" * 9,
    ),
    *(r".*.*.*=.*", "a*a*a*b", r"[a-z]*[a-f]*[0-9]*[a-c]*!", r"(?=.*.*.*x)", "a+a?a+a?a+b", r"(?:-a*)*[-a]*a*b"),
]


@pytest.mark.parametrize("pattern", GOOD)
def test_patterns_that_people_write_travel_and_end(pattern: str) -> None:
    assert problem_of_pattern(pattern) is None
    began = time.monotonic()
    for text in ("a" * 1000, "ab-" * 300 + "!", "A1." * 300, "é_" * 300, "a" * 500 + "." * 500):
        re.findall(pattern, text)
    assert time.monotonic() - began < 10


@pytest.mark.parametrize("pattern", BAD)
def test_patterns_that_may_take_for_ever_are_refused(pattern: str) -> None:
    problem = problem_of_pattern(pattern)
    assert problem is not None
    assert "may take for ever" in problem


def test_what_is_no_pattern_is_left_to_who_compiles_it() -> None:
    for pattern in ("(", "[", "a{2,1}", "*", r"\1", "(?P<a>x)(?P<a>y)"):
        assert problem_of_pattern(pattern) is None


def test_a_pattern_is_judged_at_once_however_it_is_made() -> None:
    began = time.monotonic()
    assert problem_of_pattern("a" * (LONGEST + 1)) == "has 1,001 characters, and 1,000 are enough"
    for made in ("(" * 490 + "a" + ")" * 490, "ab?" * 300, "(?:a|b|c)*x?" * 80, "|".join(["a*b"] * 200), "a{9}" * 250):
        problem_of_pattern(made)
    assert time.monotonic() - began < 10


def _drawn(random: Random, depth: int) -> str:
    kind = random.random()
    if depth == 0 or kind < 0.3:
        return random.choice(["a", "b", "c", "[ab]", "[bc]", r"\w", "."])
    if kind < 0.55:
        return _drawn(random, depth - 1) + _drawn(random, depth - 1)
    if kind < 0.7:
        return f"(?:{_drawn(random, depth - 1)}|{random.choice(['', _drawn(random, depth - 1)])})"
    if kind < 0.95:
        return f"(?:{_drawn(random, depth - 1)}){random.choice(['*', '+', '?', '{1,3}', '{2}', '*?', '{3,9}'])}"
    return f"{random.choice(['(?=', '(?!'])}{_drawn(random, depth - 1)})"


def test_whatever_pattern_travels_ends() -> None:
    taken, began = 0, time.monotonic()
    for seed in range(1000):
        random = Random(seed)
        pattern = _drawn(random, random.choice((3, 5, 7))) * random.choice((1, 1, 2, 5))
        if problem_of_pattern(pattern) is None:
            taken += 1
            for text in ("a" * 100, "ab" * 50, "abc" * 33):
                re.search(f"{pattern}!", text)
    assert 200 < taken < 900
    assert time.monotonic() - began < 60
