"""Commands for a Kubernetes cluster: `scale`, and the group `cluster`."""

from __future__ import annotations

import dataclasses
import shlex
import signal
import sys
import time
from typing import TYPE_CHECKING, Annotated, Any

import typer

from producer.cli.output import (
    MARKUP,
    Column,
    add_command,
    ended_by_signals,
    fill,
    heading,
    note,
    on_interrupt,
    print_json,
    say,
    say_lines,
    table,
)
from producer.formatting import plural

if TYPE_CHECKING:
    from producer.cluster.cluster import Cluster
    from producer.cluster.status import ClusterStatus

HELP = """Show and control the workers on a Kubernetes cluster, with the account of your kubeconfig.

Example:
  warren cluster status
  warren cluster connect      # in a notebook or a script: with Cluster().connect(): ...
"""

Context = Annotated[
    str | None, typer.Option(metavar="NAME", help="A context of the kubeconfig. Default: the current one.")
]
Namespace = Annotated[
    str, typer.Option("--namespace", "-n", metavar="NAME", help="The namespace that Warren was deployed to.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON on standard output, and nothing else there.")]

# Default for the seconds that --wait waits.
_WAIT_SECONDS = 600.0
# Seconds between refreshes of --watch.
_WATCH_SECONDS = 5.0

commands = typer.Typer(name="cluster", help=fill(HELP), no_args_is_help=True, rich_markup_mode=MARKUP)


def add_to(app: typer.Typer) -> None:
    """Add the commands of this module."""
    add_command(app, scale, "Machines")
    for command in (status, logs, connect, autoscale):
        commands.command(command.__name__, help=fill(command.__doc__ or ""))(command)
    app.add_typer(commands, name="cluster", rich_help_panel="Machines")


def scale(
    count: Annotated[int, typer.Argument(metavar="N", min=0, help="Number of workers.")],
    wait: Annotated[bool, typer.Option("--wait", help="Return once they are ready.")] = False,
    timeout: Annotated[float, typer.Option(metavar="SECONDS", min=0, help="Longest wait of --wait.")] = _WAIT_SECONDS,
    context: Context = None,
    namespace: Namespace = "tuning",
) -> None:
    """Set the number of workers. Idle workers are removed first; a busy one requeues its chunk.

    Example:
      warren scale 40
      warren scale 0              # stops the costs; the results stay
    """
    cluster = _open(context, namespace)
    try:
        cluster.scale(count, wait=wait, timeout=timeout)
    except TimeoutError as exc:
        note(f"warren: {exc}")
        raise typer.Exit(1) from None
    state = "ready" if wait else "requested; see warren cluster status"
    say(f"{plural(count, 'worker')} {state}")


def status(
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Repeat every few seconds, until Ctrl-C.")] = False,
    json_: AsJson = False,
    context: Context = None,
    namespace: Namespace = "tuning",
) -> None:
    """Show the pods of workers and servers, their nodes, restarts, evictions and problems.

    Example:
      warren cluster status
      warren cluster status --json | jq .ready
    """
    cluster = _open(context, namespace)
    if not watch:
        _show(cluster.status(), json_)
        return
    with ended_by_signals(), on_interrupt(""):
        while True:
            _show(cluster.status(), json_)
            sys.stdout.flush()
            time.sleep(_WATCH_SECONDS)


def logs(
    pod: Annotated[str, typer.Argument(metavar="POD", help="The pod's name, or its beginning.")],
    lines: Annotated[int, typer.Option(metavar="N", min=1, help="Number of last lines.")] = 100,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Print new lines until the pod ends.")] = False,
    context: Context = None,
    namespace: Namespace = "tuning",
) -> None:
    """Print a pod's log.

    Example:
      warren cluster logs worker-6d9f7c5b4-x2x9k --follow
      warren cluster logs rabbitmq-0
    """
    cluster = _open(context, namespace)
    if not follow:
        say_lines(cluster.logs(pod, lines).removesuffix("\n"))
        return
    with ended_by_signals(), on_interrupt(""):
        for line in cluster.logs(pod, lines, follow=True):
            say(line)
            sys.stdout.flush()


def connect(context: Context = None, namespace: Namespace = "tuning", json_: AsJson = False) -> None:
    """Forward the cluster's broker and database to this machine until Ctrl-C.

    Example:
      warren cluster connect export AMQP_URL=... MONGO_URL=... WARREN_KEY=... # in another terminal,
      the lines that it prints warren submit study.yaml --wait
    """
    cluster = _open(context, namespace)
    with ended_by_signals(), on_interrupt("disconnected"), cluster.connect() as connection:
        urls = {"AMQP_URL": connection.amqp_url, "MONGO_URL": connection.mongo_url}
        if connection.key:
            urls["WARREN_KEY"] = connection.key
        if json_:
            print_json({name.lower(): url for name, url in urls.items()})
        else:
            say()
            say("Run this in every other terminal that needs the servers:")
            say()
            for name, url in urls.items():
                say(f"  export {name}={shlex.quote(url)}")
            say()
        sys.stdout.flush()
        note(f"connected to namespace {cluster.namespace}; Ctrl-C ends it")
        while True:
            signal.pause()


def autoscale(
    least: Annotated[int | None, typer.Argument(metavar="MIN", min=0, show_default=False)] = None,
    most: Annotated[int | None, typer.Argument(metavar="MAX", min=1, show_default=False)] = None,
    off: Annotated[bool, typer.Option("--off", help="Remove the autoscaler, to set the number by hand.")] = False,
    context: Context = None,
    namespace: Namespace = "tuning",
) -> None:
    """Let the cluster set the number of workers: by the queue with KEDA, otherwise by CPU.

    Example:
      warren cluster autoscale 0 40
      warren cluster autoscale --off
    """
    if off and least is None:
        removed = _open(context, namespace).fixed()
        say("there was no autoscaler" if removed is None else f"removed {removed}; the workers stay")
        return
    if off or least is None or most is None:
        raise typer.BadParameter("give MIN and MAX, or --off")
    made = _open(context, namespace).autoscale(least, most)
    say(f"{made.min} to {made.max} workers by {made.kind} {made.name}: {made.by}")


def _open(context: str | None, namespace: str) -> Cluster:
    from producer.cluster import Cluster

    return Cluster(context, namespace)


def _show(found: ClusterStatus, as_json: bool) -> None:
    from producer.cluster.status import HEADINGS, headline, notes, remarks, row_of

    if as_json:
        print_json(_fields(found))
        return
    heading(headline(found))
    say(" · ".join(remarks(found)))
    for text in [*(str(problem) for problem in found.problems), *notes(found)]:
        say(f"! {text}")
    say()
    right = {"restarts", "age"}
    table(
        [Column(name, "right" if name in right else "left") for name in HEADINGS], [row_of(pod) for pod in found.pods]
    )


def _fields(found: ClusterStatus) -> dict[str, Any]:
    """Return a status for ``--json``."""
    return {
        "cluster": found.where,
        "namespace": found.namespace,
        "wanted": found.wanted,
        "ready": found.ready,
        "phases": found.phases,
        "preemptible": found.preemptible,
        "restarts": found.restarts,
        "evictions": found.evictions,
        "steered_by": found.steered_by,
        "problems": [{"kind": problem.kind, "text": problem.text} for problem in found.problems],
        "pods": [dataclasses.asdict(pod) for pod in found.pods],
    }
