"""Checks the content of a stored model: it may only hold numbers and predict.

Others may have written an archive. skops asks which names to trust, and then builds what the
archive says: it calls a class with any arguments, or a function with a list. So each node of the
archive is checked for what it would do: containers and arrays must be just those, functions must be
known, objects must be parts of estimators and made without a call, and only a few classes that just
hold their arguments may be called.
"""

from __future__ import annotations

import io
import json
import math
import re
import zipfile
from collections.abc import Collection, Iterator
from typing import Any

import numpy as np
from scipy.stats import rv_continuous, rv_discrete
from skops.io._audit import Node, get_tree
from skops.io._protocol import PROTOCOL
from skops.io._utils import read_schema

from producer.models.formats.registry import FORMATS
from producer.models.refusals import unreadable
from warren.encoding.arrays import check_array, check_arrays
from warren.encoding.values import function_name
from warren.errors import InputError, StudyError
from warren.libraries.registry import ALLOWED_PACKAGES
from warren.safety.allowlist import look_up, package_of_module
from warren.safety.scorers import metric_name

# By the loader of a node: the classes that it may create.
_MADE = {
    "ListNode": r"builtins\.list",
    "SetNode": r"builtins\.set",
    "TupleNode": r"builtins\.tuple|sklearn\.impute\._iterative\._ImputerTriplet",
    "DictNode": r"builtins\.dict|collections\.(OrderedDict|Counter)|sklearn\.utils\._bunch\.Bunch",
    "DefaultDictNode": r"collections\.defaultdict",
    "BytesNode": r"builtins\.bytes",
    "BytearrayNode": r"builtins\.bytearray",
    "SliceNode": r"builtins\.slice",
    "MaskedArrayNode": r"numpy\.ma(\.core)?\.MaskedArray",
    "DTypeNode": r"numpy\.dtype",
    "RandomStateNode": r"numpy\.random\.mtrand\.RandomState",
    "RandomGeneratorNode": r"numpy\.random\._generator\.Generator",
    "SparseMatrixNode": r"scipy\.sparse\._\w+\.(bsr|coo|csc|csr|dia)_(array|matrix)",
    "TreeNode": r"sklearn\.tree\._tree\.Tree",
    "LossNode": r"sklearn\._loss\._loss\.Cy\w+|sklearn\.linear_model\._sgd_fast\.\w+",
    # Called with arguments of the archive; `worker.training.model_archive` writes them.
    "ConstructorFromReduceNode": r"builtins\.(dict|frozenset|range)|collections\.OrderedDict"
    r"|datetime\.(date|datetime|time|timedelta|timezone)|decimal\.Decimal|uuid\.UUID|zoneinfo\.ZoneInfo"
    r"|pandas\.(Index|Interval|Period|Timedelta|Timestamp)|scipy\.interpolate\.BSpline",
    # Its function is checked itself.
    "PartialNode": r"functools\.partial",
}
_TYPES = re.compile(
    rf"builtins\.(bool|int|float|str|bytes|list|tuple|set|dict|object)|collections\.OrderedDict"
    rf"|{_MADE['TreeNode']}|{_MADE['LossNode']}",
    re.ASCII,
)
# Types of a dict's keys: skops calls them with text.
_KEY_TYPES = re.compile(r"builtins\.(int|float|str)|numpy\.(str_|u?int\d+|float\d+|bool_?)", re.ASCII)
# Parts of fitted estimators that are not estimators.
_PARTS = re.compile(
    r"""sklearn\.(
        _loss\.(link|loss)\.\w+
        | calibration\._\w+
        | compose\._column_transformer\.make_column_selector
        | ensemble\._hist_gradient_boosting\.predictor\.TreePredictor
        | metrics\._dist_metrics\.\w+Distance(32|64)?
        | metrics\._scorer\._\w*Scorer
        | model_selection\._split\.\w+
        | neighbors\._(kd|ball)_tree\.(KD|Ball)Tree(32|64)?
        | neural_network\._stochastic_optimizers\.\w+Optimizer
        | utils\._metadata_requests\.(Method)?MetadataRequest
    )
    """,
    re.ASCII | re.VERBOSE,
)
# Most apparent bytes of an array with repeated values (a stride of 0).
_MOST_REPEATED = 2**30
# By the class of a booster that lies in an archive.
_BOOSTERS = {".".join(one.booster[1:]): one for one in FORMATS.values() if one.handle}
_FUNCTIONS = re.compile(
    r"sklearn\.(cluster\._kmeans\._kmeans_single_(lloyd|elkan)|utils\.validation\.check_array)", re.ASCII
)
# Modules with trusted functions of NumPy and SciPy.
_OF_FUNCTIONS = re.compile(r"numpy(\._core(\.\w+)?)?|scipy\.special(\._\w+)?", re.ASCII)
# Modules with tests, third-party code, servers or downloads, which hold no part of a model.
_NO_MODELS = frozenset(
    {
        *("callback", "conftest", "dask", "datasets", "experimental", "externals", "federated", "spark", "tests"),
        *("tracker", "widget"),
    }
)


def trusted_types(content: bytes, classes: Collection[str] | None, allow: tuple[str, ...] = ()) -> list[str]:
    """Check every node of an archive, and return the types that skops must trust to read it.

    Parameters
    ----------
    content : bytes
        The archive.
    classes : collection of str or None
        The estimators that it may hold, and their boosters:
        `producer.models.model_shape.Own.classes`. None allows all classes of the allowed packages.
    allow : tuple of str
        Further names of classes and functions (the setting ``WARREN_ALLOW``).

    Returns
    -------
    list of str

    Raises
    ------
    InputError
        The archive holds a type that is not trusted.
    StudyError
        It is not an archive of skops.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            if sum(entry.file_size for entry in archive.infolist()) > len(content):
                raise StudyError("the stored model is compressed, which no worker does")
            schema, context = read_schema(archive)
            if context.protocol != PROTOCOL:
                raise InputError(
                    f"the stored model has skops' protocol {context.protocol}, but this version reads {PROTOCOL}: "
                    "train it again, or install the worker's version of skops"
                )
            tree = get_tree(schema, context, trusted=None)
            refused = sorted({_name(node) for node in _nodes(tree) if not _is_harmless(node, classes, allow)})
            if refused:
                raise InputError(
                    f"the model holds {', '.join(refused[:5])}, which is not trusted: add the class to WARREN_ALLOW if "
                    "it is yours, or train here with study.refit_estimator().fit(X, y)"
                )
            return sorted(tree.get_unsafe_set())
    except (AttributeError, ImportError, KeyError, LookupError, RecursionError, TypeError, ValueError) as exc:
        if isinstance(exc, InputError):
            raise
        raise unreadable(exc) from exc
    except (OSError, zipfile.BadZipFile) as exc:
        raise unreadable(exc) from exc


def _name(node: Node) -> str:
    return f"{node.module_name}.{node.class_name}"


def _loader(node: Node) -> str:
    return type(node).__name__


def _nodes(tree: Node) -> Iterator[Node]:
    """Yield every node of an archive once; nodes with the same number are one object for skops."""
    waiting: list[Any] = [tree]
    seen = set()
    while waiting:
        found = waiting.pop()
        if isinstance(found, dict):
            waiting += found.values()
        elif isinstance(found, (list, tuple)):
            waiting += found
        elif isinstance(found, Node) and id(found) not in seen:
            seen.add(id(found))
            yield found
            waiting += [*found.children.values(), getattr(found, "cached", None)]


def _is_harmless(node: Node, classes: Collection[str] | None, allow: tuple[str, ...]) -> bool:
    """Return whether creating a node's object has no side effects."""
    name, loader = _name(node), _loader(node)
    if loader in ("NdArrayNode", "SparseMatrixNode"):
        _check_content(node)
    if loader in _MADE and re.fullmatch(_MADE[loader], name, re.ASCII):
        return _is_sound(node)
    match loader:
        case "JsonNode" | "CachedNode":
            return True
        case "NdArrayNode":
            return name in ("numpy.ndarray", "numpy.matrix") or _is_scalar_type(name)
        case "TypeNode":
            return name in allow or _TYPES.fullmatch(name) is not None or _is_scalar_type(name)
        case "FunctionNode":
            return name in allow or _is_known_function(name)
        case "ObjectNode":
            known = name in allow or _is_part(name, classes)
            return known and (name not in _BOOSTERS or name in allow or _is_sound_booster(node))
        case "ConstructorFromReduceNode":
            return name in allow or _is_distribution(name) or (name == "numpy.ndarray" and _is_array_of_numbers(node))
    return False


def _is_sound_booster(node: Node) -> bool:
    """Return whether a booster stays within the bounds of its trees."""
    attributes = node.children["attrs"]
    if not isinstance(attributes, Node) or _loader(attributes) != "DictNode":
        return False
    held = attributes.children["content"]
    booster = _BOOSTERS[_name(node)]
    match [held[name] for name in ("handle", "_handle") if name in held]:
        case [Node() as handle] if _loader(handle) == booster.handle == "JsonNode":
            return booster.is_sound(json.loads(handle.content))
        case [Node() as handle] if _loader(handle) == booster.handle == "BytearrayNode":
            return booster.is_sound(handle.children["content"].getvalue())
    return False


def _check_content(node: Node) -> None:
    """Refuse an array that does not match its header, and sparse arrays that would inflate."""
    content = node.children["content"]
    if isinstance(content, io.BytesIO):
        blob = content.getvalue()
        if _loader(node) == "SparseMatrixNode":
            check_arrays(blob)
        else:
            check_array(io.BytesIO(blob), len(blob))


def _is_sound(node: Node) -> bool:
    """Return whether a node that would call its children has only children of the right kind."""
    inside = node.children
    match _loader(node):
        case "DictNode":
            types = inside["key_types"]
            return isinstance(types, Node) and all(
                _loader(key) == "TypeNode" and _KEY_TYPES.fullmatch(_name(key)) for key in types.children["content"]
            )
        case "DefaultDictNode":
            return _loader(inside["default_factory"]) in ("TypeNode", "JsonNode")
        case "PartialNode":
            return _name(inside["func"]) == "sklearn.utils.validation.check_array"
    return True


def _is_array_of_numbers(node: Node) -> bool:
    """Return whether an array is a view of its own numeric memory, whose bounds NumPy checks."""
    arguments = node.children["content"]
    if not isinstance(arguments, Node) or _loader(arguments) != "TupleNode":
        return False
    match arguments.children["content"]:
        case [Node() as shape, Node() as dtype, Node() as memory, _, _]:
            kind = json.loads(dtype.content) if _loader(dtype) == "JsonNode" else None
            if not isinstance(kind, str) or re.fullmatch(r"[<>|=][biufc]\d{1,2}", kind, re.ASCII) is None:
                return False
            # Memory of objects would be read as addresses, and vice versa.
            in_file = _loader(memory) == "NdArrayNode" and getattr(memory, "type", None) == "numpy"
            if not in_file or _name(memory) != "numpy.ndarray" or _loader(shape) != "TupleNode":
                return False
            # A stride of 0 may repeat a value, but not to terabytes.
            sides = [json.loads(side.content) for side in shape.children["content"]]
            taken = len(memory.children["content"].getvalue())
            return bool(math.prod(sides) * int(kind[2:]) <= max(taken, _MOST_REPEATED))
    return False


def _found(name: str) -> Any:
    """Return the object with a name in modules that may hold parts of models; otherwise None."""
    module = name.rpartition(".")[0]
    package, modules = package_of_module(module), module.split(".")[1:]
    if package not in (*ALLOWED_PACKAGES, "numpy", "scipy") or not _NO_MODELS.isdisjoint(modules):
        return None
    if "__" in name or "test" in name:
        return None
    try:
        return look_up(name)
    except InputError:  # not installed on this machine
        return None


def _is_scalar_type(name: str) -> bool:
    if name.rpartition(".")[0] not in ("numpy", "numpy._core.multiarray"):
        return False
    found = _found(name)
    return isinstance(found, type) and issubclass(found, np.generic)


def _is_known_function(name: str) -> bool:
    module = name.rpartition(".")[0]
    if not module.startswith("sklearn.") and not _OF_FUNCTIONS.fullmatch(module):
        return False
    found = _found(name)
    if not callable(found) or isinstance(found, type):
        return False
    return _FUNCTIONS.fullmatch(name) is not None or function_name(found) is not None or _is_metric(found)


def _is_metric(function: Any) -> bool:
    try:
        return bool(metric_name(function))
    except InputError:
        return False


def _is_distribution(name: str) -> bool:
    return name.rpartition(".")[0] == "scipy.stats" and isinstance(_found(name), (rv_continuous, rv_discrete))


def _is_part(name: str, classes: Collection[str] | None) -> bool:
    """Return whether a class is one of the study's estimators or a part of them."""
    if classes is not None and name not in classes and not _PARTS.fullmatch(name):
        return False
    found = _found(name)
    # Not a class that a module only imports, such as a socket or a temporary folder.
    if not isinstance(found, type) or found.__module__ != name.rpartition(".")[0]:
        return False
    if classes is not None or _PARTS.fullmatch(name) or name in _BOOSTERS:
        return True
    return package_of_module(name) in ALLOWED_PACKAGES and hasattr(found, "get_params")
