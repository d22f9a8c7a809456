"""What a stored model may be made of: nothing that does more than hold numbers and predict.

An archive is somebody else's file. skops asks for the names that it may use, and then makes of a name whatever the
archive says: it calls a class with any arguments, or a function with a list. So each node of the archive is looked at,
by what it would do: containers and arrays are exactly those, functions are known ones, objects are made without a call
and are parts of estimators, and what is called is one of a few classes that hold what they are given.
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

# By the loader of a node, what it may make: the classes whose data it reads, and no other by their names.
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
    # Called with arguments from the archive: `worker.training.model_archive` writes these.
    "ConstructorFromReduceNode": r"builtins\.(dict|frozenset|range)|collections\.OrderedDict"
    r"|datetime\.(date|datetime|time|timedelta|timezone)|decimal\.Decimal|uuid\.UUID|zoneinfo\.ZoneInfo"
    r"|pandas\.(Index|Interval|Period|Timedelta|Timestamp)|scipy\.interpolate\.BSpline",
    # Of a function that is looked at itself.
    "PartialNode": r"functools\.partial",
}
_TYPES = re.compile(
    rf"builtins\.(bool|int|float|str|bytes|list|tuple|set|dict|object)|collections\.OrderedDict"
    rf"|{_MADE['TreeNode']}|{_MADE['LossNode']}",
    re.ASCII,
)
# Types of the keys of a dict: they are called with text.
_KEY_TYPES = re.compile(r"builtins\.(int|float|str)|numpy\.(str_|u?int\d+|float\d+|bool_?)", re.ASCII)
# Parts of fitted estimators that are no estimators themselves.
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
# Bytes that an array may seem to have whose numbers stand for several each.
_MOST_REPEATED = 2**30
# By the class of a booster that lies in an archive.
_BOOSTERS = {".".join(one.booster[1:]): one for one in FORMATS.values() if one.handle}
_FUNCTIONS = re.compile(
    r"sklearn\.(cluster\._kmeans\._kmeans_single_(lloyd|elkan)|utils\.validation\.check_array)", re.ASCII
)
# Modules that functions of NumPy and SciPy are found in.
_OF_FUNCTIONS = re.compile(r"numpy(\._core(\.\w+)?)?|scipy\.special(\._\w+)?", re.ASCII)
# Modules that hold tests, other people's code, servers and downloads, and no part of a model.
_NO_MODELS = frozenset(
    {
        *("callback", "conftest", "dask", "datasets", "experimental", "externals", "federated", "spark", "tests"),
        *("tracker", "widget"),
    }
)


def trusted_types(content: bytes, classes: Collection[str] | None, allow: tuple[str, ...] = ()) -> list[str]:
    """Return what skops has to trust to read an archive, once every node of it was looked at.

    Parameters
    ----------
    content : bytes
        The archive.
    classes : collection of str or None
        The estimators that it may hold, and their boosters: `producer.models.model_shape.Own.classes`. None are all of
        the allowed packages.
    allow : tuple of str
        Further names of classes and functions (the setting ``WARREN_ALLOW``).

    Returns
    -------
    list of str

    Raises
    ------
    InputError
        It holds something that nobody vouches for.
    StudyError
        It is no archive as skops writes one.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            if sum(entry.file_size for entry in archive.infolist()) > len(content):
                raise StudyError("the stored model is packed more densely than any that a worker writes")
            schema, context = read_schema(archive)
            if context.protocol != PROTOCOL:
                raise InputError(
                    f"the stored model is of skops' protocol {context.protocol}, and this version reads {PROTOCOL}: "
                    "train it again, or install the same skops as the worker's"
                )
            tree = get_tree(schema, context, trusted=None)
            refused = sorted({_name(node) for node in _nodes(tree) if not _is_harmless(node, classes, allow)})
            if refused:
                raise InputError(
                    f"the model holds {', '.join(refused[:5])}, which nobody vouches for: name the class in "
                    "WARREN_ALLOW if it is yours, or train here with study.refit_estimator().fit(X, y)"
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
    """Yield every node of an archive once, as skops would make it: two with one number are one for it."""
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
    """Say whether making what a node stands for does nothing beside making it."""
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
    """Say whether what the loader of a booster reads stays within its trees."""
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
    """Refuse an array that is another one than its header says, or sparse ones that inflate."""
    content = node.children["content"]
    if isinstance(content, io.BytesIO):
        blob = content.getvalue()
        if _loader(node) == "SparseMatrixNode":
            check_arrays(blob)
        else:
            check_array(io.BytesIO(blob), len(blob))


def _is_sound(node: Node) -> bool:
    """Say whether what is inside a node is of the kind that it takes, where it would call what is inside."""
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
    """Say whether an array is made over numbers in memory of its own: NumPy checks that it does not leave them."""
    arguments = node.children["content"]
    if not isinstance(arguments, Node) or _loader(arguments) != "TupleNode":
        return False
    match arguments.children["content"]:
        case [Node() as shape, Node() as dtype, Node() as memory, _, _]:
            kind = json.loads(dtype.content) if _loader(dtype) == "JsonNode" else None
            if not isinstance(kind, str) or re.fullmatch(r"[<>|=][biufc]\d{1,2}", kind, re.ASCII) is None:
                return False
            # Memory of objects would be read as addresses, and the other way round.
            in_file = _loader(memory) == "NdArrayNode" and getattr(memory, "type", None) == "numpy"
            if not in_file or _name(memory) != "numpy.ndarray" or _loader(shape) != "TupleNode":
                return False
            # A number may stand for many, but for no terabyte of them.
            sides = [json.loads(side.content) for side in shape.children["content"]]
            taken = len(memory.children["content"].getvalue())
            return bool(math.prod(sides) * int(kind[2:]) <= max(taken, _MOST_REPEATED))
    return False


def _found(name: str) -> Any:
    """Return what a name leads to, in modules that may hold parts of models; None of any other."""
    module = name.rpartition(".")[0]
    package, modules = package_of_module(module), module.split(".")[1:]
    if package not in (*ALLOWED_PACKAGES, "numpy", "scipy") or not _NO_MODELS.isdisjoint(modules):
        return None
    if "__" in name or "test" in name:
        return None
    try:
        return look_up(name)
    except InputError:  # nothing that this machine has
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
    """Say whether a class is one of the study's estimators, or holds the numbers of one."""
    if classes is not None and name not in classes and not _PARTS.fullmatch(name):
        return False
    found = _found(name)
    # Not what a module has only imported: a socket, a temporary folder.
    if not isinstance(found, type) or found.__module__ != name.rpartition(".")[0]:
        return False
    if classes is not None or _PARTS.fullmatch(name) or name in _BOOSTERS:
        return True
    return package_of_module(name) in ALLOWED_PACKAGES and hasattr(found, "get_params")
