"""The status of a cluster: its records, as HTML for a notebook, and as text for a terminal."""

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
# Most pods in a notebook's table; the rest is only counted.
_ROWS = 100
_USUAL_WIDTH, _LEAST_WIDTH, _MOST_WIDTH = 110, 60, 160


@dataclass(frozen=True, kw_only=True)
class Pod:
    """A pod in the table."""

    name: str
    role: str
    """``worker``, ``rabbitmq`` or ``mongodb``."""
    phase: str
    """``Pending``, ``Running``, ``Succeeded``, ``Failed``, ``Unknown`` or ``Terminating``."""
    ready: bool
    restarts: int
    """How often its containers were restarted."""
    age_seconds: float
    """Seconds since its creation."""
    node: str | None
    """None until it is scheduled."""
    preemptible: bool | None
    """Whether its node may be preempted at any time; None if unknown."""
    reason: str
    """Why it is not ready or last ended, such as ``OOMKilled`` or ``Evicted``; else empty."""


@dataclass(frozen=True, kw_only=True)
class ClusterStatus:
    """The status of the cluster. A notebook shows it as a table."""

    where: str
    """The cluster, for messages."""
    namespace: str
    deployment: str
    wanted: int
    """Number of workers that the Deployment should have."""
    pods: tuple[Pod, ...]
    """Workers first, then the servers."""
    evictions: int
    """Pods that were evicted, preempted, or lost their node, usually within the last hour."""
    steered_by: str | None
    """The autoscaler, such as ``ScaledObject worker (0 to 40)``; None without one."""
    problems: tuple[Problem, ...]
    nodes_known: bool
    """Whether this account may list nodes; otherwise, preemptible is unknown."""
    events_known: bool
    """Whether this account may list events; otherwise, evictions are counted from the pods only."""

    @property
    def workers(self) -> tuple[Pod, ...]:
        """The workers' pods."""
        return tuple(pod for pod in self.pods if pod.role == self.deployment)

    @property
    def ready(self) -> int:
        """The number of workers that are ready for chunks."""
        return sum(pod.ready for pod in self.workers)

    @property
    def restarts(self) -> int:
        """How often the containers of the current workers were restarted."""
        return sum(pod.restarts for pod in self.workers)

    @property
    def phases(self) -> dict[str, int]:
        """The number of workers in each phase."""
        return dict(Counter(pod.phase for pod in self.workers))

    @property
    def preemptible(self) -> int | None:
        """The number of workers on preemptible nodes; None if unknown."""
        if not self.nodes_known:
            return None
        return sum(bool(pod.preemptible) for pod in self.workers if pod.phase not in {"Succeeded", "Failed"})

    def __str__(self) -> str:
        return text_of(self)

    __repr__ = __str__

    def _repr_html_(self) -> str:
        return html_of(self)


def row_of(pod: Pod) -> tuple[str, ...]:
    """Return a pod's row of the table, a text for each of `HEADINGS`."""
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
    """Return the number of workers, such as ``38 of 40 workers ready``."""
    return f"{status.ready:,} of {plural(status.wanted, 'worker')} ready"


def remarks(status: ClusterStatus) -> list[str]:
    """Return remarks on the workers: phases, restarts, evictions and the autoscaler."""
    texts = [f"{number:,} {phase}" for phase, number in sorted(status.phases.items())]
    if status.workers:
        texts.append("preemptible: unknown" if status.preemptible is None else f"{status.preemptible:,} preemptible")
    texts.append(plural(status.restarts, "restart"))
    texts.append(plural(status.evictions, "eviction") + ("" if status.events_known else " known"))
    if status.steered_by:
        texts.append(f"scaled by {status.steered_by}")
    return texts


def notes(status: ClusterStatus) -> list[str]:
    """Return a note on what this account may not list."""
    unseen = [what for what, known in (("nodes", status.nodes_known), ("events", status.events_known)) if not known]
    return [f"this account may not list {' and '.join(unseen)}"] if unseen else []


def html_of(status: ClusterStatus) -> str:
    """Return a status as self-contained HTML that is readable in light and dark themes.

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
    """Return a pod's row of the table, each cell with whether it shows a problem."""
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
        # Let lines exceed the width: a truncated name can't be typed.
        needed = sum(max(map(len, cells)) + 2 for cells in zip(HEADINGS, *rows, strict=True))
        console.width = max(width, needed)
        console.print(table)
    return printable("\n".join(line.rstrip() for line in out.getvalue().split("\n")))
