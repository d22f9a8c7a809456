"""Marks idle workers so that Kubernetes removes them first on scale-down.

Run it by ``python -m producer.cluster.deletion_cost``.

A ReplicaSet first removes the pods with the lowest ``controller.kubernetes.io/pod-deletion-cost``.
Workers have no API token, so one small pod asks each worker over HTTP whether it has a chunk, and
sets the cost. Without this pod nothing is lost, but scale-down interrupts trials although idle
workers exist.
https://kubernetes.io/docs/concepts/workloads/controllers/replicaset/#pod-deletion-cost

It stays small: it sends its few requests to the API with the standard library.
"""

from __future__ import annotations

import http.client
import json
import logging
import re
import signal
import ssl
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import FrameType
from typing import Any
from urllib.parse import quote, urlencode

from pydantic import Field, ValidationError

from warren.errors import ClusterError
from warren.logs import configure_logging
from warren.settings import LogSettings

logger = logging.getLogger("producer.cluster.deletion_cost")

COST = "controller.kubernetes.io/pod-deletion-cost"
# The worker's gauge: seconds since it received its current chunk, 0 without one.
GAUGE = "warren_chunk_seconds"
# The costs of an idle worker (the default of pods), of one with a chunk, and of one that has had
# its chunk for long and may lose a long trial.
IDLE, BUSY, LONG = 0, 100, 200
_LONG_SECONDS = 60.0
# Seconds for a worker's response, and for the API's.
_WORKER_SECONDS = 2.0
_API_SECONDS = 10.0
# Workers asked in parallel, and pods in a response of the API: both bound the memory.
_AT_ONCE = 16
_PAGE = 100
# Most bytes read of a worker's metrics, which have about ten thousand.
_LONGEST_PAGE = 1 << 20
# The longest pause while the API is unreachable, in periods.
_MOST_PERIODS = 30

_SAMPLE = re.compile(rf"^{GAUGE} (\S+)", re.MULTILINE)


class IdleSettings(LogSettings):
    """Settings from the environment. Each field has its unit, default and the reason for it."""

    period_seconds: float = Field(
        default=10.0,
        gt=0,
        alias="WARREN_IDLE_SECONDS",
        description="Seconds between reads of the workers. People scale down some time after a study ends.",
    )
    namespace: str = Field(
        default="",
        alias="POD_NAMESPACE",
        description="Namespace of the workers. Default: that of this pod.",
    )
    selector: str = Field(
        default="app.kubernetes.io/name=worker",
        min_length=1,
        alias="WARREN_IDLE_SELECTOR",
        description="Labels of the workers' pods.",
    )
    http_port: int = Field(
        default=8080,
        ge=1,
        le=65535,
        alias="WARREN_HTTP_PORT",
        description="TCP port of a worker's /metrics. The default is the image's.",
    )
    api_host: str = Field(
        default="",
        alias="KUBERNETES_SERVICE_HOST",
        description="Host of the API server; Kubernetes sets it in every pod.",
    )
    api_port: int = Field(
        default=443,
        alias="KUBERNETES_SERVICE_PORT",
        description="Port of the API server; Kubernetes sets it in every pod.",
    )
    account: Path = Field(
        default=Path("/var/run/secrets/kubernetes.io/serviceaccount"),
        alias="WARREN_SERVICE_ACCOUNT",
        description="Folder with this pod's token, CA certificate and namespace, as Kubernetes mounts it.",
    )
    alive_file: Path | None = Field(
        default=None,
        alias="WARREN_ALIVE_FILE",
        description="File that is touched before every read, for a probe. Default: none.",
    )


class PodApi:
    """Reads and marks the pods of a namespace, through the API server of this pod's cluster.

    Parameters
    ----------
    settings : IdleSettings

    Raises
    ------
    ClusterError
        This process is not in a pod, or the pod has no token.
    """

    def __init__(self, settings: IdleSettings) -> None:
        self._settings = settings
        try:
            self._tls = ssl.create_default_context(cafile=str(settings.account / "ca.crt"))
            self._namespace = settings.namespace or (settings.account / "namespace").read_text().strip()
            self._token()
        except OSError as exc:
            raise ClusterError(
                f"no service account in {settings.account} ({exc.strerror or exc}): run this in a pod with "
                "automountServiceAccountToken: true"
            ) from exc
        if not settings.api_host:
            raise ClusterError("KUBERNETES_SERVICE_HOST is not set: run this in a pod")
        # Python 3.13 demands extensions that many clusters' certificates lack.
        self._tls.verify_flags &= ~ssl.VERIFY_X509_STRICT

    def workers(self) -> Iterator[Mapping[str, Any]]:
        """Yield the workers' pods."""
        continuation = ""
        while True:
            query = {
                "labelSelector": self._settings.selector,
                "limit": _PAGE,
                **({"continue": continuation} if continuation else {}),
            }
            page = self._ask("GET", f"?{urlencode(query)}", "list pods")
            yield from page["items"]
            continuation = page["metadata"].get("continue", "")
            if not continuation:
                return

    def set_cost(self, name: str, cost: int) -> None:
        """Write a pod's deletion cost; ignore a pod that no longer exists."""
        body = json.dumps({"metadata": {"annotations": {COST: str(cost)}}})
        # pods/status can also write annotations, but its permission can't change what the pod runs.
        self._ask("PATCH", f"/{quote(name)}/status", "patch pods/status", body, missing_ok=True)

    def _token(self) -> str:
        # Read each time: Kubernetes replaces it within the hour.
        return (self._settings.account / "token").read_text().strip()

    def _ask(self, method: str, path: str, what: str, body: str | None = None, *, missing_ok: bool = False) -> Any:
        settings = self._settings
        headers = {"Authorization": f"Bearer {self._token()}", "Accept": "application/json"}
        if body is not None:
            headers["Content-Type"] = "application/merge-patch+json"
        connection = http.client.HTTPSConnection(
            settings.api_host, settings.api_port, timeout=_API_SECONDS, context=self._tls
        )
        try:
            connection.request(method, f"/api/v1/namespaces/{quote(self._namespace)}/pods{path}", body, headers)
            response = connection.getresponse()
            answer = response.read()
        finally:
            connection.close()
        if missing_ok and response.status == http.HTTPStatus.NOT_FOUND:
            return None
        if response.status in {http.HTTPStatus.UNAUTHORIZED, http.HTTPStatus.FORBIDDEN}:
            raise ClusterError(
                f"this service account may not {what} in namespace {self._namespace} ({response.status})"
            )
        if response.status != http.HTTPStatus.OK:
            message = answer.decode(errors="replace")[:200]
            raise ClusterError(f"the API server refuses to {what} ({response.status}): {message}")
        return json.loads(answer)


def chunk_seconds(page: str) -> float | None:
    """Return how long a worker has had its chunk.

    Parameters
    ----------
    page : str
        Its metrics (Prometheus's text format 0.0.4).

    Returns
    -------
    float or None
        Seconds, 0 for a worker without a chunk; None if the gauge is missing.
    """
    found = _SAMPLE.search(page)
    try:
        return float(found[1]) if found else None
    except ValueError:
        return None


def cost_of(seconds: float) -> int:
    """Return the deletion cost of a worker that has had its chunk for `seconds`."""
    if seconds <= 0:
        return IDLE
    return LONG if seconds >= _LONG_SECONDS else BUSY


def read_page(address: str, port: int) -> str | None:
    """Return a worker's metrics, or None if it does not respond in time."""
    connection = http.client.HTTPConnection(address, port, timeout=_WORKER_SECONDS)
    try:
        connection.request("GET", "/metrics")
        response = connection.getresponse()
        if response.status != http.HTTPStatus.OK:
            return None
        return response.read(_LONGEST_PAGE).decode(errors="replace")
    except (OSError, http.client.HTTPException) as exc:
        logger.debug("a worker does not respond", extra={"address": address, "reason": str(exc)})
        return None
    finally:
        connection.close()


class IdleFirst:
    """Updates the deletion costs of the workers' pods.

    Parameters
    ----------
    api : PodApi
    port : int
        Port of the workers' metrics.
    read : callable, default=read_page
        Returns a worker's metrics for its address and port.
    """

    def __init__(self, api: PodApi, port: int, read: Callable[[str, int], str | None] = read_page) -> None:
        self._api = api
        self._port = port
        self._read = read
        self._pool = ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="idle-first")

    def turn(self) -> dict[str, int]:
        """Ask every worker once, and write the costs that changed.

        Returns
        -------
        dict of str to int
            The numbers of ``idle``, ``busy`` and ``unknown`` workers (the last keep their costs),
            and of costs that ``changed``.

        Raises
        ------
        ClusterError
            The API refuses a request.
        OSError, http.client.HTTPException
            The API can't be reached.
        """
        pods = {
            pod["metadata"]["name"]: (pod["status"]["podIP"], (pod["metadata"].get("annotations") or {}).get(COST, "0"))
            for pod in self._api.workers()
            if "deletionTimestamp" not in pod["metadata"]
            and pod["status"].get("podIP")
            and pod["status"].get("phase") == "Running"
        }
        pages = self._pool.map(lambda pod: self._read(pod[0], self._port), pods.values())
        counts = {"idle": 0, "busy": 0, "unknown": 0, "changed": 0}
        for (name, (_, before)), page in zip(pods.items(), pages, strict=True):
            seconds = None if page is None else chunk_seconds(page)
            if seconds is None:
                counts["unknown"] += 1
                continue
            cost = cost_of(seconds)
            counts["busy" if cost else "idle"] += 1
            if str(cost) != before:
                self._api.set_cost(name, cost)
                counts["changed"] += 1
        return counts

    def run(self, period_seconds: float, over: threading.Event, alive_file: Path | None = None) -> None:
        """Ask periodically until stopped; less often while the API is unreachable.

        Parameters
        ----------
        period_seconds : float
        over : threading.Event
            Set it to stop.
        alive_file : Path, default=None
            Touched before each read, also while the API is unreachable, because this process is
            alive then, too.
        """
        pause = 0.0
        failures = 0
        while not over.wait(pause):
            if alive_file is not None:
                alive_file.touch()
            try:
                counts = self.turn()
            except (ClusterError, OSError, http.client.HTTPException, ValueError, KeyError) as exc:
                failures += 1
                pause = period_seconds * min(2 ** min(failures, 10), _MOST_PERIODS)
                reason = str(exc) or type(exc).__name__
                logger.warning(
                    "can't update deletion costs; workers keep their old ones",
                    extra={"reason": reason, "again_in": pause},
                )
                continue
            if failures:
                logger.info("the API responds again", extra={"failures": failures})
            failures, pause = 0, period_seconds
            level = logging.INFO if counts["changed"] else logging.DEBUG
            logger.log(level, "updated deletion costs", extra=counts)
        self._pool.shutdown(wait=False, cancel_futures=True)


def main() -> int:
    """Run until SIGTERM; return the exit code."""
    try:
        settings = IdleSettings()
    except ValidationError as exc:
        lines = [f"{'.'.join(map(str, error['loc']))}: {error['msg']}" for error in exc.errors()]
        sys.stderr.write("idle-first: a setting in the environment can't be used: " + "; ".join(lines) + "\n")
        return 2
    configure_logging(settings.log_level, settings.log_format)
    over = threading.Event()

    def on_signal(number: int, frame: FrameType | None) -> None:  # noqa: ARG001 - signal's signature
        over.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, on_signal)
    try:
        idle_first = IdleFirst(PodApi(settings), settings.http_port)
    except ClusterError as exc:
        logger.critical("can't start", extra={"reason": str(exc)})
        return 2
    logger.info("marking idle workers for removal first", extra={"period_seconds": settings.period_seconds})
    idle_first.run(settings.period_seconds, over, settings.alive_file)
    logger.info("stopped")
    return 0


if __name__ == "__main__":
    sys.exit(main())
