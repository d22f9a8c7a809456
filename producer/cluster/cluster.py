"""The workers on a cluster, from a notebook."""

from __future__ import annotations

import operator
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from typing import Any, Literal, TypeVar, overload

from producer.cluster import autoscaling
from producer.cluster.api import Api, Json
from producer.cluster.api_errors import RefusedError
from producer.cluster.autoscaling import Autoscaling
from producer.cluster.connection import Connection
from producer.cluster.read_status import read_status
from producer.cluster.status import ClusterStatus
from producer.formatting import listing
from warren.errors import ClusterError, InputError

DEPLOYMENT = "worker"
# Seconds between two looks at pods that are awaited.
_LOOK_SECONDS = 1.0
# Seconds that pods may be without a node, and a node without a word: a pool takes a minute or two to grow.
_NODE_SECONDS = 180.0
_PATIENCE = {"unschedulable", "node"}

_Answer = TypeVar("_Answer")


class Cluster:
    """Workers in a namespace of a Kubernetes cluster: how many there are, how they do, and the way to their servers.

    It acts as you do: with the account of your kubeconfig, and what that may do.

    Parameters
    ----------
    context : str, default=None
        A context of your kubeconfig (``kubectl config get-contexts``). None is the current one; in a pod without a
        kubeconfig, the pod's own account.
    namespace : str, default="tuning"
        Where Warren was deployed.

    Raises
    ------
    ClusterError
        There is no kubeconfig, no such context, or it can't be used. Nothing is asked of the cluster yet.

    Examples
    --------
    >>> cluster = Cluster()  # doctest: +SKIP
    >>> cluster.scale(40)  # doctest: +SKIP
    >>> with cluster.connect():  # doctest: +SKIP
    ...     study = submit(estimator, param_grid, X, y)
    ...     study.wait()
    """

    def __init__(self, context: str | None = None, namespace: str = "tuning") -> None:
        self._api = Api(context, namespace)
        self.namespace = namespace
        self.context = self._api.context

    def __repr__(self) -> str:
        return f"Cluster(context={self.context!r}, namespace={self.namespace!r})"

    # ------------------------------------------------------------------------- servers

    def connect(self) -> Connection:
        """Forward the cluster's broker and database to this machine, and set ``AMQP_URL`` and ``MONGO_URL``.

        Returns
        -------
        Connection
            A context manager; or call its ``close``. Afterwards the environment is as it was. A server that is
            restarted meanwhile is found again; what is sent in between waits or is tried again, as after any outage.

        Raises
        ------
        ClusterError
            A Secret, a Service or a ready pod is missing, or this account may not read the Secrets ``rabbitmq`` and
            ``mongodb`` (verb get) or forward ports (verbs get and create, resource pods/portforward).
        """
        return self._in_namespace(lambda: Connection(self._api))

    # ------------------------------------------------------------------------- workers

    def scale(self, n: int, *, wait: bool = False, timeout: float = 600.0) -> None:
        """Set how many workers there are to be.

        Parameters
        ----------
        n : int
            0 or more. Workers that go give back the chunk in hand, the idle ones go first.
        wait : bool, default=False
            Return once so many are ready and no others are left, instead of at once.
        timeout : float, default=600.0
            Seconds to wait.

        Raises
        ------
        InputError
            `n` is no whole number from 0.
        ClusterError
            There is no such Deployment, an autoscaler sets the number, or this account may not (verb patch, resource
            deployments/scale). With `wait`: something keeps the workers from running, an image that can't be pulled, a
            quota, no room on the nodes; the text says what.
        TimeoutError
            With `wait`: they are not all ready in time. They still come.
        """
        try:
            count = -1 if isinstance(n, bool) else operator.index(n)
        except TypeError:
            count = -1
        if count < 0:
            raise InputError(f"scale({n!r}): give a whole number of workers, 0 or more")
        steered = self._in_namespace(lambda: autoscaling.steering(self._api, DEPLOYMENT))
        if steered is not None:
            raise ClusterError(
                f"scale({count}): {steered} sets the number of workers in namespace {self.namespace}, and would undo "
                f"it. cluster.autoscale(min, max) changes its bounds; cluster.fixed() removes it, and scale works again"
            )
        self._in_namespace(lambda: self._api.scale(DEPLOYMENT, count))
        if wait:
            self._await(count, timeout)

    def _await(self, count: int, timeout: float) -> None:
        deadline = time.monotonic() + timeout
        while True:
            status = self.status()
            there = [pod for pod in status.workers if pod.phase not in {"Succeeded", "Failed"}]
            if status.ready == count == len(there):
                return
            now = datetime.now(UTC)
            for problem in status.problems:
                early = problem.since is None or now - problem.since < timedelta(seconds=_NODE_SECONDS)
                if problem.kind not in _PATIENCE or not early:
                    raise ClusterError(f"{status.ready} of {count} workers are ready: {problem}")
            if time.monotonic() > deadline:
                why = "".join(f"; {problem}" for problem in status.problems)
                raise TimeoutError(
                    f"{status.ready} of {count} workers are ready after {timeout:g} s, {len(there)} pods are there{why}"
                )
            time.sleep(_LOOK_SECONDS)

    def status(self) -> ClusterStatus:
        """Look at the workers, their nodes and the servers.

        Returns
        -------
        ClusterStatus
            A table in a notebook and on a terminal. What this account may not list (nodes, events) is unknown in it.

        Raises
        ------
        ClusterError
            There is no such namespace or Deployment, or this account may not get deployments or list pods.
        """
        api = self._api
        deployment = self._deployment()
        pods = api.pods()
        steered = autoscaling.steering(api, DEPLOYMENT)
        return read_status(
            where=api.where,
            namespace=self.namespace,
            deployment=deployment,
            pods=pods,
            nodes=_unless_forbidden(api.nodes),
            events=_unless_forbidden(api.pod_events),
            steered=steered,
            now=datetime.now(UTC),
        )

    @overload
    def logs(self, pod: str, lines: int = 100, follow: Literal[False] = False) -> str: ...
    @overload
    def logs(self, pod: str, lines: int = 100, *, follow: Literal[True]) -> Iterator[str]: ...
    @overload
    def logs(self, pod: str, lines: int = 100, follow: bool = False) -> str | Iterator[str]: ...
    def logs(self, pod: str, lines: int = 100, follow: bool = False) -> str | Iterator[str]:
        """Read a pod's log.

        Parameters
        ----------
        pod : str
            Its name, or the beginning of it.
        lines : int, default=100
            How many of the last lines.
        follow : bool, default=False
            Yield lines as they come, until the pod ends.

        Returns
        -------
        str, or iterator of str
            With `follow` the lines, without their ends.

        Raises
        ------
        ClusterError
            There is no such pod, it has no log yet, or this account may not read it (verb get, resource pods/log).
        InputError
            `lines` is no number from 1.
        """
        if isinstance(lines, bool) or not isinstance(lines, int) or lines < 1:
            raise InputError(f"lines={lines!r}: give a whole number, 1 or more")
        name, container = self._find_pod(pod)
        read = self._api.follow_log if follow else self._api.log
        try:
            return read(name, container, lines)
        except RefusedError as exc:
            if exc.status != HTTPStatus.BAD_REQUEST:
                raise
            raise ClusterError(f"pod {name} has no log yet: {exc.message}") from exc

    def _find_pod(self, pod: str) -> tuple[str, str]:
        pods = {one["metadata"]["name"]: one for one in self._api.pods()}
        if not pods:  # as in a namespace that is not there
            self._in_namespace(lambda: _unless_forbidden(lambda: [self._api.namespace_object()]))
        found = [pod] if pod in pods else [name for name in sorted(pods) if pod and name.startswith(pod)]
        if not found:
            there = listing(sorted(pods)) or "none"
            raise ClusterError(f"no pod {pod!r} in namespace {self.namespace} of {self._api.where}: there are {there}")
        if len(found) > 1:
            raise ClusterError(f"{len(found)} pods begin with {pod!r}: {listing(found)}; write more of the name")
        return found[0], pods[found[0]]["spec"]["containers"][0]["name"]

    # --------------------------------------------------------------------- autoscalers

    def autoscale(self, min: int, max: int) -> Autoscaling:
        """Let the cluster set the number of workers; `fixed` ends that.

        With KEDA there are as many workers as chunks, waiting or in hand, and none without work. Without KEDA a
        HorizontalPodAutoscaler goes by CPU, which needs a metrics server and keeps one worker at least; `status` says
        where it can't measure.

        Parameters
        ----------
        min : int
            Workers that there are at least.
        max : int
            Workers that there are at most: the most that you pay for.

        Returns
        -------
        Autoscaling
            What sets the number from now on; it says which of the two it is.

        Raises
        ------
        InputError
            The bounds are none.
        ClusterError
            There is no such Deployment, `min` is 0 without KEDA, or this account may not (verbs list, create and patch,
            resource horizontalpodautoscalers, or scaledobjects and triggerauthentications; without KEDA and without
            workers, patch deployments/scale).
        """
        low, high = autoscaling.check_bounds(min, max)
        deployment = self._deployment()
        made = autoscaling.autoscale(self._api, DEPLOYMENT, low, high)
        autoscaling.awaken(self._api, deployment, made)
        return made

    def fixed(self) -> Autoscaling | None:
        """Set the number of workers by hand again: remove what sets it. The workers that there are stay.

        Returns
        -------
        Autoscaling or None
            What was removed; None if nothing set it.

        Raises
        ------
        ClusterError
            There is no such Deployment, or this account may not (verbs list and delete, resource
            horizontalpodautoscalers or scaledobjects).
        """
        removed = self._in_namespace(lambda: autoscaling.fixed(self._api, DEPLOYMENT))
        if removed is None:  # as in a namespace that is not there, whose lists are empty
            self._deployment()
        return removed

    # --------------------------------------------------------------------- what is missing

    def _deployment(self) -> Json:
        found: Json = self._in_namespace(lambda: self._api.deployment(DEPLOYMENT))
        return found

    def _in_namespace(self, ask: Callable[[], _Answer]) -> _Answer:
        """Ask for something of this namespace; if it is not there, find out what is missing."""
        try:
            return ask()
        except RefusedError as exc:
            if not exc.missing:
                raise
            raise self._missing(exc) from exc

    def _missing(self, refusal: RefusedError) -> ClusterError:
        where = self._api.where
        try:
            self._api.namespace_object()
        except RefusedError as exc:
            if exc.missing:
                names = _unless_forbidden(self._api.namespaces)
                there = f": there are {listing(names)}" if names else ""
                return ClusterError(
                    f"no namespace {self.namespace!r} in {where}{there}. Deploy Warren there, "
                    "`kubectl apply -k k8s/overlays/...`, or name another: Cluster(namespace=...)"
                )
        names = _unless_forbidden(self._api.deployments)
        if names is None or DEPLOYMENT in names:
            return refusal
        there = f"it has {listing(names)}" if names else "it has none"
        return ClusterError(
            f"no Deployment {DEPLOYMENT} in namespace {self.namespace} of {where}: {there}. Deploy Warren there, "
            "`kubectl apply -k k8s/overlays/...`, or name another: Cluster(namespace=...)"
        )


def _unless_forbidden(ask: Callable[[], list[Any]]) -> list[Any] | None:
    """Return a list, or None where this account may not have it."""
    try:
        return ask()
    except RefusedError as exc:
        if not exc.forbidden:
            raise
        return None
