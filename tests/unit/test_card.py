"""What a card says of a study, and that it never says it as markup."""

from __future__ import annotations

import dataclasses
from datetime import timedelta
from html.parser import HTMLParser
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from producer.formatting import show_score, show_span
from producer.results.status import Status
from producer.views.card import snapshot as looking
from producer.views.card.content import steps
from producer.views.card.html import html_of
from producer.views.card.snapshot import Facts, Reason, Tempo
from producer.views.card.text import text_of
from warren.storage.documents import now

AT = now()
_TAGS = {"div", "style", "span", "b", "i", "table", "tr", "td", "code"}


def status(**fields: Any) -> Status:
    usual: dict[str, Any] = {
        "id": "trees-0123",
        "name": "trees",
        "state": "RUNNING",
        "total": 480,
        "complete": 290,
        "failed": 10,
        "dead": 0,
        "fit_seconds": 3600.0,
        "score_seconds": 60.0,
        "saved_seconds": 1200.0,
        "best_score": 0.98765,
        "best_number": 47,
        "created_at": AT - timedelta(minutes=10),
        "submitted_at": AT - timedelta(minutes=10),
        "finished_at": None,
    }
    return Status(**usual | fields)


def facts(about: Status | None = None, **fields: Any) -> Facts:
    usual: dict[str, Any] = {
        "status": about or status(),
        "metric": "roc_auc",
        "at": AT,
        "last_result_at": AT - timedelta(seconds=1),
        "has_new_result": True,
        "tempo": Tempo(rate=2.0, work_rate=8.0, workers=8),
        "best_estimator": "XGBClassifier",
        "best_params": {"max_depth": 3, "learning_rate": 0.1},
        "reasons": (Reason(text="ValueError: no", count=7, example=12),),
        "failures_read": 10,
    }
    return Facts(**usual | fields)


class Read(HTMLParser):
    """What a browser makes of a card."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.said: list[str] = []
        self._styles = False
        self.feed(source)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}
        self._styles = tag == "style"

    def handle_data(self, data: str) -> None:
        if not self._styles:
            self.said.append(data)

    def handle_endtag(self, tag: str) -> None:
        self._styles = False

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.said).split())


BOTH = pytest.mark.parametrize("say", [lambda one: Read(html_of(one)).text, text_of], ids=["html", "text"])


@BOTH
def test_a_card_says_how_a_study_goes(say: Any) -> None:
    said = say(facts())
    for words in (
        "300 of 480 trials · 62 %",
        "10 failed",
        "2.0 trials/s",
        "8 workers",
        "1:30",
        "10 min",
        "61 min",
        "20 min",
        "0.9877",
        "trial 47",
        "XGBClassifier",
        "max_depth",
        "ValueError: no",
        "study.retry_failed()",
        "trees-0123",
    ):
        assert words in said, words


@BOTH
def test_a_study_in_which_nothing_moves_has_no_time_left(say: Any) -> None:
    said = say(facts(last_result_at=AT - timedelta(minutes=5)))
    assert "no result for 5 min" in said
    assert "left" not in said
    assert "warren worker" in said


@BOTH
@pytest.mark.parametrize(
    ("about", "words"),
    [
        (status(state="PAUSED"), "study.resume()"),
        (status(state="CANCELLED"), "study.resume()"),
        (status(state="COMPLETE", complete=480, failed=0, finished_at=AT), "study.plot.history()"),
        (status(submitted_at=None), "study.resume()"),
        (status(dead=5, dead_numbers=(3,), dead_reasons=("no such class",)), "study.retry_failed()"),
    ],
)
def test_a_card_says_what_to_type_next(say: Any, about: Status, words: str) -> None:
    began = about.submitted_at is not None
    assert words in say(facts(about, has_new_result=began, tempo=None))


@BOTH
def test_dead_letters_are_on_the_card_with_their_reason(say: Any) -> None:
    said = " ".join(say(facts(status(dead=5, dead_numbers=(3,), dead_reasons=("no such class",)))).split())
    assert "5 in messages that no worker can use" in said.replace("│ │ ", "")
    assert "no such class" in said


@BOTH
def test_a_sample_of_the_failures_is_said_to_be_one(say: Any) -> None:
    said = say(facts(status(failed=5000, complete=0, total=9000), failures_read=200))
    assert "5,000 trials failed; of the first 200:" in said


@BOTH
def test_a_study_of_which_nothing_is_known_has_a_card_too(say: Any) -> None:
    new = status(complete=0, failed=0, fit_seconds=0.0, score_seconds=0.0, saved_seconds=0.0)
    new = dataclasses.replace(new, best_score=None, best_number=None)
    one = facts(new, has_new_result=False, tempo=None, last_result_at=None, best_params={}, reasons=(), failures_read=0)
    said = say(one)
    assert "0 of 480 trials · 0 %" in said
    assert "no result yet" in said
    assert "best" not in said


def test_workers_are_asked_for_only_after_some_time_without_a_result() -> None:
    def offered(seconds: float) -> list[str]:
        about = status(complete=0, failed=0, submitted_at=AT - timedelta(seconds=seconds))
        return [step.code for step in steps(facts(about, has_new_result=False, tempo=None))]

    assert "warren worker --count 4" not in offered(2)
    assert "warren worker --count 4" in offered(60)


@given(st.text(), st.text(), st.text(), st.text())
def test_nothing_that_a_user_wrote_becomes_markup(name: str, param: str, value: str, reason: str) -> None:
    one = facts(
        status(name=name, dead=1, dead_reasons=(reason,), dead_numbers=(1,)),
        metric=name,
        best_estimator=value,
        best_params={param: value},
        reasons=(Reason(text=reason, count=1, example=2),),
    )
    found = Read(html_of(one, live=name, notice=reason))
    assert found.tags <= _TAGS
    assert found.attributes <= {"class", "style", "role", "aria-label"}


def test_a_script_in_a_parameter_or_an_error_is_shown_and_not_run() -> None:
    evil = "<script>alert(1)</script>"
    found = Read(html_of(facts(best_params={evil: evil}, reasons=(Reason(text=evil, count=1, example=1),))))
    assert "script" not in found.tags
    assert found.text.count(evil) == 3


def test_a_card_asks_nothing_of_other_places() -> None:
    source = html_of(facts())
    assert not any(word in source for word in ("http", "url(", "@import", "src="))


@given(st.text(), st.text())
def test_a_card_of_text_keeps_its_frame(param: str, value: str) -> None:
    lines = text_of(facts(best_params={param: value})).splitlines()
    assert lines[0].startswith("╭")
    assert lines[-1].endswith("╯")


def test_long_values_are_cut_off() -> None:
    said = Read(html_of(facts(best_params={"hidden_layer_sizes": "x" * 10_000}))).text
    assert "x" * 50 in said
    assert "x" * 100 not in said


def test_a_terminal_without_unicode_gets_plain_letters(monkeypatch: pytest.MonkeyPatch) -> None:
    class Ascii:
        encoding = "ascii"

    monkeypatch.setattr("producer.views.card.text.sys.stdout", Ascii())
    assert text_of(facts()).isascii()


def test_a_card_of_text_is_as_wide_as_the_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    assert {len(line) for line in text_of(facts()).splitlines()} == {60}


def test_reasons_that_differ_in_numbers_alone_are_one() -> None:
    errors = ["fold 0: lost after 3.2 s, with 812 MB", "fold 4: lost after 0.9 s, with 1,024 MB", "fold 0: no"]
    found = looking._reasons([{"number": number, "error": error} for number, error in enumerate(errors)])
    assert [(one.text, one.count, one.example) for one in found] == [
        ("lost after 3.2 s, with 812 MB", 2, 0),
        ("no", 1, 2),
    ]


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (0.42, "0.4 s"), (48.0, "48 s"), (720.0, "12 min"), (7500.0, "2 h 5 min"), (7200.0, "2 h"), (90_000.0, "25 h"),
        (367_200.0, "4 d 6 h"), (1e8, "1,157 d"),
    ],
)  # fmt: skip
def test_a_span_is_said_as_people_say_it(seconds: float, shown: str) -> None:
    assert show_span(seconds) == shown


@pytest.mark.parametrize(
    ("score", "shown"),
    [(0.98765, "0.9877"), (-1234.5, "-1,234.5"), (1.5e-5, "1.5e-05"), (float("nan"), "–"), (0, "0.0000")],
)
def test_a_score_is_shown_with_digits_that_tell_trials_apart(score: float, shown: str) -> None:
    assert show_score(score) == shown


def test_a_card_names_versions_of_notebook_and_workers_that_differ() -> None:
    differ = facts(status(versions=("NumPy 2.5.1", "NumPy 2.4.6")))
    for said in (" ".join(Read(html_of(differ)).said), " ".join(text_of(differ).replace("│", " ").split())):
        assert "submitted with NumPy 2.5.1, and workers have NumPy 2.4.6: scores can differ" in said
    assert "submitted with" not in html_of(facts()) + text_of(facts())
