"""The requests that Warren sends to Kubernetes' API.

Responses are plain dictionaries, as the API sent them: the client's own classes refuse fields of
newer clusters, and do not know KEDA's objects.
"""

from __future__ import annotations

import json
import ssl
from collections.abc import Callable, Iterator, Mapping
from functools import cached_property, partial
from http import HTTPStatus
from typing import Any, TypeAlias
from urllib.parse import quote, urlsplit
from urllib.request import proxy_bypass_environment  # type: ignore[attr-defined]  # missing in its type stubs

from kubernetes import client, config
from kubernetes.client.exceptions import ApiException
from urllib3.exceptions import HTTPError

from producer.cluster.api_errors import RefusedError, Request, message_of, refused
from producer.cluster.kubeconfig import contexts, load
from producer.formatting import listing, show_reason
from warren.errors import ClusterError

Json: TypeAlias = dict[str, Any]

# Seconds to connect, and until a response: short, because a person waits for it.
_TIMEOUT = (10.0, 30.0)
# Seconds to connect, and between lines of a followed log: a worker logs nothing during a long fit.
_FOLLOW_TIMEOUT = (10.0, 24 * 3600.0)
_PIECE = 16 * 1024

KEDA = ("keda.sh", "v1alpha1")


class Api:
    """Kubernetes' API for one namespace of one cluster.

    Parameters
    ----------
    context : str or None
        A context of the kubeconfig. None is the current context, or in a pod without a kubeconfig
        the pod's own account.
    namespace : str

    Raises
    ------
    ClusterError
        There is no kubeconfig, or it can't be used.
    """

    def __init__(self, context: str | None, namespace: str) -> None:
        self.namespace = namespace
        self._configuration, self.context = load(context)
        # No retries: the user sees the error and decides whether to try again.
        self._configuration.retries = False
        # Any, because their types differ between releases.
        self._client: Any = client.ApiClient(self._configuration)
        self._core: Any = client.CoreV1Api(self._client)

    # The other clients are created at first use: importing each takes a fraction of a second.

    @cached_property
    def _apps(self) -> Any:
        return client.AppsV1Api(self._client)

    @cached_property
    def _scaling(self) -> Any:
        return client.AutoscalingV2Api(self._client)

    @cached_property
    def _custom(self) -> Any:
        return client.CustomObjectsApi(self._client)

    @property
    def where(self) -> str:
        """The cluster, for messages."""
        return f"cluster {self.context!r}" if self.context else "this cluster"

    @property
    def server(self) -> str:
        """Address of the API server."""
        return str(self._configuration.host)

    def close(self) -> None:
        """Close the connections to the API."""
        self._client.close()

    # ------------------------------------------------------------------------- objects

    def namespace_object(self) -> Json:
        """Read the namespace."""
        return self._ask("get", "namespaces", self._core.read_namespace, self.namespace, name=self.namespace, wide=True)

    def namespaces(self) -> list[str]:
        """List the names of all namespaces."""
        return _names(self._ask("list", "namespaces", self._core.list_namespace, wide=True))

    def deployment(self, name: str) -> Json:
        """Read a Deployment."""
        read = self._apps.read_namespaced_deployment
        return self._ask("get", "deployments", read, name, self.namespace, name=name, group="apps")

    def deployments(self) -> list[str]:
        """List the names of the Deployments."""
        return _names(
            self._ask("list", "deployments", self._apps.list_namespaced_deployment, self.namespace, group="apps")
        )

    def scale(self, name: str, replicas: int) -> Json:
        """Set the number of pods of a Deployment."""
        return self._ask(
            "patch",
            "deployments/scale",
            self._apps.patch_namespaced_deployment_scale,
            name,
            self.namespace,
            {"spec": {"replicas": replicas}},
            _content_type="application/merge-patch+json",
            name=name,
            group="apps",
        )

    def pods(self, labels: str = "") -> list[Json]:
        """List the pods that match a label selector; empty matches all."""
        how: Json = {"label_selector": labels} if labels else {}
        found = self._ask("list", "pods", self._core.list_namespaced_pod, self.namespace, **how)
        return list(found["items"])

    def service(self, name: str) -> Json:
        """Read a Service."""
        return self._ask("get", "services", self._core.read_namespaced_service, name, self.namespace, name=name)

    def services(self) -> list[str]:
        """List the names of the Services."""
        return _names(self._ask("list", "services", self._core.list_namespaced_service, self.namespace))

    def secret(self, name: str) -> Json:
        """Read a Secret."""
        return self._ask("get", "secrets", self._core.read_namespaced_secret, name, self.namespace, name=name)

    def pod_events(self) -> list[Json]:
        """List the events of pods; by default, a cluster keeps them for an hour."""
        list_events = self._core.list_namespaced_event
        found = self._ask("list", "events", list_events, self.namespace, field_selector="involvedObject.kind=Pod")
        return list(found["items"])

    def nodes(self) -> list[Json]:
        """List the nodes."""
        return list(self._ask("list", "nodes", self._core.list_node, wide=True)["items"])

    # --------------------------------------------------------------------- autoscalers

    def autoscalers(self) -> list[Json]:
        """List the HorizontalPodAutoscalers."""
        resource, group = "horizontalpodautoscalers", "autoscaling"
        list_them = self._scaling.list_namespaced_horizontal_pod_autoscaler
        return list(self._ask("list", resource, list_them, self.namespace, group=group)["items"])

    def put_autoscaler(self, body: Json, *, there: bool) -> Json:
        """Create a HorizontalPodAutoscaler, or change it if it is `there` already."""
        resource, group, name = "horizontalpodautoscalers", "autoscaling", body["metadata"]["name"]
        if there:
            patch = self._scaling.patch_namespaced_horizontal_pod_autoscaler
            how = {"_content_type": "application/merge-patch+json", "name": name, "group": group}
            return self._ask("patch", resource, patch, name, self.namespace, body, **how)
        create = self._scaling.create_namespaced_horizontal_pod_autoscaler
        return self._ask("create", resource, create, self.namespace, body, name=name, group=group)

    def delete_autoscaler(self, name: str) -> None:
        """Delete a HorizontalPodAutoscaler."""
        delete = self._scaling.delete_namespaced_horizontal_pod_autoscaler
        resource, group = "horizontalpodautoscalers", "autoscaling"
        self._ask("delete", resource, delete, name, self.namespace, name=name, group=group)

    def keda(self, plural: str) -> list[Json]:
        """List KEDA's objects of a kind; raise `RefusedError` with status 404 without KEDA."""
        list_them = self._custom.list_namespaced_custom_object
        found = self._ask("list", plural, list_them, *KEDA, self.namespace, plural, group=KEDA[0])
        return list(found["items"])

    def put_keda(self, plural: str, body: Json, *, there: bool) -> Json:
        """Create one of KEDA's objects, or change it if it is `there` already."""
        name, group = body["metadata"]["name"], KEDA[0]
        if there:
            patch = self._custom.patch_namespaced_custom_object
            how = {"_content_type": "application/merge-patch+json", "name": name, "group": group}
            return self._ask("patch", plural, patch, *KEDA, self.namespace, plural, name, body, **how)
        create = self._custom.create_namespaced_custom_object
        return self._ask("create", plural, create, *KEDA, self.namespace, plural, body, name=name, group=group)

    def delete_keda(self, plural: str, name: str) -> None:
        """Delete one of KEDA's objects."""
        delete = self._custom.delete_namespaced_custom_object
        self._ask("delete", plural, delete, *KEDA, self.namespace, plural, name, name=name, group=KEDA[0])

    # -------------------------------------------------------- logs and port forwarding

    def log(self, pod: str, container: str, lines: int) -> str:
        """Return the last lines of a container's log."""
        read = self._core.read_namespaced_pod_log
        how = {"container": container, "tail_lines": lines, "_request_timeout": _TIMEOUT, "_preload_content": False}
        request = self._request("get", "pods/log", name=pod)
        return bytes(self._send(request, lambda: read(pod, self.namespace, **how)).data).decode(errors="replace")

    def follow_log(self, pod: str, container: str, lines: int) -> Iterator[str]:
        """Yield the lines of a container's log as they are written, until the container ends."""
        read = self._core.read_namespaced_pod_log
        how = {"container": container, "tail_lines": lines, "follow": True, "_request_timeout": _FOLLOW_TIMEOUT}
        request = self._request("get", "pods/log", name=pod)
        response = self._send(request, lambda: read(pod, self.namespace, _preload_content=False, **how))

        def read_lines() -> Iterator[str]:
            rest = b""
            try:
                while piece := self._send(request, lambda: response.read1(_PIECE)):
                    *whole, rest = (rest + piece).split(b"\n")
                    for line in whole:
                        yield line.decode(errors="replace")
            finally:
                response.close()
            if rest:
                yield rest.decode(errors="replace")

        return read_lines()

    def why_no_forward(self, pod: str, port: int) -> None:
        """Request a forward without a websocket, whose failed handshake would give no reason.

        Raises
        ------
        RefusedError
            With the API's message, such as a missing permission. A 400 is ignored: a server that
            allows the forward answers so to a request without a websocket.
        """
        for verb, connect in (
            ("create", self._core.connect_post_namespaced_pod_portforward),
            ("get", self._core.connect_get_namespaced_pod_portforward),
        ):
            request = self._request(verb, "pods/portforward", name=pod)
            how = {"ports": str(port), "_request_timeout": _TIMEOUT, "_preload_content": False}
            try:
                self._send(request, partial(connect, pod, self.namespace, **how))
            except ClusterError as exc:
                if not (isinstance(exc, RefusedError) and exc.status == HTTPStatus.BAD_REQUEST):
                    raise

    def forward_url(self, pod: str, port: int) -> str:
        """Return the address of the websocket that forwards to a port of a pod."""
        path = f"/api/v1/namespaces/{quote(self.namespace)}/pods/{quote(pod)}/portforward?ports={port}"
        return self.server.replace("http", "ws", 1) + path

    def authorization(self) -> dict[str, str]:
        """Return the authorization header; may run the kubeconfig's program to renew the token."""
        found = self._configuration.auth_settings().get("BearerToken")
        return {"Authorization": str(found["value"])} if found and found["value"] else {}

    def tls(self) -> ssl.SSLContext | None:
        """Return the TLS context for the API server; None without TLS."""
        if not self.server.startswith("https"):
            return None
        settings = self._configuration
        context = ssl.create_default_context(cafile=settings.ssl_ca_cert or None)
        # Python 3.13 demands extensions that many clusters' certificates lack; kubectl does not.
        context.verify_flags &= ~ssl.VERIFY_X509_STRICT
        if not settings.verify_ssl:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        elif settings.assert_hostname is False:
            context.check_hostname = False
        if settings.cert_file:
            context.load_cert_chain(settings.cert_file, settings.key_file)
        return context

    @property
    def tls_name(self) -> str | None:
        """The name in the server's certificate if it differs from its address, else None."""
        return getattr(self._configuration, "tls_server_name", None) or None

    @property
    def proxy(self) -> str | None:
        """The HTTP proxy to the API server, or None."""
        proxy, spared = self._configuration.proxy, self._configuration.no_proxy
        if not proxy or (spared and proxy_bypass_environment(urlsplit(self.server).netloc, {"no": spared})):
            return None
        return str(proxy)

    # ------------------------------------------------------------------------ requests

    def _request(self, verb: str, resource: str, *, name: str = "", group: str = "", wide: bool = False) -> Request:
        namespace = None if wide else self.namespace
        return Request(verb=verb, resource=resource, namespace=namespace, name=name, group=group, where=self.where)

    def _ask(
        self,
        verb: str,
        resource: str,
        call: Callable[..., Any],
        *arguments: Any,
        name: str = "",
        group: str = "",
        wide: bool = False,
        **more: Any,
    ) -> Json:
        request = self._request(verb, resource, name=name, group=group, wide=wide)
        how = {"_preload_content": False, "_request_timeout": _TIMEOUT, **more}
        answer: Json = json.loads(self._send(request, lambda: call(*arguments, **how).data))
        return answer

    def _send(self, request: Request, call: Callable[[], Any]) -> Any:
        try:
            return call()
        except ApiException as exc:
            if exc.status:
                raise refused(request, int(exc.status), message_of(exc.body, exc.reason)) from exc
            raise self._unreachable(exc.reason or exc) from exc
        except (HTTPError, OSError) as exc:
            raise self._unreachable(exc) from exc
        except config.ConfigException as exc:
            raise ClusterError(f"no credentials for {self.where}: {show_reason(str(exc))}") from exc

    def _unreachable(self, why: object) -> ClusterError:
        others = [name for name in contexts() if name != self.context]
        more = f"; other contexts of your kubeconfig: {listing(others)}" if others else ""
        return ClusterError(
            f"no answer from the API server of {self.where} at {self.server} ({show_reason(str(why))}): is the cluster "
            f"running, and are you in its network (VPN)?{more}"
        )


def _names(found: Mapping[str, Any]) -> list[str]:
    return sorted(item["metadata"]["name"] for item in found["items"])
