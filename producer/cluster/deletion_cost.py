"""``python -m producer.cluster.deletion_cost`` marks idle workers, so that Kubernetes removes them first on scale-down.

A ReplicaSet that loses pods takes those of the lowest ``controller.kubernetes.io/pod-deletion-cost`` first. Workers
hold no token, so one small pod beside them asks each over HTTP whether it holds a chunk, and writes that down. Without
it nothing is lost; scaling down then interrupts trials that idle workers would have spared.
https://kubernetes.io/docs/concepts/workloads/controllers/replicaset/#pod-deletion-cost

It stays small: the standard library talks to the API, in the words that it needs.
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
# What a worker says of the chunk in hand: seconds since it came, 0 while there is none.
GAUGE = "warren_chunk_seconds"
# The costs: of an idle worker, as of a pod that has none; of one with a chunk; of one that has had it for long, and may
# have a long trial to lose.
IDLE, BUSY, LONG = 0, 100, 200
_LONG_SECONDS = 60.0
# Seconds for a worker's answer, and for the API's.
_WORKER_SECONDS = 2.0
_API_SECONDS = 10.0
# Workers asked at a time, and pods in an answer of the API: both bound the memory.
_AT_ONCE = 16
_PAGE = 100
# Bytes of a worker's page, which has some ten thousand.
_LONGEST_PAGE = 1 << 20
# The longest pause of an API that is away, in periods.
_MOST_PERIODS = 30

_SAMPLE = re.compile(rf"^{GAUGE} (\S+)", re.MULTILINE)


class IdleSettings(LogSettings):
    """What the environment says. Every field: unit, default, and why that default."""

    period_seconds: float = Field(
        default=10.0,
        gt=0,
        alias="WARREN_IDLE_SECONDS",
        description="Seconds between two looks. A study ends, and people scale down some time later.",
    )
    namespace: str = Field(
        default="",
        alias="POD_NAMESPACE",
        description="Where the workers are. Default: where this pod is.",
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
        description="TCP port of a worker's /metrics. The default is that of the image.",
    )
    api_host: str = Field(
        default="",
        alias="KUBERNETES_SERVICE_HOST",
        description="Where the API server is: Kubernetes sets it in every pod.",
    )
    api_port: int = Field(
        default=443,
        alias="KUBERNETES_SERVICE_PORT",
        description="And its port.",
    )
    account: Path = Field(
        default=Path("/var/run/secrets/kubernetes.io/serviceaccount"),
        alias="WARREN_SERVICE_ACCOUNT",
        description="Folder with the token, the authority and the namespace of this pod, as Kubernetes mounts it.",
    )
    alive_file: Path | None = Field(
        default=None,
        alias="WARREN_ALIVE_FILE",
        description="File that is touched with every look, for a probe. Default: none.",
    )


class PodApi:
    """The pods of a namespace, by the API server of the cluster that this pod is in.

    Parameters
    ----------
    settings : IdleSettings

    Raises
    ------
    ClusterError
        This is no pod, or it has no token.
    """

    def __init__(self, settings: IdleSettings) -> None:
        self._settings = settings
        try:
            self._tls = ssl.create_default_context(cafile=str(settings.account / "ca.crt"))
            self._namespace = settings.namespace or (settings.account / "namespace").read_text().strip()
            self._token()
        except OSError as exc:
            raise ClusterError(
                f"no service account in {settings.account} ({exc.strerror or exc}): this runs in a pod with "
                "automountServiceAccountToken: true"
            ) from exc
        if not settings.api_host:
            raise ClusterError("KUBERNETES_SERVICE_HOST is not set: this runs in a pod")
        # Python 3.13 asks for what the certificates of many clusters lack.
        self._tls.verify_flags &= ~ssl.VERIFY_X509_STRICT

    def workers(self) -> Iterator[Mapping[str, Any]]:
        """Yield the workers' pods."""
        more = ""
        while True:
            query = {"labelSelector": self._settings.selector, "limit": _PAGE, **({"continue": more} if more else {})}
            page = self._ask("GET", f"?{urlencode(query)}", "list pods")
            yield from page["items"]
            more = page["metadata"].get("continue", "")
            if not more:
                return

    def set_cost(self, name: str, cost: int) -> None:
        """Write a pod's deletion cost; a pod that is gone needs none."""
        body = json.dumps({"metadata": {"annotations": {COST: str(cost)}}})
        # Of the status, by which annotations are written too, and nothing that makes a pod another one.
        self._ask("PATCH", f"/{quote(name)}/status", "patch pods/status", body, missing_ok=True)

    def _token(self) -> str:
        # Each time: Kubernetes replaces it within the hour.
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
            said = answer.decode(errors="replace")[:200]
            raise ClusterError(f"the API server refuses to {what} ({response.status}): {said}")
        return json.loads(answer)


def chunk_seconds(page: str) -> float | None:
    """Return for how long a worker has had its chunk.

    Parameters
    ----------
    page : str
        Its metrics (Prometheus's text format 0.0.4).

    Returns
    -------
    float or None
        Seconds, 0 for a worker without one; None where the page does not say.
    """
    found = _SAMPLE.search(page)
    try:
        return float(found[1]) if found else None
    except ValueError:
        return None


def cost_of(seconds: float) -> int:
    """Return the deletion cost of a worker that has had its chunk for so many seconds."""
    if seconds <= 0:
        return IDLE
    return LONG if seconds >= _LONG_SECONDS else BUSY


def read_page(address: str, port: int) -> str | None:
    """Return a worker's metrics, or None where it does not answer in time."""
    connection = http.client.HTTPConnection(address, port, timeout=_WORKER_SECONDS)
    try:
        connection.request("GET", "/metrics")
        response = connection.getresponse()
        if response.status != http.HTTPStatus.OK:
            return None
        return response.read(_LONGEST_PAGE).decode(errors="replace")
    except (OSError, http.client.HTTPException) as exc:
        logger.debug("a worker does not answer", extra={"address": address, "reason": str(exc)})
        return None
    finally:
        connection.close()


class IdleFirst:
    """Keeps the deletion costs of workers' pods.

    Parameters
    ----------
    api : PodApi
    port : int
        Of the workers' metrics.
    read : callable, default=read_page
        Returns a worker's page for its address and port.
    """

    def __init__(self, api: PodApi, port: int, read: Callable[[str, int], str | None] = read_page) -> None:
        self._api = api
        self._port = port
        self._read = read
        self._pool = ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="idle-first")

    def turn(self) -> dict[str, int]:
        """Ask every worker once, and write down what has changed.

        Returns
        -------
        dict of str to int
            How many workers are ``idle``, ``busy``, and ``unknown`` (they keep what they have), and how many costs have
            ``changed``.

        Raises
        ------
        ClusterError
            The API refuses.
        OSError, http.client.HTTPException
            It can't be reached.
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
        """Ask again and again, until told to stop; rarer while the API is away.

        Parameters
        ----------
        period_seconds : float
        over : threading.Event
        alive_file : Path, default=None
            Touched before each look, also while the API is away: then too it lives.
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
                logger.warning("workers keep the costs that they have", extra={"reason": reason, "again_in": pause})
                continue
            if failures:
                logger.info("the API is back", extra={"failures": failures})
            failures, pause = 0, period_seconds
            level = logging.INFO if counts["changed"] else logging.DEBUG
            logger.log(level, "asked the workers", extra=counts)
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
    logger.info("keeps idle workers first in line", extra={"period_seconds": settings.period_seconds})
    idle_first.run(settings.period_seconds, over, settings.alive_file)
    logger.info("stopped")
    return 0


if __name__ == "__main__":
    sys.exit(main())
