"""How a cluster stands, as records, as HTML for a notebook, and as text for a terminal."""

from __future__ import annotations

import io
import shutil
from collections import Counter
from dataclasses import dataclass

from producer.cluster.problems import Problem
from producer.formatting import plural, show_age
from producer.templating import page
from warren.printable import printable

HEADINGS = ("pod", "phase", "ready", "restarts", "age", "node", "preemptible", "reason")
# Pods that a notebook's table shows; the rest is counted.
_ROWS = 100
_USUAL_WIDTH, _LEAST_WIDTH, _MOST_WIDTH = 110, 60, 160


@dataclass(frozen=True, kw_only=True)
class Pod:
    """A pod, as a table has it."""

    name: str
    role: str
    """``worker``, ``rabbitmq`` or ``mongodb``."""
    phase: str
    """``Pending``, ``Running``, ``Succeeded``, ``Failed`` or ``Unknown``; ``Terminating`` once it is being deleted."""
    ready: bool
    restarts: int
    """How often its containers were started again."""
    age_seconds: float
    """Since it was made."""
    node: str | None
    """None until it has one."""
    preemptible: bool | None
    """Whether its node may be taken away at any time; None where that can't be known."""
    reason: str
    """Why it is not ready, or why it last ended: ``ImagePullBackOff``, ``OOMKilled``, ``Evicted``; else empty."""


@dataclass(frozen=True, kw_only=True)
class ClusterStatus:
    """A look at the cluster. A notebook shows it as a table."""

    where: str
    """The cluster, for people."""
    namespace: str
    deployment: str
    wanted: int
    """Workers that the Deployment is to have."""
    pods: tuple[Pod, ...]
    """Workers first, then the servers."""
    evictions: int
    """Pods that were evicted, preempted, or lost their node: as far back as the cluster remembers, usually an hour."""
    steered_by: str | None
    """What sets the number of workers, if anything does: ``ScaledObject worker (0 to 40)``."""
    problems: tuple[Problem, ...]
    nodes_known: bool
    """Whether this account may list nodes: without, preemptible is unknown."""
    events_known: bool
    """Whether this account may list events: without, evictions are counted from the pods alone."""

    @property
    def workers(self) -> tuple[Pod, ...]:
        """The workers' pods."""
        return tuple(pod for pod in self.pods if pod.role == self.deployment)

    @property
    def ready(self) -> int:
        """Workers that take chunks."""
        return sum(pod.ready for pod in self.workers)

    @property
    def restarts(self) -> int:
        """How often the containers of the workers that are there were started again."""
        return sum(pod.restarts for pod in self.workers)

    @property
    def phases(self) -> dict[str, int]:
        """How many workers are in each phase."""
        return dict(Counter(pod.phase for pod in self.workers))

    @property
    def preemptible(self) -> int | None:
        """Workers on nodes that may be taken away; None where that can't be known."""
        if not self.nodes_known:
            return None
        return sum(bool(pod.preemptible) for pod in self.workers if pod.phase not in {"Succeeded", "Failed"})

    def __str__(self) -> str:
        return text_of(self)

    __repr__ = __str__

    def _repr_html_(self) -> str:
        return html_of(self)


def row_of(pod: Pod) -> tuple[str, ...]:
    """Return what a table says of a pod, a text for each of `HEADINGS`."""
    preemptible = {True: "yes", False: "no", None: "unknown" if pod.node else ""}[pod.preemptible]
    return (
        pod.name,
        pod.phase,
        "yes" if pod.ready else "no",
        str(pod.restarts),
        show_age(pod.age_seconds),
        pod.node or "",
        preemptible,
        pod.reason,
    )


def headline(status: ClusterStatus) -> str:
    """Return how many workers there are: ``38 of 40 workers ready``."""
    return f"{status.ready:,} of {plural(status.wanted, 'worker')} ready"


def remarks(status: ClusterStatus) -> list[str]:
    """Return what stands beside the number of workers."""
    said = [f"{number:,} {phase}" for phase, number in sorted(status.phases.items())]
    if status.workers:
        said.append("preemptible: unknown" if status.preemptible is None else f"{status.preemptible:,} preemptible")
    said.append(plural(status.restarts, "restart"))
    said.append(plural(status.evictions, "eviction") + ("" if status.events_known else " known"))
    if status.steered_by:
        said.append(f"steered by {status.steered_by}")
    return said


def notes(status: ClusterStatus) -> list[str]:
    """Return what this account may not see."""
    unseen = [what for what, known in (("nodes", status.nodes_known), ("events", status.events_known)) if not known]
    return [f"this account may not list {' and '.join(unseen)}"] if unseen else []


def html_of(status: ClusterStatus) -> str:
    """Return a status as HTML that needs nothing from elsewhere, and is readable on light and dark.

    Parameters
    ----------
    status : ClusterStatus

    Returns
    -------
    str
    """
    state = "complete" if status.ready == status.wanted and not status.problems else "running"
    word = "as wanted" if state == "complete" else "changing" if not status.problems else "in trouble"
    state = "paused" if status.problems else state
    return page(
        "cluster.html",
        status=status,
        headline=headline(status),
        kind=state,
        state=word,
        remarks=[*remarks(status), *notes(status)],
        headings=HEADINGS,
        rows=[_cells(pod) for pod in status.pods[:_ROWS]],
        more=plural(len(status.pods) - _ROWS, "pod") if len(status.pods) > _ROWS else "",
    )


def _cells(pod: Pod) -> list[tuple[str, bool]]:
    """Return what a table says of a pod, and whether each is a trouble."""
    bad = {1: pod.phase in {"Failed", "Unknown"}, 3: pod.restarts > 0, 7: bool(pod.reason) and not pod.ready}
    return [(value, bad.get(place, False)) for place, value in enumerate(row_of(pod))]


def text_of(status: ClusterStatus) -> str:
    """Return a status as plain text, as wide as the terminal, without colours.

    Parameters
    ----------
    status : ClusterStatus

    Returns
    -------
    str
    """
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    width = min(max(shutil.get_terminal_size((_USUAL_WIDTH, 0)).columns, _LEAST_WIDTH), _MOST_WIDTH)
    out = io.StringIO()
    console = Console(file=out, width=width, color_system=None, force_terminal=False, legacy_windows=False)
    console.print(Text(" · ".join([headline(status), *remarks(status)])))
    for line in [*(str(problem) for problem in status.problems), *notes(status)]:
        console.print(Text(f"! {line}"))
    if status.pods:
        rows = [row_of(pod) for pod in status.pods]
        table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0))
        for name in HEADINGS:
            table.add_column(Text(name), justify="right" if name in {"restarts", "age"} else "left", no_wrap=True)
        for row in rows:
            table.add_row(*(Text(value) for value in row))
        # Lines may run over: a name that is cut off can't be typed.
        needed = sum(max(map(len, cells)) + 2 for cells in zip(HEADINGS, *rows, strict=True))
        console.width = max(width, needed)
        console.print(table)
    return printable("\n".join(line.rstrip() for line in out.getvalue().split("\n")))
