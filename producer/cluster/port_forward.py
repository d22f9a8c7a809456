"""Forwards local ports to the cluster through its API server, as ``kubectl port-forward`` does.

Every TCP connection gets its own websocket to a pod that is ready. If a pod is replaced, only its
connections end, and new connections go to the new pod. Neither side is read faster than the other
side accepts data.

The protocol is Kubernetes' own, ``v4.channel.k8s.io``: the first byte of a message is its channel,
0 for data and 1 for an error's text; the first message on each channel is the port number, two
bytes, little-endian.
https://github.com/kubernetes/kubernetes/blob/master/staging/src/k8s.io/kubelet/pkg/cri/streaming/portforward/websocket.go
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
import threading
import time
from collections.abc import Mapping
from http import HTTPStatus

import aiohttp

from producer.cluster.api import Api
from producer.cluster.api_errors import RefusedError
from producer.cluster.service_target import Target, find_target
from warren.errors import ClusterError

logger = logging.getLogger(__name__)

HOST = "127.0.0.1"
_PROTOCOL = "v4.channel.k8s.io"
_DATA, _ERROR = 0, 1
_PIECE = 32 * 1024
# Seconds that a new connection waits for a pod: less than `WARREN_CONNECT_SECONDS`, when clients
# give up.
_PATIENCE_SECONDS = 8.0
# Seconds between two attempts: the first pause and the longest.
_FIRST_PAUSE, _LONGEST_PAUSE = 0.1, 2.0
# Seconds for one handshake.
_DIAL_SECONDS = 6.0
# Seconds for the other side to answer the close of a websocket.
_GOODBYE_SECONDS = 1.0
# Seconds between pings: load balancers drop connections that are silent for minutes. No answer is
# required: a broker without memory stops reading, but its connection is alive.
_PING_SECONDS = 20.0
# Seconds for the last turns of the loop, in which connections end, TLS ones too.
_LAST_TURNS_SECONDS = 0.25
# Seconds for the thread to end.
_JOIN_SECONDS = 5.0


class Forwarding:
    """Forwards free ports of this machine to Services, on its own thread.

    Parameters
    ----------
    api : Api
    services : mapping of str to int
        Port of each Service, by the Service's name.

    Attributes
    ----------
    ports : dict of str to int
        Local port of each Service, by name.
    """

    def __init__(self, api: Api, services: Mapping[str, int]) -> None:
        self._api = api
        self._services = dict(services)
        self.ports: dict[str, int] = {}
        self._targets: dict[str, Target] = {}
        self._connections: set[asyncio.Task[None]] = set()
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._over = asyncio.Event()
        self._up = threading.Event()
        self._error: BaseException | None = None

    def start(self) -> None:
        """Connect to each Service once, and start to listen.

        Raises
        ------
        ClusterError
            A Service or a ready pod is missing, or this account may not forward ports.
        """
        self._thread = threading.Thread(target=self._run, name="warren-forwarding", daemon=True)
        self._thread.start()
        try:
            self._up.wait()
        except BaseException:  # Ctrl-C
            self.close()
            raise
        if self._error is not None:
            self._thread.join(_JOIN_SECONDS)
            raise self._error

    def close(self) -> None:
        """Close all connections and stop listening. Does nothing if it is closed."""
        if self._loop is not None:
            with contextlib.suppress(RuntimeError):  # the loop is closed already
                self._loop.call_soon_threadsafe(self._over.set)
        if self._thread is not None:
            self._thread.join(_JOIN_SECONDS)

    # ---------------------------------------------------- the methods below run on the thread

    def _run(self) -> None:
        try:
            asyncio.run(self._serve())
        except BaseException as exc:
            if self._up.is_set():
                logger.exception("forwarding ended")
            self._error = exc
        finally:
            self._up.set()

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        jar, timeout = aiohttp.DummyCookieJar(), aiohttp.ClientTimeout(total=None, sock_connect=_DIAL_SECONDS)
        async with contextlib.AsyncExitStack() as undo:
            # Connections end in the loop's next turns, also after an error:
            # https://docs.aiohttp.org/en/stable/client_advanced.html#graceful-shutdown
            undo.push_async_callback(asyncio.sleep, _LAST_TURNS_SECONDS)
            session = await undo.enter_async_context(
                aiohttp.ClientSession(cookie_jar=jar, timeout=timeout, trust_env=False)
            )
            undo.push_async_callback(self._end_connections)
            for service in self._services:
                await (await self._dial(session, service, 0)).close()
                server = await asyncio.start_server(functools.partial(self._accept, session, service), HOST, 0)
                undo.push_async_callback(_stop_listening, server)
                self.ports[service] = server.sockets[0].getsockname()[1]
            self._up.set()
            await self._over.wait()

    async def _end_connections(self) -> None:
        self._over.set()  # also after an error: `_accept` aborts what it gets from now on
        for task in self._connections:
            task.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    def _accept(
        self, session: aiohttp.ClientSession, service: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        """Forward a connection in a task of its own.

        Not a coroutine: a task that is cancelled before its first step runs none of its code, so it
        can't close the connection. Its callbacks run always.
        """
        if self._over.is_set():
            writer.transport.abort()
            return
        task = asyncio.create_task(self._forward(session, service, reader, writer))
        self._connections.add(task)
        task.add_done_callback(self._connections.discard)
        task.add_done_callback(lambda _: writer.transport.abort())

    async def _forward(
        self, session: aiohttp.ClientSession, service: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        try:
            await self._bridge(session, service, reader, writer)
        except (aiohttp.ClientError, ClusterError, OSError, TimeoutError) as exc:
            logger.warning(
                "a forwarded connection ended; its client has to reconnect",
                extra={"service": service, "reason": str(exc) or type(exc).__name__},
            )
        writer.close()  # after the client has read the remaining data
        with contextlib.suppress(OSError):
            await writer.wait_closed()

    async def _bridge(
        self,
        session: aiohttp.ClientSession,
        service: str,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        socket = await self._dial(session, service, _PATIENCE_SECONDS)
        directions = [
            asyncio.create_task(direction)
            for direction in (_to_pod(reader, socket), self._from_pod(service, socket, writer), _keep_alive(socket))
        ]
        try:
            done, _ = await asyncio.wait(directions, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for direction in directions:
                direction.cancel()
            await asyncio.gather(*directions, return_exceptions=True)
            await socket.close()
        for direction in done:
            direction.result()

    async def _from_pod(
        self, service: str, socket: aiohttp.ClientWebSocketResponse, writer: asyncio.StreamWriter
    ) -> None:
        async for message in socket:
            if message.type is not aiohttp.WSMsgType.BINARY or not message.data:
                continue
            channel, data = message.data[0], message.data[1:]
            if channel == _DATA:
                writer.write(data)
                await writer.drain()
            elif channel == _ERROR and data:
                self._targets.pop(service, None)
                raise ClusterError(" ".join(data.decode(errors="replace").split()))
        if (error := socket.exception()) is not None:
            raise ClusterError(f"the connection to the API server broke: {error}")

    async def _dial(
        self, session: aiohttp.ClientSession, service: str, patience: float
    ) -> aiohttp.ClientWebSocketResponse:
        """Open a websocket to a pod of a Service; retry for `patience` seconds."""
        deadline, pause = time.monotonic() + patience, _FIRST_PAUSE
        while True:
            try:
                target = self._targets.get(service)
                if target is None:
                    target = await asyncio.to_thread(find_target, self._api, service, self._services[service])
                socket = await self._open(session, target)
            except (aiohttp.ClientError, ClusterError, OSError, TimeoutError) as exc:
                self._targets.pop(service, None)
                not_allowed = isinstance(exc, RefusedError) and exc.status in {
                    HTTPStatus.UNAUTHORIZED,
                    HTTPStatus.FORBIDDEN,
                }
                if not_allowed or time.monotonic() + pause > deadline:
                    if isinstance(exc, ClusterError):
                        raise
                    why = str(exc) or type(exc).__name__
                    raise ClusterError(f"can't forward a port to Service {service}: {why}") from exc
                await asyncio.sleep(pause)
                pause = min(2 * pause, _LONGEST_PAUSE)
            else:
                self._targets[service] = target
                return socket

    async def _open(self, session: aiohttp.ClientSession, target: Target) -> aiohttp.ClientWebSocketResponse:
        headers = await asyncio.to_thread(self._api.authorization)
        tls = await asyncio.to_thread(self._api.tls)
        connecting = session.ws_connect(
            self._api.forward_url(target.pod, target.port),
            protocols=(_PROTOCOL,),
            timeout=aiohttp.ClientWSTimeout(ws_close=_GOODBYE_SECONDS),
            headers=headers,
            ssl=True if tls is None else tls,
            proxy=self._api.proxy,
            server_hostname=self._api.tls_name,
        )
        try:
            # Not `wait_for`: in Python 3.11 it can lose a cancellation.
            async with asyncio.timeout(_DIAL_SECONDS):
                socket = await connecting
        except aiohttp.WSServerHandshakeError as exc:
            # The error lacks the response's text, which names the missing permission: request it
            # again without websocket.
            await asyncio.to_thread(self._api.why_no_forward, target.pod, target.port)
            raise ClusterError(f"the API server refused to forward a port to pod {target.pod} ({exc.status})") from exc
        try:
            for channel in (_DATA, _ERROR):
                async with asyncio.timeout(_DIAL_SECONDS):
                    first = await socket.receive()
                if first.type is not aiohttp.WSMsgType.BINARY or first.data != _greeting(channel, target.port):
                    raise ClusterError(
                        f"pod {target.pod}: the port was not forwarded; got {first.type.name}: {first.data!r}"
                    )
        except BaseException:
            await socket.close()
            raise
        return socket


async def _stop_listening(server: asyncio.Server) -> None:
    """Close a server after what it has accepted has its transport.

    `Server.close` alone loses a connection that it has just accepted, and no one closes it:
    https://github.com/python/cpython/issues/109564
    """
    with contextlib.suppress(NotImplementedError):  # the loop of Windows makes transports at once
        for listener in server.sockets:
            asyncio.get_running_loop().remove_reader(listener.fileno())
        await asyncio.sleep(0)
    server.close()


def _greeting(channel: int, port: int) -> bytes:
    return bytes([channel]) + port.to_bytes(2, "little")


async def _to_pod(reader: asyncio.StreamReader, socket: aiohttp.ClientWebSocketResponse) -> None:
    while data := await reader.read(_PIECE):
        await socket.send_bytes(bytes([_DATA]) + data)


async def _keep_alive(socket: aiohttp.ClientWebSocketResponse) -> None:
    while True:
        await asyncio.sleep(_PING_SECONDS)
        await socket.ping()
