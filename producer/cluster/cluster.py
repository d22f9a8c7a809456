"""Controls the workers on a Kubernetes cluster from a notebook."""

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
# Seconds between reads of the status while waiting for pods.
_LOOK_SECONDS = 1.0
# Seconds that a pod may lack a node, and a node may not respond: a node pool takes a minute or two
# to grow.
_NODE_SECONDS = 180.0
_PATIENCE = {"unschedulable", "node"}

_Answer = TypeVar("_Answer")


class Cluster:
    """The workers in a namespace of a Kubernetes cluster: their number, status and servers.

    It uses the account of your kubeconfig, with its permissions.

    Parameters
    ----------
    context : str, default=None
        A context of your kubeconfig (``kubectl config get-contexts``). None is the current one; in
        a pod without a kubeconfig, the pod's own account.
    namespace : str, default="tuning"
        The namespace that Warren was deployed to.

    Raises
    ------
    ClusterError
        There is no kubeconfig, no such context, or it can't be used. No request is sent to the
        cluster yet.

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
        """Forward the cluster's servers to this machine; set ``AMQP_URL`` and ``MONGO_URL``.

        Returns
        -------
        Connection
            A context manager; or call its ``close``, which restores the environment. If a server
            restarts, the connection finds it again; requests in between wait or are retried, as
            after any outage.

        Raises
        ------
        ClusterError
            A Secret, a Service or a ready pod is missing, or this account may not read the Secrets
            ``rabbitmq`` and ``mongodb`` (verb get) or forward ports (verbs get and create, resource
            pods/portforward).
        """
        return self._in_namespace(lambda: Connection(self._api))

    # ------------------------------------------------------------------------- workers

    def scale(self, n: int, *, wait: bool = False, timeout: float = 600.0) -> None:
        """Set the number of workers.

        Parameters
        ----------
        n : int
            0 or more. Removed workers requeue their current chunk; idle workers are removed first.
        wait : bool, default=False
            Return only when exactly `n` workers are ready.
        timeout : float, default=600.0
            Seconds to wait.

        Raises
        ------
        InputError
            `n` is not an integer of at least 0.
        ClusterError
            There is no such Deployment, an autoscaler sets the number, or this account lacks the
            permission (verb patch, resource deployments/scale). With `wait`: the workers can't run,
            for example because an image can't be pulled, a quota is used up, or the nodes are full;
            the message says why.
        TimeoutError
            With `wait`: not all workers are ready in time. Kubernetes goes on starting them.
        """
        try:
            count = -1 if isinstance(n, bool) else operator.index(n)
        except TypeError:
            count = -1
        if count < 0:
            raise InputError(f"scale({n!r}): give a whole number of workers, 0 or more")
        steered = self._in_namespace(lambda: autoscaling.active_autoscaler(self._api, DEPLOYMENT))
        if steered is not None:
            raise ClusterError(
                f"scale({count}): {steered} sets the number of workers in namespace {self.namespace}, and would undo "
                f"this. cluster.autoscale(min, max) changes its bounds; cluster.fixed() removes it, so that scale works"
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
        """Read the status of the workers, their nodes and the servers.

        Returns
        -------
        ClusterStatus
            Shown as a table in a notebook and a terminal. If this account may not list nodes or
            events, it lacks them.

        Raises
        ------
        ClusterError
            There is no such namespace or Deployment, or this account may not get deployments or
            list pods.
        """
        api = self._api
        deployment = self._deployment()
        pods = api.pods()
        steered = autoscaling.active_autoscaler(api, DEPLOYMENT)
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
            The pod's name, or its beginning.
        lines : int, default=100
            Number of last lines.
        follow : bool, default=False
            Yield lines as they are written, until the pod ends.

        Returns
        -------
        str, or iterator of str
            With `follow` an iterator of lines without line ends.

        Raises
        ------
        ClusterError
            There is no such pod, it has no log yet, or this account may not read it (verb get,
            resource pods/log).
        InputError
            `lines` is not an integer of at least 1.
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
        pods = {found["metadata"]["name"]: found for found in self._api.pods()}
        if not pods:  # the namespace may not exist
            self._in_namespace(lambda: _unless_forbidden(lambda: [self._api.namespace_object()]))
        found = [pod] if pod in pods else [name for name in sorted(pods) if pod and name.startswith(pod)]
        if not found:
            there = listing(sorted(pods)) or "none"
            raise ClusterError(
                f"no pod {pod!r} in namespace {self.namespace} of {self._api.where}: existing pods: {there}"
            )
        if len(found) > 1:
            raise ClusterError(f"{len(found)} pods begin with {pod!r}: {listing(found)}; pass more of the name")
        return found[0], pods[found[0]]["spec"]["containers"][0]["name"]

    # --------------------------------------------------------------------- autoscalers

    def autoscale(self, min: int, max: int) -> Autoscaling:
        """Let the cluster set the number of workers; `fixed` ends that.

        With KEDA, there is one worker for each chunk that is queued or unacknowledged, and none
        without chunks. Without KEDA, a HorizontalPodAutoscaler scales by CPU; it needs a metrics
        server and keeps at least one worker. `status` shows if it does not work.

        Parameters
        ----------
        min : int
            Least number of workers.
        max : int
            Greatest number of workers, which bounds your cost.

        Returns
        -------
        Autoscaling
            The autoscaler and its kind.

        Raises
        ------
        InputError
            The bounds are invalid.
        ClusterError
            There is no such Deployment, `min` is 0 without KEDA, or this account lacks a permission
            (verbs list, create and patch, resource horizontalpodautoscalers, or scaledobjects and
            triggerauthentications; without KEDA and without workers, patch deployments/scale).
        """
        low, high = autoscaling.check_bounds(min, max)
        deployment = self._deployment()
        made = autoscaling.autoscale(self._api, DEPLOYMENT, low, high)
        autoscaling.start_first_worker(self._api, deployment, made)
        return made

    def fixed(self) -> Autoscaling | None:
        """Remove the autoscaler, so that `scale` sets the number of workers. Workers stay.

        Returns
        -------
        Autoscaling or None
            The removed autoscaler; None if there was none.

        Raises
        ------
        ClusterError
            There is no such Deployment, or this account lacks a permission (verbs list and delete,
            resource horizontalpodautoscalers or scaledobjects).
        """
        removed = self._in_namespace(lambda: autoscaling.fixed(self._api, DEPLOYMENT))
        if removed is None:  # the namespace may not exist: its lists are empty, too
            self._deployment()
        return removed

    # ----------------------------------------------------------------- missing objects

    def _deployment(self) -> Json:
        found: Json = self._in_namespace(lambda: self._api.deployment(DEPLOYMENT))
        return found

    def _in_namespace(self, ask: Callable[[], _Answer]) -> _Answer:
        """Send a request; if an object does not exist, find out which one is missing."""
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
                there = f": existing namespaces: {listing(names)}" if names else ""
                return ClusterError(
                    f"no namespace {self.namespace!r} in {where}{there}. Deploy Warren there by "
                    "`kubectl apply -k k8s/overlays/...`, or pass another: Cluster(namespace=...)"
                )
        names = _unless_forbidden(self._api.deployments)
        if names is None or DEPLOYMENT in names:
            return refusal
        there = f"it has {listing(names)}" if names else "it has none"
        return ClusterError(
            f"no Deployment {DEPLOYMENT} in namespace {self.namespace} of {where}: {there}. Deploy Warren there by "
            "`kubectl apply -k k8s/overlays/...`, or pass another: Cluster(namespace=...)"
        )


def _unless_forbidden(ask: Callable[[], list[Any]]) -> list[Any] | None:
    """Return a list, or None if this account may not read it."""
    try:
        return ask()
    except RefusedError as exc:
        if not exc.forbidden:
            raise
        return None
