"""Reads the kubeconfig as kubectl does: its contexts, and the configuration of one."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from kubernetes import client
from kubernetes import config as _config
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from producer.formatting import listing, show_reason
from warren.errors import ClusterError

# A pod's own token.
_TOKEN = Path("/var/run/secrets/kubernetes.io/serviceaccount/token")
# Any, because its types differ between releases.
config: Any = _config


def _files() -> list[Path]:
    """Return the kubeconfig files, as kubectl finds them."""
    # Read each time: a notebook may have set KUBECONFIG.
    named = [name for name in os.environ.get("KUBECONFIG", "").split(os.pathsep) if name]
    # pathlib's expanduser raises for a user without a home.
    return [Path(os.path.expanduser(name)) for name in named or ["~/.kube/config"]]  # noqa: PTH111


def load(context: str | None) -> tuple[client.Configuration, str]:
    """Return the configuration of a cluster's client, and the name of its context.

    Parameters
    ----------
    context : str or None
        None is the current context, or in a pod without a kubeconfig the pod's own account.

    Returns
    -------
    configuration : kubernetes.client.Configuration
    context : str
        Empty for a pod's own account.

    Raises
    ------
    ClusterError
        There is no kubeconfig, no such context, or it can't be used.
    """
    configuration = client.Configuration()
    files = [file for file in _files() if file.is_file()]
    if not files:
        if context is None and _TOKEN.is_file() and os.environ.get("KUBERNETES_SERVICE_HOST"):
            config.load_incluster_config(client_configuration=configuration)
            return configuration, ""
        raise ClusterError(_no_kubeconfig(context))
    named = os.pathsep.join(map(str, files))
    known, current = contexts(), _current()
    there = listing(known) or "none"
    if context is None and not current:
        raise ClusterError(f"kubeconfig {named} has no current context: pass one, Cluster(context=...): {there}")
    wanted = context or current
    if wanted not in known:
        raise ClusterError(f"no context {wanted!r} in kubeconfig {named}: existing contexts: {there}")
    try:
        config.load_kube_config(config_file=named, context=wanted, client_configuration=configuration)
    except (_config.ConfigException, OSError, ValueError, TypeError) as exc:
        raise ClusterError(f"context {wanted!r} of kubeconfig {named} can't be used: {show_reason(str(exc))}") from exc
    return configuration, str(wanted)


def _no_kubeconfig(context: str | None) -> str:
    expected = ", ".join(map(str, _files()))
    how = "named by KUBECONFIG" if os.environ.get("KUBECONFIG") else "KUBECONFIG is not set"
    place = f", so there is no context {context!r}" if context else ", and this is not a pod of a cluster"
    return (
        f"no kubeconfig: {expected} does not exist ({how}){place}. Your cluster's tool writes one: `gcloud container "
        "clusters get-credentials NAME`, `aws eks update-kubeconfig --name NAME`, `az aks get-credentials --name NAME`"
        ", `kind export kubeconfig`, `minikube update-context`"
    )


def _documents() -> Iterator[dict[str, Any]]:
    for file in _files():
        if not file.is_file():
            continue
        try:
            found = YAML(typ="safe", pure=True).load(file)
        except (OSError, YAMLError) as exc:
            raise ClusterError(f"kubeconfig {file} can't be read: {show_reason(str(exc))}") from exc
        if isinstance(found, dict):
            yield found


def contexts() -> list[str]:
    """Return the names of the contexts in the kubeconfig's order."""
    entries = [entry for document in _documents() for entry in document.get("contexts") or []]
    return list(dict.fromkeys(str(entry["name"]) for entry in entries if isinstance(entry, dict) and "name" in entry))


def _current() -> str | None:
    """Return the current context: that of the first file that has one."""
    return next(
        (str(document["current-context"]) for document in _documents() if document.get("current-context")), None
    )
