"""Parameters as JSON and back, without loss and without code.

JSON has no tuples, no infinities, only text keys, and no estimators. These are written as an object
with one reserved key::

    (1, 2)                {"__tuple__": [1, 2]}
    float("nan")          {"__float__": "nan"}
    {0: 1.5}              {"__dict__": [[0, 1.5]]}
    LGBMClassifier(...)   {"__estimator__": "lightgbm.LGBMClassifier", "params": {...}}
    ... .set_output(transform="pandas")       ..., "output": "pandas"}
    ... .set_fit_request(sample_weight=True)  ..., "requests": {"fit": {"sample_weight": true}}}

`warren.encoding.tags` lists those of functions, selectors of columns, arrays, dtypes, sets,
splitters, scorers, distributions and generators. Kernels of Gaussian processes are encoded like
estimators. Everything else is plain JSON. Floats keep every bit: Python writes the shortest text
that reads back equal.
"""

from __future__ import annotations

import math
import numbers
import sys
from collections.abc import Callable, Hashable, Iterable, Mapping
from typing import Any, TypeAlias

import numpy as np

from warren.encoding.prefit import check_holds_no_fit
from warren.encoding.tags import KEYS, OUTPUTS, REQUESTED, is_state
from warren.encoding.values import decode_value, encode_value, readable_value
from warren.errors import InputError, short
from warren.safety.allowlist import dotted_name, public_name, resolve
from warren.safety.parameter_checks import DEEPEST, LARGEST_INT
from warren.safety.parameter_rules import check_class

Json: TypeAlias = Any
"""The types that ``json.loads`` returns: None, bool, int, float, str, list and dict of these."""

# Most characters of an estimator in a trial document. Nested text is quoted at each level, which
# doubles it.
_LONGEST_SHOWN = 2000


def encode(value: Any, where: str, allow: Iterable[str] = (), depth: int = 0) -> Json:
    """Turn a parameter value into JSON.

    Parameters
    ----------
    value : None, bool, number, str, tuple, list, dict, NumPy scalar, estimator, or what
    `warren.encoding.values` knows
        The value of a parameter.
    where : str
        Names the value in errors: ``"param_grid['max_depth'][0]"``.
    allow : iterable of str, default=()
        Further allowed names of estimators.
    depth : int, default=0
        How deep the value is nested.

    Returns
    -------
    Json
        `decode` turns it back into an equal value of the same type (NumPy scalars become Python's).

    Raises
    ------
    InputError
        The value can't be sent: a user's function, an array of arrays, a class, an integer over 64
        bits, or nested too deep.
    """
    if depth > DEEPEST:
        raise InputError(f"{where}: nested deeper than {DEEPEST} levels")
    if value is None or isinstance(value, (bool, str)):
        return _text(value, where) if isinstance(value, str) else value
    if isinstance(value, np.generic):
        return encode(value.item(), where, allow, depth + 1)
    if isinstance(value, numbers.Integral):
        if abs(int(value)) > LARGEST_INT:
            raise InputError(f"{where} = {value}: integers must fit in 64 bits")
        return int(value)
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else {"__float__": repr(float(value))}
    if isinstance(value, tuple):
        return {"__tuple__": [encode(item, where, allow, depth + 1) for item in value]}
    if isinstance(value, list):
        return [encode(item, where, allow, depth + 1) for item in value]
    if isinstance(value, Mapping):
        pairs = [
            (encode(key, where, allow, depth + 1), encode(item, where, allow, depth + 1)) for key, item in value.items()
        ]
        if all(isinstance(key, str) and not key.startswith("__") and _is_field(key) for key, _ in pairs):
            return dict(pairs)
        return {"__dict__": [list(pair) for pair in pairs]}
    if hasattr(value, "get_params") and not isinstance(value, type):
        return encode_estimator(value, where, allow, depth + 1)
    found = encode_value(value, where, lambda inside: encode(inside, where, allow, depth + 1), allow)
    if found is not None:
        return found
    raise InputError(f"{where} = {short(value)}: {_way_out(value)}")


def _text(value: str, where: str) -> str:
    try:
        value.encode()
    except UnicodeEncodeError as exc:
        raise InputError(f"{where} = {ascii(value)[:60]}: text that is not Unicode ({exc.reason})") from None
    return str(value)


def _is_field(key: str) -> bool:
    """Return whether a key can be a field of a document.

    Other keys are encoded and shown as pairs.
    """
    return not (key.startswith("$") or "." in key or "\x00" in key)


def _way_out(value: Any) -> str:
    if isinstance(value, np.ndarray):
        return (
            "an array can't be sent as a parameter, unless it is flat and of numbers or text, or a matrix of numbers; "
            "pass value.tolist(), or one scalar per trial"
        )
    if isinstance(value, type):
        return f"a class can't be sent; pass an instance, {value.__name__}(), or its name if the library accepts one"
    if callable(getattr(value, "split", None)) and hasattr(value, "get_n_splits"):
        return (
            "a splitter of your own can't be sent; pass one of sklearn.model_selection, or its splits as a list of "
            "(train, test) indices"
        )
    if callable(value):
        return (
            "a callable can't be sent, because a message must not run code; pass the name of a built-in objective or "
            "metric, a NumPy ufunc such as np.log1p, or put it into an estimator class of a module that the workers "
            "have too, named in WARREN_ALLOW"
        )
    return f"a {type(value).__name__} can't be sent as JSON; pass None, a bool, a number, text, or lists of these"


def encode_estimator(estimator: Any, where: str, allow: Iterable[str] = (), depth: int = 0) -> Json:
    """Turn an estimator into its dotted name and the parameters that differ from its defaults.

    Parameters
    ----------
    estimator : estimator instance
        Of an allowed class.
    where, allow, depth
        As in `encode`.

    Returns
    -------
    dict
        ``{"__estimator__": name, "params": {...}}``, with ``"output"`` if ``set_output`` was
        called, and ``"requests"`` if metadata was requested and routing is enabled.

    Raises
    ------
    InputError
        Its class is not allowed, it contains an earlier fit, or a parameter can't be sent.
    """
    name = dotted_name(type(estimator), allow)
    check_holds_no_fit(estimator, where)
    try:
        defaults = type(estimator)().get_params(deep=False)
    except TypeError:  # a class with required parameters has no defaults to compare with
        defaults = {}
    params = {
        key: encode(value, f"{where}: {type(estimator).__name__}({key}=...)", allow, depth + 1)
        for key, value in estimator.get_params(deep=False).items()
        if key not in defaults or not _same(value, defaults[key])
    }
    return {"__estimator__": name, "params": params} | _output(estimator, where) | _requests(estimator)


def _output(estimator: Any, where: str) -> dict[str, Json]:
    """Return what ``set_output`` has set.

    It is an attribute, which scikit-learn's ``clone`` copies besides the parameters.
    """
    config = vars(estimator).get("_sklearn_output_config") or {}
    if config and (config.keys() != {"transform"} or config["transform"] not in OUTPUTS):
        raise InputError(
            f"{where}: {type(estimator).__name__}.set_output({short(config)}) can't be sent; "
            f"use transform= one of {', '.join(sorted(OUTPUTS))}"
        )
    return {"output": config["transform"]} if config else {}


def _requests(estimator: Any) -> dict[str, Json]:
    """Return the requests of ``set_fit_request`` and the like, which ``clone`` copies too."""
    requests, sklearn = vars(estimator).get("_metadata_request"), sys.modules.get("sklearn")
    if requests is None or sklearn is None or not sklearn.get_config().get("enable_metadata_routing"):
        return {}
    asked = {
        method: {name: alias for name, alias in getattr(requests, method).requests.items() if alias is not None}
        for method in sorted(REQUESTED)
        if hasattr(requests, method)
    }
    return {"requests": {method: names for method, names in asked.items() if names}} if any(asked.values()) else {}


def _set_requests(estimator: Any, asked: Mapping[str, Mapping[str, bool | str]]) -> None:
    """Set an estimator's requests for metadata, even if routing is disabled here."""
    requests = estimator._get_metadata_request()
    for part in (requests, *vars(requests).values()):
        if hasattr(
            part, "owner"
        ):  # its name, as before scikit-learn 1.8: no file format stores an object that contains itself
            part.owner = type(estimator).__name__
    for method, names in asked.items():
        for name, alias in names.items():
            getattr(requests, method).add_request(param=name, alias=alias)
    estimator._metadata_request = requests


def _same(value: Any, default: Any) -> bool:
    if value is default:
        return True
    if type(value) is not type(default) or isinstance(value, np.ndarray) or hasattr(value, "get_params"):
        return False
    return bool(value == default) or (isinstance(value, float) and math.isnan(value) and math.isnan(default))


def decode(
    encoded: Json,
    allow: Iterable[str] = (),
    *,
    build: Callable[[type, dict[str, Any]], Any] | None = None,
    again: bool = False,
) -> Any:
    """Turn JSON made by `encode` back into the value.

    Parameters
    ----------
    encoded : Json
        The result of `encode`, also after it was written as JSON text.
    allow : iterable of str, default=()
        Further allowed names of estimators.
    build : callable, default=None
        Creates an estimator from its class and decoded parameters; None calls the class.
    again : bool, default=False
        Whether it was decoded before with the same allowed names, so that its parameters are not
        checked again.

    Returns
    -------
    value
        Equal to the one that was encoded.

    Raises
    ------
    InputError
        A reserved key is misused, or an estimator is not allowed.
    """
    if isinstance(encoded, list):
        return [decode(item, allow, build=build, again=again) for item in encoded]
    if not isinstance(encoded, dict):
        return encoded
    match encoded:
        case {"__float__": "nan" | "inf" | "-inf" as text, **rest} if not rest:
            return float(text)
        case {"__tuple__": list(items), **rest} if not rest:
            return tuple(decode(item, allow, build=build, again=again) for item in items)
        case {"__dict__": list(pairs), **rest} if not rest and all(
            isinstance(pair, list) and len(pair) == 2 for pair in pairs
        ):
            keys = [decode(key, allow, build=build, again=again) for key, _ in pairs]
            if not all(isinstance(key, Hashable) for key in keys):
                raise InputError("a list or dict can't be the key of a dict; use text, a number or a tuple of them")
            return {
                key: decode(item, allow, build=build, again=again) for key, (_, item) in zip(keys, pairs, strict=True)
            }
        case {"__estimator__": str(name), "params": dict(params), **rest} if is_state(rest):
            cls = resolve(name, allow, inner=True)
            if not again:
                check_class(cls, _known_as(cls, name, allow), params)
            values = {key: decode(item, allow, build=build, again=again) for key, item in params.items()}
            made = build(cls, values) if build else cls(**values)
            if "output" in rest and not isinstance(made, type):
                made._sklearn_output_config = {"transform": rest["output"]}  # as clone() does
            if "requests" in rest and hasattr(made, "_get_metadata_request") and not isinstance(made, type):
                _set_requests(made, rest["requests"])
            return made
        case _ if len(encoded) == 1 and not KEYS.isdisjoint(encoded):
            return decode_value(encoded, lambda inside: decode(inside, allow, build=build, again=again), allow)
    if reserved := [key for key in encoded if key.startswith("__")]:
        raise InputError(f"a parameter value misuses the reserved key {reserved[0]!r}")
    return {key: decode(item, allow, build=build, again=again) for key, item in encoded.items()}


def _known_as(cls: type, name: str, allow: Iterable[str]) -> str:
    """Return the name by which rules know a class; "" for a class that the operator named.

    Raises
    ------
    InputError
        The message uses another name, and so was checked by the rules of another class.
    """
    known = public_name(cls)
    if name != known and name not in allow:
        raise InputError(f"estimator {name!r} is an alias of {known!r}: use that name")
    return known


def readable(encoded: Json) -> Json:
    """Return an encoded value in the form for people in a trial document, without reserved keys.

    Parameters
    ----------
    encoded : Json
        The result of `encode`.

    Returns
    -------
    Json
        Tuples, sets and arrays as lists; estimators and other objects as text
        (``LGBMClassifier(max_depth=3)``); functions and types by name; other keys as text. A dict
        with a key that documents don't allow ("a.b", "$a") becomes a list of pairs.
    """
    if isinstance(encoded, list):
        return [readable(item) for item in encoded]
    if not isinstance(encoded, dict):
        return encoded
    if (found := readable_value(encoded, readable)) is not None:
        return found
    if "__float__" in encoded:
        return float(encoded["__float__"])
    if "__tuple__" in encoded:
        return [readable(item) for item in encoded["__tuple__"]]
    if "__estimator__" in encoded:
        shown = ", ".join(f"{key}={readable(item)!r}" for key, item in encoded["params"].items())
        text = f"{encoded['__estimator__'].rpartition('.')[2]}({shown})"
        if "output" in encoded:
            text += f".set_output(transform={encoded['output']!r})"
        return text if len(text) <= _LONGEST_SHOWN else f"{text[: _LONGEST_SHOWN - 4]}...)"
    if "__dict__" in encoded:
        pairs = [[readable(key), readable(item)] for key, item in encoded["__dict__"]]
        return {str(key): item for key, item in pairs} if all(_is_field(str(key)) for key, _ in pairs) else pairs
    return {key: readable(item) for key, item in encoded.items()}
