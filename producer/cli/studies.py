"""Commands for existing studies (`list`, `pause` and so on), and finding a study by its id."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from producer.cli.output import Column, add_command, ask, note, print_json, say, table
from producer.formatting import plural, show_age, show_score
from warren.errors import StudyError

if TYPE_CHECKING:
    from producer.results.status import Status
    from producer.study import Study
    from warren.storage.store import Store

# Most studies that an error lists if several ids begin with the given text.
_NAMED = 5

StudyId = Annotated[str, typer.Argument(metavar="ID", help="The study's id, or its beginning.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON on standard output, and nothing else there.")]


def add_to(app: typer.Typer) -> None:
    """Add the commands of this module."""
    add_command(app, list_studies, "Studies", name="list")
    for command in (pause, resume, cancel, retry, delete):
        add_command(app, command, "Studies")


def list_studies(
    limit: Annotated[int, typer.Option(metavar="N", min=0, help="Only the N newest; 0 is all.")] = 20,
    json_: AsJson = False,
) -> None:
    """List the studies, newest first.

    Example:
      warren list
      warren list --limit 0 --json | jq -r '.[] | select(.state == "RUNNING") | .id'
    """
    from producer.results.status import Status
    from warren.storage.study_document import StudyStatus

    with _open_store() as store:
        found = store.studies(StudyStatus, limit + 1 if limit else 0)
    shown = [Status.of(study) for study in (found[:limit] if limit else found)]
    if json_:
        print_json([status_fields(status) for status in shown])
        return
    if not shown:
        note("no studies yet: warren submit study.yaml, or warren demo")
        return
    columns = [
        Column("id"),
        Column("state"),
        Column("done", "right"),
        Column("failed", "right"),
        Column("best", "right"),
        Column("age", "right"),
    ]
    now = datetime.now(UTC)
    rows = [
        [
            status.id,
            status.state,
            f"{status.done}/{status.total}",
            str(status.failed),
            show_score(status.best_score, none="-"),
            show_age((now - status.created_at).total_seconds()),
        ]
        for status in shown
    ]
    table(columns, rows)
    if len(found) > len(shown):
        note("older studies are not shown; for all: warren list --limit 0")


def pause(study_id: StudyId, json_: AsJson = False) -> None:
    """Pause a running study: workers train none of its trials until `warren resume`.

    Example:
      warren pause breast
    """
    study = find(study_id)
    study.pause()
    _report(study, json_)


def resume(study_id: StudyId, json_: AsJson = False) -> None:
    """Resume a paused, cancelled or partly submitted study: publish every trial without a result.

    Example:
      warren resume breast
    """
    study = find(study_id)
    _report(study, json_, study.resume())


def cancel(study_id: StudyId, json_: AsJson = False) -> None:
    """Cancel a running or paused study: no further trial begins. Its results stay.

    Example:
      warren cancel breast
    """
    study = find(study_id)
    study.cancel()
    _report(study, json_)


def retry(study_id: StudyId, json_: AsJson = False) -> None:
    """Try failed trials again, and trials in dead letters.

    Example:
      warren retry breast
    """
    study = find(study_id)
    _report(study, json_, study.retry_failed())


def delete(
    study_id: StudyId,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Don't ask.")] = False,
    json_: AsJson = False,
) -> None:
    """Delete a study, its results, and its data if no other study uses it. This can't be undone.

    Example:
      warren delete breast
      warren delete breast-0a1b2c --yes
    """
    study = find(study_id)
    status = study.status()
    if not (yes or _agreed(f"Delete study {study.id} ({status.state}, {_done(status)}) permanently?")):
        note("nothing was deleted; --yes deletes without asking")
        raise typer.Exit(1)
    study.delete()
    if json_:
        print_json(status_fields(status) | {"state": "DELETED"})
    else:
        say(f"study {study.id}: DELETED, with the results of {plural(status.done, 'trial')}")


def _report(study: Study, as_json: bool, queued: int = 0) -> None:
    status = study.status()
    if as_json:
        print_json(status_fields(status))
        return
    failed = f", {status.failed:,} failed" if status.failed else ""
    dead = "".join(f"; {text}" for text in (status.dead_text, status.lost_text) if text)
    again = f"; {plural(queued, 'trial')} queued" if queued else ""
    say(f"study {status.id}: {status.state}, {_done(status)}{failed}{again}{dead}")


def _done(status: Status) -> str:
    return f"{status.done:,} of {plural(status.total, 'trial')} done"


def _agreed(question: str) -> bool:
    """Ask the user on standard error, so that a pipe gets only results; no answer means no."""
    ask(f"{question} [y/N] ")
    answer = sys.stdin.readline()
    if not answer:  # end of file: there is no line break yet
        note("")
    return answer.strip().lower() in {"y", "yes"}


def status_fields(status: Status) -> dict[str, Any]:
    """Return a status for ``--json``."""
    return dataclasses.asdict(status) | {"done": status.done, "waiting": status.waiting}


@contextmanager
def _open_store() -> Iterator[Store]:
    from warren.settings import load_settings
    from warren.storage.store import Store

    store = Store(load_settings())
    try:
        yield store
    finally:
        store.close()


def find(study_id: str) -> Study:
    """Return the study with an id, or whose id begins with the text.

    Raises
    ------
    StudyError
        No study matches, or several do; the message lists some.
    """
    from producer.study import Study
    from warren.storage.study_document import StudyKey

    try:
        return Study.attach(study_id)
    except StudyError:
        with _open_store() as store:
            ids = [study.id for study in store.studies(StudyKey)]
        matches = [known for known in ids if known.startswith(study_id)] if study_id else []
        if len(matches) == 1:
            return Study.attach(matches[0])
        if matches:
            named = ", ".join(matches[:_NAMED]) + (", ..." if len(matches) > _NAMED else "")
            raise StudyError(f"{len(matches)} studies begin with {study_id!r}: {named}; type more of the id") from None
        raise
