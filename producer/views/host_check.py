"""Refuses browser requests that come from other sites or use another host name."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import TYPE_CHECKING

from warren.safety.http_hosts import Hosts

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment


def guarded(application: WSGIApplication, hosts: Hosts) -> WSGIApplication:
    """Wrap a WSGI application to refuse foreign requests: see `warren.safety.http_hosts`."""

    def serve(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        why = hosts.refusal(environ.get("HTTP_HOST"), environ.get("HTTP_ORIGIN"))
        if why is None:
            return application(environ, start_response)
        body = json.dumps({"reason": why}).encode()
        headers = [("Content-Type", "application/json"), ("Cache-Control", "no-store")]
        start_response("403 Forbidden", [*headers, ("Content-Length", str(len(body)))])
        return [body]

    return serve
