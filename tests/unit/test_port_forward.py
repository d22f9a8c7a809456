"""Forwarded ports end: no connection stays open, at whatever turn of the loop it comes."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import socket
import warnings
from types import SimpleNamespace
from typing import Any

import pytest

from producer.cluster.port_forward import HOST, Forwarding
from producer.cluster.service_target import Target
from warren.errors import ClusterError

SECONDS = 10.0


async def turns(count: int) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


async def forever(*_: Any) -> None:
    await asyncio.Event().wait()


async def nothing(*_: Any) -> None:
    """Do nothing."""


async def end(count: int, fails: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a client connect, and the forwarding end or fail so many turns of the loop later."""
    forwarding = Forwarding(SimpleNamespace(), {"rabbitmq": 5672, "mongodb": 27017})  # type: ignore[arg-type]
    with socket.socket() as client:

        async def dial(_: Any, service: str, __: float) -> Any:
            if fails and service == "mongodb":
                client.connect((HOST, forwarding.ports["rabbitmq"]))
                await turns(count)
                raise ClusterError("no Service mongodb")
            return SimpleNamespace(close=nothing)

        monkeypatch.setattr(forwarding, "_dial", dial)
        monkeypatch.setattr(forwarding, "_bridge", forever)
        serving = asyncio.create_task(forwarding._serve())
        if not fails:
            await asyncio.to_thread(forwarding._up.wait, SECONDS)
            client.connect((HOST, forwarding.ports["rabbitmq"]))
            await turns(count)
            forwarding._over.set()
        with pytest.raises(ClusterError) if fails else contextlib.nullcontext():
            await serving


@pytest.mark.parametrize("fails", [False, True])
def test_a_connection_that_comes_at_the_end_is_closed(
    fails: bool, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    gc.collect()
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        for count in range(6):  # to accept a connection takes up to four turns
            asyncio.run(end(count, fails, monkeypatch))
        gc.collect()
    assert [str(warning.message) for warning in seen] == []
    assert caplog.records == []


def test_closing_is_silent_while_a_client_still_takes_what_came_for_it(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def leave() -> list[str]:
        aborted: list[str] = []
        transport = SimpleNamespace(abort=lambda: aborted.append("aborted"))
        taking = asyncio.Event()
        writer: Any = SimpleNamespace(close=taking.set, wait_closed=forever, transport=transport)
        forwarding = Forwarding(SimpleNamespace(), {})  # type: ignore[arg-type]
        monkeypatch.setattr(forwarding, "_bridge", nothing)  # the pod has ended the connection
        forwarding._accept(SimpleNamespace(), "rabbitmq", None, writer)  # type: ignore[arg-type]
        await taking.wait()
        await forwarding._end_connections()
        return aborted

    assert asyncio.run(leave()) == ["aborted"]
    assert caplog.records == []


@pytest.mark.parametrize("count", range(5))
def test_a_dial_that_succeeds_while_it_is_cancelled_ends(count: int) -> None:
    async def dial() -> bool:
        connecting, connected = asyncio.Event(), asyncio.Event()

        async def connect(*_: Any, **__: Any) -> Any:
            connecting.set()
            await connected.wait()
            return SimpleNamespace(receive=forever, close=nothing)

        api = SimpleNamespace(authorization=dict, tls=lambda: None, forward_url=str.format, proxy=None, tls_name=None)
        opening = Forwarding(api, {})._open(SimpleNamespace(ws_connect=connect), Target("rabbitmq-0", 5672))  # type: ignore[arg-type]
        task = asyncio.create_task(opening)
        await connecting.wait()
        connected.set()
        await turns(count)
        task.cancel()
        # Less than the time that a handshake may take.
        await asyncio.wait({task}, timeout=3)
        return task.cancelled()

    assert asyncio.run(dial())
