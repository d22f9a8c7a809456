"""A Kubernetes API server as far as Warren asks it, over HTTP on this machine: objects,
permissions, logs and forwards.

What it answers is what kube-apiserver answers: Status objects with its words,
`404 page not found` for groups that it does not have, and websockets that speak
``v4.channel.k8s.io`` for forwarded ports.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import copy
import json
import ssl
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Self

from aiohttp import WSMsgType, web

NAMESPACE = "tuning"
TOKEN = "token-of-alice"
Json = dict[str, Any]

_GROUPS = {"apps": "v1", "autoscaling": "v2", "keda.sh": "v1alpha1"}
_PROTOCOL = "v4.channel.k8s.io"


def now(seconds_ago: float = 0) -> str:
    moment = datetime.now(UTC) - timedelta(seconds=seconds_ago)
    return moment.isoformat(timespec="seconds").replace("+00:00", "Z")


def status(code: int, reason: str, message: str) -> web.Response:
    body = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure"}
    return web.json_response({**body, "message": message, "reason": reason, "code": code}, status=code)


class FakeCluster:
    """An API server on a thread; a context manager.

    Parameters
    ----------
    context : ssl.SSLContext, default=None
        Serve TLS.
    """

    def __init__(self, context: ssl.SSLContext | None = None) -> None:
        self.objects: dict[tuple[str, str, str], Json] = {}
        self.users = {f"Bearer {TOKEN}": "alice"}
        self.forbidden: set[tuple[str, str]] = set()
        self.keda = True
        self.requests: list[tuple[str, str]] = []
        self.logs: dict[str, list[str]] = {}
        self.follows: dict[str, asyncio.Queue[str | None]] = {}
        # Where a forwarded port of a pod really leads: (pod, port) -> (host, port).
        self.forwards: dict[tuple[str, int], tuple[str, int]] = {}
        self.dialled: list[str] = []
        self.on_scale: Callable[[int], None] | None = None
        self.failing = 0
        self._sockets: set[web.WebSocketResponse] = set()
        self._transports: set[asyncio.Transport] = set()
        self._tls = context
        self._ready = threading.Event()
        self._over = asyncio.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.port = 0
        self.put("namespaces", {"metadata": {"name": NAMESPACE}}, namespace="")

    @property
    def url(self) -> str:
        return f"http{'s' if self._tls else ''}://127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._ready.wait(10)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._over.set)
        self._thread.join(10)

    # ------------------------------------------------------------- what a test says

    def put(self, plural: str, thing: Json, namespace: str = NAMESPACE) -> Json:
        thing = copy.deepcopy(thing)
        thing.setdefault("metadata", {}).setdefault("creationTimestamp", now())
        if namespace:
            thing["metadata"].setdefault("namespace", namespace)
        self.objects[plural, namespace, thing["metadata"]["name"]] = thing
        return thing

    def get(self, plural: str, name: str, namespace: str = NAMESPACE) -> Json:
        return self.objects[plural, namespace, name]

    def remove(self, plural: str, name: str, namespace: str = NAMESPACE) -> None:
        del self.objects[plural, namespace, name]

    def names(self, plural: str, namespace: str = NAMESPACE) -> list[str]:
        return sorted(name for kind, where, name in self.objects if (kind, where) == (plural, namespace))

    def deploy(self, replicas: int = 2) -> None:
        """Put what Warren's manifests make: the Deployment and its pods, and the two servers."""
        labels = {"app.kubernetes.io/name": "worker"}
        self.put("nodes", {"metadata": {"name": "spot-1", "labels": {"cloud.google.com/gke-spot": "true"}}}, "")
        self.put("nodes", {"metadata": {"name": "standard-1", "labels": {}}}, "")
        spec = {"replicas": replicas, "selector": {"matchLabels": labels}}
        self.put("deployments", {"metadata": {"name": "worker"}, "spec": spec, "status": {}})
        for number in range(replicas):
            self.put("pods", pod(f"worker-6d9f7c5b4-{number:05x}"))
        for name, port, user in (("rabbitmq", 5672, "warren"), ("mongodb", 27017, "warren")):
            self.put("pods", pod(f"{name}-0", name, node="standard-1", ports=[{"name": name, "containerPort": port}]))
            ports = [{"name": name, "port": port, "targetPort": name}]
            self.put("services", {"metadata": {"name": name}, "spec": {"selector": own(name), "ports": ports}})
            secret = {"username": user, "password": "0123abcd"}
            data = {key: base64.b64encode(value.encode()).decode() for key, value in secret.items()}
            self.put("secrets", {"metadata": {"name": name}, "data": data})

    def kubeconfig(self, path: Path, *contexts: str, current: str | None = "here", token: str = TOKEN) -> Path:
        cluster: Json = {"server": self.url}
        names = contexts or ("here", "there")
        document: Json = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "fake", "cluster": cluster}],
            "users": [{"name": "alice", "user": {"token": token}}],
            "contexts": [{"name": name, "context": {"cluster": "fake", "user": "alice"}} for name in names],
        }
        if current:
            document["current-context"] = current
        path.write_text(json.dumps(document))  # JSON is YAML
        return path

    def drop_forwards(self) -> int:
        """End every websocket as a network does: without a word."""

        async def drop() -> int:
            sockets = list(self._sockets)
            for socket in sockets:
                transport = socket._req.transport if socket._req else None  # type: ignore[union-attr]
                if transport is not None:
                    transport.abort()
            return len(sockets)

        return asyncio.run_coroutine_threadsafe(drop(), self._loop).result(10)

    def say(self, pod_name: str, line: str | None) -> None:
        """Add a line to a log that is followed; None ends it."""
        self._loop.call_soon_threadsafe(self.follows[pod_name].put_nowait, line)

    # --------------------------------------------------------------------- the server

    def _run(self) -> None:
        asyncio.run(self._serve())

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._answer)
        runner = web.AppRunner(app, shutdown_timeout=1.0, access_log=None)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=self._tls)
        await site.start()
        self.port = site._server.sockets[0].getsockname()[1]  # type: ignore[union-attr]
        self._ready.set()
        await self._over.wait()
        # TLS would wait for the other side to agree.
        for transport in self._transports:
            with contextlib.suppress(AttributeError):  # early releases of Python 3.11 can't abort what has ended
                transport.abort()
        await runner.cleanup()
        await asyncio.sleep(0.01)  # the loop's turns in which they end

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        self.requests.append((request.method, request.path))
        assert request.transport is not None
        self._transports.add(request.transport)
        user = self.users.get(request.headers.get("Authorization", ""))
        if user is None:
            return status(401, "Unauthorized", "Unauthorized")
        if self.failing:
            self.failing -= 1
            return status(503, "ServiceUnavailable", "etcdserver: leader changed")
        parts = request.path.strip("/").split("/")
        group = ""
        if parts[0] == "apis":
            group, version, parts = parts[1], parts[2], parts[3:]
            if _GROUPS.get(group) != version or (group == "keda.sh" and not self.keda):
                return web.Response(text="404 page not found\n", status=404)
        else:
            parts = parts[2:]
        namespace = ""
        if parts[0] == "namespaces" and len(parts) > 2:
            namespace, parts = parts[1], parts[2:]
        plural, name, sub = [*parts, "", ""][:3]
        refused = self._authorise(request, user, group, plural, name, sub, namespace)
        if refused is not None:
            return refused
        if (plural, sub) == ("pods", "portforward"):
            return await self._portforward(request, namespace, name)
        if (plural, sub) == ("pods", "log"):
            return await self._log(request, namespace, name)
        return await self._object(request, group, namespace, plural, name, sub)

    def _authorise(
        self, request: web.Request, user: str, group: str, plural: str, name: str, sub: str, namespace: str
    ) -> web.Response | None:
        verbs = {"GET": "get" if name else "list", "POST": "create", "PATCH": "patch", "DELETE": "delete"}
        needed = [verbs[request.method]]
        resource = f"{plural}/{sub}" if sub else plural
        if resource == "pods/portforward" and "Upgrade" in request.headers:
            needed.append("create")  # since Kubernetes 1.35
        for verb in needed:
            if (verb, resource) in self.forbidden:
                what = f"{plural}.{group}" if group else plural
                named = f'{what} "{name}"' if name else what
                where = f' in the namespace "{namespace}"' if namespace else " at the cluster scope"
                said = f'User "{user}" cannot {verb} resource "{resource}" in API group "{group}"{where}'
                return status(403, "Forbidden", f"{named} is forbidden: {said}")
        return None

    async def _object(
        self, request: web.Request, group: str, namespace: str, plural: str, name: str, sub: str
    ) -> web.Response:
        key = (plural, namespace, name)
        what = f"{plural}.{group}" if group else plural
        if request.method == "POST":
            body = await request.json()
            assert body["kind"]
            if (plural, namespace, body["metadata"]["name"]) in self.objects:
                return status(409, "AlreadyExists", f'{what} "{body["metadata"]["name"]}" already exists')
            return web.json_response(self.put(plural, body, namespace), status=201)
        if not name:
            return web.json_response(
                {"kind": "List", "metadata": {}, "items": self._chosen(request, plural, namespace)}
            )
        if key not in self.objects:
            return status(404, "NotFound", f'{what} "{name}" not found')
        if request.method == "DELETE":
            return web.json_response(self.objects.pop(key))
        if request.method == "PATCH":
            if "merge-patch+json" not in request.content_type:
                return status(415, "UnsupportedMediaType", f"the body of the request was in {request.content_type}")
            patch = await request.json()
            merge(self.objects[key], patch)
            if sub == "scale" and self.on_scale is not None:
                self.on_scale(patch["spec"]["replicas"])
        return web.json_response(self.objects[key])

    def _chosen(self, request: web.Request, plural: str, namespace: str) -> list[Json]:
        found = [thing for (kind, where, _), thing in self.objects.items() if (kind, where) == (plural, namespace)]
        selector = [part.split("=") for part in request.query.get("labelSelector", "").split(",") if part]
        for label, value in selector:
            found = [one for one in found if (one["metadata"].get("labels") or {}).get(label) == value]
        fields = [part.split("=") for part in request.query.get("fieldSelector", "").split(",") if part]
        for field, value in fields:
            outer, inner = field.split(".")
            found = [one for one in found if one.get(outer, {}).get(inner) == value]
        return found

    async def _log(self, request: web.Request, namespace: str, name: str) -> web.StreamResponse:
        if ("pods", namespace, name) not in self.objects:
            return status(404, "NotFound", f'pods "{name}" not found')
        if name not in self.logs:
            waiting = f'container "worker" in pod "{name}" is waiting to start: trying and failing to pull image'
            return status(400, "BadRequest", waiting)
        lines = self.logs[name][-int(request.query["tailLines"]) :]
        if request.query.get("follow") != "true":
            return web.Response(text="".join(f"{line}\n" for line in lines))
        more = self.follows.setdefault(name, asyncio.Queue())
        response = web.StreamResponse()
        await response.prepare(request)
        for line in lines:
            await response.write(f"{line}\n".encode())
        while (said := await more.get()) is not None:
            # In two pieces: lines do not come one by one.
            whole = f"{said}\n".encode()
            await response.write(whole[:3])
            await response.write(whole[3:])
        return response

    async def _portforward(self, request: web.Request, namespace: str, name: str) -> web.StreamResponse:
        if ("pods", namespace, name) not in self.objects:
            return status(404, "NotFound", f'pods "{name}" not found')
        port = int(request.query["ports"])
        if "Upgrade" not in request.headers or request.method != "GET":
            return status(400, "BadRequest", "Upgrade request required")
        socket = web.WebSocketResponse(protocols=(_PROTOCOL,), max_msg_size=0, autoping=True)
        await socket.prepare(request)
        assert socket.ws_protocol == _PROTOCOL
        self._sockets.add(socket)
        self.dialled.append(name)
        try:
            for channel in (0, 1):
                await socket.send_bytes(bytes([channel]) + port.to_bytes(2, "little"))
            await self._bridge(socket, name, port)
        finally:
            self._sockets.discard(socket)
        return socket

    async def _bridge(self, socket: web.WebSocketResponse, name: str, port: int) -> None:
        try:
            reader, writer = await asyncio.open_connection(*self.forwards[name, port])
        except (KeyError, OSError):
            said = f"error forwarding port {port} to pod {name}, uid : failed to connect to localhost:{port} inside it"
            await socket.send_bytes(b"\x01" + said.encode())
            await socket.close()
            return

        async def to_server() -> None:
            async for message in socket:
                assert message.type is WSMsgType.BINARY
                assert message.data[0] == 0
                writer.write(message.data[1:])
                await writer.drain()

        async def to_client() -> None:
            while data := await reader.read(65536):
                await socket.send_bytes(b"\x00" + data)

        ways = [asyncio.ensure_future(way()) for way in (to_server, to_client)]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            writer.close()
            await asyncio.gather(*ways, return_exceptions=True)
            with contextlib.suppress(OSError):
                await writer.wait_closed()
            await socket.close()


def merge(thing: Json, patch: Json) -> None:
    """Apply a JSON merge patch (RFC 7386)."""
    for key, value in patch.items():
        if value is None:
            thing.pop(key, None)
        elif isinstance(value, dict) and isinstance(thing.get(key), dict):
            merge(thing[key], value)
        else:
            thing[key] = copy.deepcopy(value)


def own(name: str) -> dict[str, str]:
    return {"app.kubernetes.io/name": name}


def pod(
    name: str, app: str = "worker", *, node: str | None = "spot-1", ports: list[Json] | None = None, **state: Any
) -> Json:
    """A pod that is ready, unless `state` (fields of its status) says otherwise."""
    ready = {"conditions": [{"type": "Ready", "status": "True"}], "phase": "Running"}
    container = {"name": app, "restartCount": 0, "state": {"running": {}}, "image": "warren-worker:0.1.0"}
    spec: Json = {"containers": [{"name": app, "ports": ports or []}]}
    if node is not None:
        spec["nodeName"] = node
    return {
        "metadata": {"name": name, "labels": {**own(app), "pod-template-hash": "6d9f7c5b4"}},
        "spec": spec,
        "status": {**ready, "containerStatuses": [container], **state},
    }


def waiting(name: str, reason: str, message: str) -> Json:
    """A worker's pod whose container waits."""
    state = {"waiting": {"reason": reason, "message": message}}
    statuses = [{"name": "worker", "restartCount": 0, "state": state, "image": "warren-worker:9.9"}]
    conditions = [{"type": "Ready", "status": "False"}]
    return pod(name, phase="Pending", conditions=conditions, containerStatuses=statuses)


def unschedulable(name: str, seconds: float) -> Json:
    """A worker's pod that has found no node for so long."""
    message = "0/2 nodes are available: 2 Insufficient cpu. preemption: 0/2 nodes are available."
    failed = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": message}
    conditions = [failed | {"lastTransitionTime": now(seconds)}]
    return pod(name, node=None, phase="Pending", conditions=conditions, containerStatuses=[])


def event(pod_name: str, reason: str) -> Json:
    about = {"kind": "Pod", "name": pod_name, "namespace": NAMESPACE}
    return {"metadata": {"name": f"{pod_name}.{reason}"}, "involvedObject": about, "reason": reason, "message": ""}
