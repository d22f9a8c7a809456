"""What a stored model may be made of: nothing that does more than hold numbers and predict."""

from __future__ import annotations

import io
import json
import re
import zipfile
from collections.abc import Iterable

import numpy as np

from tuning.allowlist import look_up
from tuning.errors import InputError
from tuning.names import ALLOWED_PACKAGES
from tuning.values import function_name

# Types beside the allowed packages' that fitted estimators hold, and that do nothing when they are made.
_PLAIN_TYPES = frozenset(
    {"collections.OrderedDict", "collections.defaultdict", "collections.Counter", "builtins.slice"}
)
# What the boosting libraries' estimators hold. Their other classes that do not fit free memory by an address.
_BOOSTERS = frozenset({"xgboost.core.Booster", "lightgbm.basic.Booster"})
# Curves that a transformer has fitted, and the function that they keep, wherever a version of SciPy has it.
_CURVE = re.compile(r"scipy\.interpolate\._\w+\.(BSpline|PPoly|interp1d)", re.ASCII)
_AS_ARRAY = re.compile(r"scipy\._lib\.(\w+\.)*asarray", re.ASCII)
# Modules that hold tests, other people's code, servers and downloads, and no part of a model.
_NO_MODELS = frozenset(
    {"callback", "conftest", "dask", "datasets", "externals", "federated", "spark", "tracker", "widget"}
)


def refused_types(content: bytes, unknown: Iterable[str], allow: tuple[str, ...]) -> list[str]:
    """Return which types of a skops archive nobody vouches for.

    Parameters
    ----------
    content : bytes
        The archive.
    unknown : iterable of str
        The types in it that skops itself does not trust.
    allow : tuple of str
        Further names.
    """
    names = [*unknown]
    return [name for name in names if not _trusted(name, allow)] or _called(content, {*names}.difference(allow))


def _called(content: bytes, unknown: Iterable[str]) -> list[str]:
    """Return what of some types an archive would not only make but call, with arguments of its own; no model needs it.

    Its nodes are objects in skops' ``schema.json``, each with the module, the name and the loader of what it makes.
    """
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        nodes = [json.loads(archive.read("schema.json"))]
    found = set()
    while nodes:
        node = nodes.pop()
        if isinstance(node, dict):
            if node.get("__loader__") == "ConstructorFromReduceNode":
                found.add(f"{node.get('__module__')}.{node.get('__class__')}")
            nodes += node.values()
        elif isinstance(node, list):
            nodes += node
    return sorted(found.intersection(unknown))


def _trusted(name: str, allow: tuple[str, ...]) -> bool:
    """Say whether a type may be made: a class that models of the allowed packages consist of, or a known function."""
    if name in allow or name in _PLAIN_TYPES or name in _BOOSTERS:
        return True
    module = name.rpartition(".")[0]
    package, *modules = module.split(".")
    if package not in (*ALLOWED_PACKAGES, "numpy", "scipy") or not _NO_MODELS.isdisjoint(modules):
        return False
    if "__" in name or "test" in name:
        return False
    try:
        found = look_up(name)
    except InputError:  # nothing that this machine has
        return False
    if not isinstance(found, type):
        return callable(found) and (function_name(found) is not None or _AS_ARRAY.fullmatch(name) is not None)
    match package:
        case "numpy":
            return issubclass(found, (np.generic, np.dtype))
        case "scipy":
            return _CURVE.fullmatch(name) is not None
    # Not what a module has only imported: a socket, a temporary folder.
    own = found.__module__ == module
    return own and (package == "sklearn" or (hasattr(found, "fit") and hasattr(found, "get_params")))
