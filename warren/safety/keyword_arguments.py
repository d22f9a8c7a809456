"""Rules for parameters that hold keyword arguments: the allowed names and values.

A function gets these arguments unchanged, and NumPy's functions accept more than numbers: ``out``
is written to, ``dtype=object`` with ``initial`` puts text into a table, and a library opens text as
a file. So only the keywords listed here are allowed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from warren.encoding.tagged_objects import is_number
from warren.encoding.tags import NUMBERS

Json: TypeAlias = Any  # as in warren.encoding.codec, which imports NumPy; an idle worker does not need it

# How deep lists of numbers may be nested: a matrix.
_DEEPEST = 2


def _is_bool(value: Json) -> bool:
    return isinstance(value, bool)


def _is_axis(value: Json) -> bool:
    """Return whether a value is an axis, or several."""
    if isinstance(value, dict) and value.keys() == {"__tuple__"} and isinstance(value["__tuple__"], list):
        return all(map(_is_whole, value["__tuple__"]))
    return _is_whole(value)


def _is_whole(value: Json) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_dtype(value: Json) -> bool:
    """Return whether a value is a numeric type, in a form that NumPy accepts."""
    match value:
        case str(name) | {"__dtype__": str(name)}:
            return name in NUMBERS
        case {"__type__": str(name)}:
            return name.removeprefix("numpy.") in NUMBERS | {"bool", "int", "float"}
    return False


def _is_numbers(value: Json, depth: int = 0) -> bool:
    """Return whether a value is a number, or lists, tuples or an array of numbers."""
    if isinstance(value, dict) and value.keys() == {"__tuple__"}:
        value = value["__tuple__"]
    if isinstance(value, dict) and value.keys() == {"__array__"} and isinstance(value["__array__"], list):
        return value["__array__"][:1] != ["str"] and value["__array__"][:1] != ["object"]
    if isinstance(value, list):
        return depth < _DEEPEST and all(_is_numbers(item, depth + 1) for item in value)
    return _is_bool(value) or is_number(value)


def _is_text(value: Json) -> bool:
    return isinstance(value, str)


def _is_one_of(*known: bool | str) -> Callable[[Json], bool]:
    return lambda value: isinstance(value, (bool, str)) and value in known


# By name: a keyword means the same in every function that has it.
_FUNCTIONS: Mapping[str, Callable[[Json], bool]] = {
    "axis": _is_axis,
    "keepdims": _is_bool,
    "dtype": _is_dtype,
    "decimals": _is_whole,
    "copy": _is_bool,
    # Only a number: together with a dtype and without `where`, any other value would end up in the
    # table.
    "initial": is_number,
    "where": _is_one_of(True),
    "overwrite_input": _is_one_of(False),
    "casting": _is_one_of("no", "equiv", "safe", "same_kind"),
    "order": _is_one_of("C", "F", "A", "K"),
    **dict.fromkeys(("a_min", "a_max", "min", "max", "nan", "posinf", "neginf"), _is_numbers),
}
_KERNELS = dict.fromkeys(("gamma", "degree", "coef0", "dense_output"), _is_numbers)
_METRICS = dict.fromkeys(("p", "w", "V", "VI", "missing_values", "squared"), _is_numbers)
# Options of scipy.optimize.linprog, for HiGHS and the older solvers.
_SOLVERS: Mapping[str, Callable[[Json], bool]] = {
    **dict.fromkeys(
        (
            *(
                "maxiter",
                "presolve",
                "time_limit",
                "tol",
                "lstsq",
                "sym_pos",
                "cholesky",
                "pc",
                "ip",
                "rr",
                "autoscale",
            ),
            *("disp", "alpha0", "beta", "sparse", "bland", "maxupdate", "mast", "mip_rel_gap"),
            *("dual_feasibility_tolerance", "primal_feasibility_tolerance", "ipm_optimality_tolerance"),
        ),
        _is_numbers,
    ),
    **dict.fromkeys(("simplex_dual_edge_weight_strategy", "rr_method", "permc_spec", "pivot"), _is_text),
}

KEYWORDS: Mapping[str, Mapping[str, Callable[[Json], bool]]] = {
    **dict.fromkeys(("kw_args", "inv_kw_args"), _FUNCTIONS),
    "fun_args": {"alpha": _is_numbers},
    **dict.fromkeys(("kernel_params", "pairwise_kernels_kwargs"), _KERNELS),
    "metric_params": _METRICS | _KERNELS,
    "solver_options": _SOLVERS,
}
"""Parameters of scikit-learn that hold keywords.

`tests/unit/test_refused.py` compares them with the installed version.
"""


def are_keywords(parameter: str, value: Json) -> bool:
    """Return whether a value contains only keywords that a parameter may have, with allowed values.

    Parameters
    ----------
    parameter : str
        One of `KEYWORDS`.
    value : Json
        The encoded value.

    Returns
    -------
    bool
        False for anything that is not such a dict.
    """
    allowed = KEYWORDS[parameter]
    return isinstance(value, dict) and all(
        name in allowed and (item is None or allowed[name](item)) for name, item in value.items()
    )
