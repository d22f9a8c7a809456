"""Trees of estimators through decoder and builder, as a worker builds them: what comes out
reaches nothing.

Candidates of the searches in them are made too, as their fits would make them. Meanwhile an audit
hook listens, and what is built is looked at by other rules than Warren's own.
"""

from __future__ import annotations

import functools
import warnings
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import suppress
from itertools import islice
from typing import Any

import catboost
import lightgbm
import xgboost
from sklearn.base import BaseEstimator, clone
from sklearn.model_selection import ParameterGrid
from sklearn.utils import all_estimators

from fuzz.audit import watched
from fuzz.decoder import ACCEPTED, kind
from fuzz.trees import CLASSES, MARK, Draws, message
from warren.encoding.codec import decode
from warren.errors import InputError, MessageError
from warren.messages import decode_chunk
from warren.settings import Settings
from worker.training.candidate import Candidate

REFUSED = "refused when it was built: "
_SETTINGS = Settings(WARREN_THREADS=1)
# Parameters of each that open, write, connect or call, by its documentation.
_REACHES = {
    xgboost.XGBModel: {"xgb_model", "process_type", "callbacks", "kwargs", "model_dir", "dmlc_uri", "log_file"},
    lightgbm.LGBMModel: {
        *(
            "machines",
            "machine_list_filename",
            "forcedsplits_filename",
            "fs",
            "input_model",
            "port",
            "data",
            "callbacks",
        ),
    },
    catboost.CatBoost: {"train_dir", "output_borders", "input_borders", "snapshot_file", "meta", "callback", "params"},
}
# And such that do so when they are switched on.
_SWITCHES = {lightgbm.LGBMModel: {"save_binary"}, catboost.CatBoost: {"allow_writing_files", "save_snapshot"}}


def outcome(body: bytes) -> str:
    """Decode and build a message as a worker does; return how it ended.

    Raises
    ------
    AssertionError
        Something landed where it reaches a file, a socket or code.
    AuditError
        Something was opened, started, imported or compiled meanwhile.
    """
    with watched():
        try:
            chunk = decode_chunk(body)
        except MessageError as exc:
            return kind(str(exc))
        try:
            estimator = Candidate(chunk.objective.estimator, chunk.trials[0].params, _SETTINGS)()
            for made in (estimator, *_candidates(estimator)):
                check(made)
        except InputError as exc:
            return REFUSED + kind(str(exc))
        except (TypeError, ValueError, AttributeError, LookupError, RuntimeError, catboost.CatBoostError) as exc:
            return f"can't be built: {type(exc).__name__}"
    return ACCEPTED


def _candidates(estimator: Any, depth: int = 0) -> Iterator[Any]:
    """Yield what the searches in an estimator would train first."""
    for value in [*_nested(estimator)]:
        grid = getattr(value, "param_grid", None) or getattr(value, "param_distributions", None)
        if grid is None or depth > 2 or not hasattr(value, "estimator"):
            continue
        grids = [
            {name: _drawn(values) for name, values in one.items()}
            for one in ([grid] if isinstance(grid, Mapping) else grid)
            if isinstance(one, Mapping)
        ]
        for params in islice(ParameterGrid(grids), 4) if grids else ():
            # As `sklearn.model_selection._validation._fit_and_score` does it.
            made = clone(value.estimator).set_params(**clone(params, safe=False))
            yield made
            yield from _candidates(made, depth + 1)


def _drawn(values: Any) -> list[Any]:
    return [3] if hasattr(values, "rvs") or isinstance(values, str) or not hasattr(values, "__len__") else [*values]


def _nested(value: Any, depth: int = 0) -> Iterator[Any]:
    """Yield an estimator and all in it, however they are kept there."""
    if hasattr(value, "get_params") and not isinstance(value, type):
        yield value
        inside = [*value.get_params(deep=False).values()]
    elif isinstance(value, Mapping):
        inside = [*value.values()]
    else:
        inside = [*value] if isinstance(value, (list, tuple, set)) else []
    for one in inside if depth < 40 else ():
        yield from _nested(one, depth + 1)


def check(estimator: Any) -> None:
    """Fail if anything that must not landed anywhere in an estimator."""
    for one in _nested(estimator):
        name = f"{type(one).__module__}.{type(one).__qualname__}"
        assert not any(word in name.lower() for word in ("dask", "spark", "hnsw")), name
        params = one.get_params(deep=False)
        if reaches := next((names for kind, names in _REACHES.items() if isinstance(one, kind)), None):
            switches = {name for kind, names in _SWITCHES.items() if isinstance(one, kind) for name in names}
            for key, value in params.items():
                assert key.isidentifier(), f"{name} got {key!r}"
                assert MARK not in repr(value) or key not in reaches, f"{name}({key}={value!r})"
                assert key not in switches or value in (False, None), f"{name}({key}={value!r})"
                if isinstance(one, lightgbm.LGBMModel) and isinstance(value, str):
                    assert not any(letter.isspace() for letter in value), f"{name}({key}={value!r})"
            if isinstance(one, catboost.CatBoost):  # of which the default writes
                assert params.get("allow_writing_files") is False, name
            continue
        for key, value in params.items():
            if key in {"memory", "input", "tokenizer", "preprocessor", "pre_dispatch", "importance_getter"}:
                assert MARK not in repr(value), f"{name}({key}={value!r})"
            if key in {"kw_args", "inv_kw_args", "metric_params", "fun_args", "kernel_params"} and value:
                assert {"initial", "where", "out", "dtype"}.isdisjoint(value), f"{name}({key}={value!r})"
            assert key != "input" or value in (None, "content"), f"{name}({key}={value!r})"
            assert key != "token_pattern" or value != "(a+)+$", name
            assert key != "stack_method" or value != "save_model", name


@functools.cache
def _prepare() -> None:
    """Load what an honest building would load, once."""
    all_estimators()
    # scikit-learn reads signatures again each time, which takes most of the time here.
    names = BaseEstimator._get_param_names.__func__
    BaseEstimator._get_param_names = classmethod(functools.cache(names))
    values = (
        {"__distribution__": ["randint", [1, 9], {}]},
        {"__splitter__": ["KFold", {}]},
        {"__scorer__": "accuracy"},
        {"__selector__": {}},
        {"__function__": "numpy.log1p"},
        {"__function__": "scipy.special.expit"},
        {"__array__": ["str", ["a"]]},
    )
    for name in CLASSES:
        with suppress(InputError, TypeError):
            repr(Candidate({"__estimator__": name, "params": {}}, {}, _SETTINGS)())
    for value in values:
        decode(value)


def run(messages: int, seed: int) -> Counter[str]:
    """Put made up trees through decoder and builder; return how many ended how.

    Parameters
    ----------
    messages : int
        How many.
    seed : int
        Of the first; each message has a seed of its own, which a failure names.
    """
    found: Counter[str] = Counter()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        _prepare()
        for number in range(seed, seed + messages):
            body = message(Draws(number))
            try:
                found[outcome(body)] += 1
            except BaseException as exc:
                exc.add_note(f"tree of seed {number}: {body[:3000]!r}")
                raise
    return found
