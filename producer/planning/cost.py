"""What a fit is expected to cost: seconds on one thread, by library, rounds, depth or leaves, rows and columns.

A boosted fit bins the data, then grows trees. A tree of `leaves` leaves, some ``log2(leaves)`` levels deep, adds the
gradients of every row up in a histogram a column on each level, moves the rows to their leaves, and searches the
histograms of each leaf for its best split::

    fixed     = start + rows x columns x bin
    per_round = trees x (tree + (rows x columns x scan + rows x move) x levels + leaves x columns x bins x search)

The constants are fitted to 107 runs of XGBoost 3.2, 93 of LightGBM 4.7 and 51 of CatBoost 1.2 on one thread of a
cloud machine: 500 to 100,000 rows, 6 to 120 columns, depths 2 to 10, 7 to 127 leaves, 20 to 300 rounds, 1 to 4
classes. Half of those runs are met within a factor of 1.25, nine in ten within 1.7, all within 2.8. Another machine
is faster or slower as a whole, which measured times correct (`producer.planning.calibration`). Of a pipeline, its last
step has the formula, and the rest is a guess. A network has a formula of its own (`producer.planning.network_cost`).
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from producer.planning.network_cost import COSTLY, is_network, network_seconds
from warren.encoding.codec import Json
from warren.encoding.estimators import tail_of
from warren.libraries.registry import library_of, merged, rounds_of

# Seconds: no estimate is above, whatever a parameter says; a message carries no infinity.
_LONGEST = 1e9
# Seconds of a fit that nothing is known of: so much a value of X, and at least what any fit takes.
_GUESS_A_VALUE = 3e-7
_SHORTEST_GUESS = 5e-4
# Parameters that such a fit's time grows with, from a hundred on as most defaults are.
_REPEATS = frozenset({"n_estimators", "max_iter", "n_iter", "iterations"})
# Levels of a tree at most: below, there is no row left.
_DEEPEST = 60


class Shape(NamedTuple):
    """Data of one fit: its training rows, its columns, and its classes (0 where there are none)."""

    rows: int
    columns: int
    classes: int


class Cost(NamedTuple):
    """Seconds of a fit: once, and for each round."""

    fixed: float
    per_round: float

    def seconds(self, rounds: int) -> float:
        """Return the seconds of a fit of so many rounds."""
        return min(self.fixed + self.per_round * rounds, _LONGEST)

    def times(self, factor: float) -> Cost:
        """Return the cost of so many fits."""
        return Cost(self.fixed * factor, self.per_round * factor)


@dataclass(frozen=True, kw_only=True)
class _Work:
    """A library's seconds for each piece of work, and its names for what makes work.

    Attributes
    ----------
    start, bin, tree, scan, move, search : float
        As in the formula.
    leaves_a_row : float
        Leaves that there are at most for each row: small ones are not split.
    leafwise, uneven : float
        How much dearer a level is where trees grow leaf by leaf, and where they are not symmetric and could be.
    a_class : float
        Of a tree, what each class beyond the first costs.
    depth, leaves, bins, columns, rows, others : tuple of str
        Names of the limits of a tree, of the number of bins, of the parts of columns and rows that are used, and of
        what else matters.
    default_depth, default_leaves : int
        Limits where none is set, the second where trees grow leaf by leaf; 0 is none. LightGBM's always do.
    """

    start: float
    bin: float
    tree: float
    scan: float
    move: float
    search: float
    leaves_a_row: float
    leafwise: float = 1.0
    uneven: float = 1.0
    a_class: float = 1.0
    depth: tuple[str, ...]
    leaves: tuple[str, ...]
    bins: tuple[str, ...]
    columns: tuple[str, ...]
    rows: tuple[str, ...] = ()
    others: tuple[str, ...] = ()
    default_depth: int
    default_leaves: int = 0

    @functools.cached_property
    def names(self) -> frozenset[str]:
        """Every parameter that changes the cost of a round."""
        return frozenset((*self.depth, *self.leaves, *self.bins, *self.columns, *self.rows, *self.others))


_WORK: dict[str, _Work] = {
    "xgboost": _Work(
        start=5e-3,
        bin=2.5e-7,
        tree=1.2e-4,
        scan=6.5e-10,
        move=4.1e-9,
        search=8.3e-9,
        leaves_a_row=0.037,
        leafwise=3.3,
        depth=("max_depth",),
        leaves=("max_leaves",),
        bins=("max_bin",),
        columns=("colsample_bytree", "colsample_bylevel", "colsample_bynode"),
        rows=("subsample",),
        others=("grow_policy", "tree_method", "num_parallel_tree"),
        default_depth=6,
    ),
    "lightgbm": _Work(
        start=1e-3,
        bin=1.9e-7,
        tree=8.0e-5,
        scan=1.1e-9,
        move=9.2e-9,
        search=1.0e-8,
        leaves_a_row=0.017,
        depth=("max_depth",),
        leaves=("num_leaves", "num_leaf", "max_leaves", "max_leaf", "max_leaf_nodes"),
        bins=("max_bin", "max_bins"),
        columns=("colsample_bytree", "feature_fraction", "sub_feature"),
        rows=("subsample", "bagging_fraction", "sub_row", "bagging"),
        others=("subsample_freq", "bagging_freq"),
        default_depth=0,
        default_leaves=31,
    ),
    # A sample of rows chooses its trees, yet every row is scanned.
    "catboost": _Work(
        start=9e-3,
        bin=1.1e-7,
        tree=5.8e-5,
        scan=1.1e-9,
        move=2.5e-8,
        search=1.4e-8,
        leaves_a_row=0.41,
        leafwise=2.0,
        uneven=2.4,
        a_class=0.48,
        depth=("depth", "max_depth"),
        leaves=("max_leaves", "num_leaves"),
        bins=("border_count", "max_bin"),
        columns=("rsm", "colsample_bylevel"),
        others=("grow_policy",),
        default_depth=6,
        default_leaves=31,
    ),
}
# XGBoost's exact method has no histograms and sorts every column instead: seconds to scan a value on a level.
_EXACT_SCAN = 4e-8
# Bins where no number is set, in all three libraries but for one or two.
_DEFAULT_BINS = 255


def class_name(estimator: Json) -> str:
    """Return the name of an encoded estimator's class, without its module."""
    return str((estimator or {}).get("__estimator__", "")).rpartition(".")[2]


def is_guess(estimator: Json) -> bool:
    """Say whether nothing is known of an encoded estimator's cost, or of the other steps of a pipeline."""
    return library_of(estimator) is None


def changes_cost(estimator: Json, name: str) -> bool:
    """Say whether a parameter changes what a trial is expected to cost."""
    tail = tail_of(estimator, {})
    library = library_of(tail.estimator)
    own = name.removeprefix(tail.prefix)
    if is_network(tail.estimator) and name.startswith(tail.prefix):
        return own in COSTLY
    if library is None or not name.startswith(tail.prefix):
        return name.rpartition("__")[2] in _REPEATS
    return own in _work(tail.estimator).names or own in library.rounds


def rounds_of_fit(estimator: Json, params: Mapping[str, Json]) -> int:
    """Return how many rounds a trial is expected to take; 1 where an estimator has none, or says nothing usable."""
    tail = tail_of(estimator, params)
    library = library_of(tail.estimator)
    if library is None:
        return 1
    return max(int(_number(rounds_of(library, merged(tail.estimator, tail.params)), library.default_rounds)), 1)


def fit_cost(estimator: Json, params: Mapping[str, Json], shape: Shape) -> Cost:
    """Return the expected seconds of one fit on one thread, apart from its rounds.

    Parameters
    ----------
    estimator : dict
        Encoded estimator.
    params : mapping
        The trial's encoded parameters; what is no number where one belongs counts as not set.
    shape : Shape
        Of the data.

    Returns
    -------
    Cost
        Never less for more rows, columns, depth, leaves or classes. A network's rounds are its epochs. For an estimator
        that is neither that nor one of the boosting libraries' a plain guess (see `is_guess`), without rounds.
    """
    tail = tail_of(estimator, params)
    rows, columns, classes = shape
    if is_network(tail.estimator):
        once, epoch = network_seconds(merged(tail.estimator, tail.params), rows, columns, classes)
        prepared = rows * columns * _GUESS_A_VALUE if tail.prefix else 0.0
        return Cost(min(once + prepared, _LONGEST), min(epoch, _LONGEST))
    if library_of(tail.estimator) is None:
        together = merged(estimator, params)
        repeats = math.prod(
            max(_number(value, 100), 0) / 100
            for name, value in together.items()
            if name.rpartition("__")[2] in _REPEATS
        )
        return Cost(min(max(rows * columns * _GUESS_A_VALUE * repeats, _SHORTEST_GUESS), _LONGEST), 0.0)
    if tail.prefix:
        last = fit_cost(tail.estimator, tail.params, shape)
        return Cost(min(last.fixed + rows * columns * _GUESS_A_VALUE, _LONGEST), last.per_round)
    together = merged(estimator, params)
    work = _work(estimator)
    policy = str(together.get("grow_policy") or "").lower()
    leafwise = policy == "lossguide" or not work.default_depth
    leaves = _leaves(work, together, rows, leafwise)
    levels = math.log2(leaves) * (work.leafwise if leafwise else 1.0)
    scan = work.scan * (work.uneven if policy in {"lossguide", "depthwise"} else 1.0)
    bins = min(max(_first(together, work.bins, _DEFAULT_BINS), 1), rows)
    fixed = work.start + rows * columns * work.bin
    if together.get("tree_method") == "exact":
        scan, bins, fixed = _EXACT_SCAN, 0, work.start
    columns_used = columns * math.prod(_part(together.get(name)) for name in work.columns)
    rows_used = rows * _sampled(work, together)
    tree = (
        work.tree
        + (rows_used * columns_used * scan + rows * work.move) * levels
        + leaves * columns_used * bins * work.search
    )
    trees = (
        1.0 if classes <= 2 or not class_name(estimator).endswith("Classifier") else 1 + (classes - 1) * work.a_class
    )
    return Cost(
        min(fixed, _LONGEST), min(tree * trees * max(_number(together.get("num_parallel_tree"), 1), 1), _LONGEST)
    )


def _work(estimator: Json) -> _Work:
    return _WORK[str(estimator["__estimator__"]).partition(".")[0]]


def _leaves(work: _Work, together: Mapping[str, Json], rows: int, leafwise: bool) -> float:
    """Return how many leaves a tree is expected to have: what depth, leaves and rows allow."""
    depth = _first(together, work.depth, work.default_depth)
    leaves = _first(together, work.leaves, work.default_leaves if leafwise else 0)
    most = max(rows * work.leaves_a_row, 2.0)
    if depth > 0:
        most = min(most, 2.0 ** min(depth, _DEEPEST))
    return max(min(most, leaves) if leaves > 0 else most, 2.0)


def _sampled(work: _Work, together: Mapping[str, Json]) -> float:
    """Return the part of the rows that a tree sees; LightGBM draws one only where it is told how often."""
    often = [name for name in work.others if name.endswith("_freq")]
    if often and _first(together, often, 0) <= 0:
        return 1.0
    return math.prod(_part(together.get(name)) for name in work.rows)


def _first(together: Mapping[str, Json], names: Iterable[str], default: float) -> float:
    """Return the first of some parameters that is a number."""
    return next((value for name in names if (value := _number(together.get(name), math.nan)) == value), default)


def _part(value: Json) -> float:
    return min(max(_number(value, 1.0), 0.0), 1.0)


def _number(value: Json, default: float) -> float:
    """Return a value that is a number, or the default; a bool is none, and JSON has no infinity."""
    return value if isinstance(value, (int, float)) and not isinstance(value, bool) else default
