"""Expected seconds of a boosted fit on one thread, by rounds, depth or leaves, rows and columns.

A boosted fit bins the data, then grows trees. A tree of `leaves` leaves has about ``log2(leaves)``
levels. On each level, it adds the gradients of every row to a histogram per column, moves the rows
to their leaves, and searches the histograms of each leaf for its best split::

    fixed     = start + rows x columns x bin
    per_round = trees x (tree + (rows x columns x scan + rows x move) x levels
                         + leaves x columns x bins x search)

The constants are fitted to 107 runs of XGBoost 3.2, 93 of LightGBM 4.7 and 51 of CatBoost 1.2 on
one thread of a cloud machine: 500 to 100,000 rows, 6 to 120 columns, depths 2 to 10, 7 to 127
leaves, 20 to 300 rounds, 1 to 4 classes. Half of those runs are predicted within a factor of 1.25,
nine in ten within 1.7, all within 2.8. Another machine is faster or slower by a factor, which
measured times correct (`producer.planning.calibration`).
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

# Most levels of a tree: deeper ones have no rows.
_DEEPEST = 60
# XGBoost's exact method has no histograms and sorts every column: seconds per value and level.
_EXACT_SCAN = 4e-8
# Bins if no number is set, in almost all libraries.
_DEFAULT_BINS = 255


@dataclass(frozen=True, kw_only=True)
class TreeCost:
    """A library's seconds for each piece of work, and its parameters that change the work.

    Attributes
    ----------
    start, bin, tree, scan, move, search : float
        As in the formula.
    leaves_a_row : float
        Most leaves per row: small leaves are not split.
    leafwise, uneven : float
        Factors on the cost of a level if trees grow leaf by leaf, and if they could be symmetric
        and are not.
    a_class : float
        Cost of each class after the first, as a share of a tree.
    depth, leaves, bins, columns, rows, others : tuple of str
        Names of the limits of a tree, of the number of bins, of the shares of columns and rows in
        use, and of other parameters that change the cost.
    default_depth, default_leaves : int
        Limits if none is set, the second for trees that grow leaf by leaf; 0 is none. LightGBM's
        always do.
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

    def seconds(self, params: Mapping[str, Any], rows: int, columns: int, classes: int) -> tuple[float, float]:
        """Return the expected seconds of one fit, fixed and per round; more work costs no less."""
        policy = str(params.get("grow_policy") or "").lower()
        leafwise = policy == "lossguide" or not self.default_depth
        leaves = self._leaves(params, rows, leafwise=leafwise)
        levels = math.log2(leaves) * (self.leafwise if leafwise else 1.0)
        scan = self.scan * (self.uneven if policy in {"lossguide", "depthwise"} else 1.0)
        bins = min(max(_first(params, self.bins, _DEFAULT_BINS), 1), rows)
        fixed = self.start + rows * columns * self.bin
        if params.get("tree_method") == "exact":
            scan, bins, fixed = _EXACT_SCAN, 0, self.start
        columns_used = columns * math.prod(_part(params.get(name)) for name in self.columns)
        rows_used = rows * self._sampled(params)
        tree = (
            self.tree
            + (rows_used * columns_used * scan + rows * self.move) * levels
            + leaves * columns_used * bins * self.search
        )
        trees = 1.0 if classes <= 2 else 1 + (classes - 1) * self.a_class
        return fixed, tree * trees * max(number_or(params.get("num_parallel_tree"), 1), 1)

    def _leaves(self, params: Mapping[str, Any], rows: int, *, leafwise: bool) -> float:
        """Return the expected number of leaves of a tree: limited by depth, leaves and rows."""
        depth = _first(params, self.depth, self.default_depth)
        leaves = _first(params, self.leaves, self.default_leaves if leafwise else 0)
        most = max(rows * self.leaves_a_row, 2.0)
        if depth > 0:
            most = min(most, 2.0 ** min(depth, _DEEPEST))
        return max(min(most, leaves) if leaves > 0 else most, 2.0)

    def _sampled(self, params: Mapping[str, Any]) -> float:
        """Return the share of rows for a tree; LightGBM samples only if it knows how often."""
        often = [name for name in self.others if name.endswith("_freq")]
        if often and _first(params, often, 0) <= 0:
            return 1.0
        return math.prod(_part(params.get(name)) for name in self.rows)


def number_or(value: Any, default: float) -> float:
    """Return a value if it is a number, else the default; a bool is not a number."""
    return value if isinstance(value, (int, float)) and not isinstance(value, bool) else default


def _first(params: Mapping[str, Any], names: Iterable[str], default: float) -> float:
    """Return the first of some parameters that is a number."""
    return next((value for name in names if (value := number_or(params.get(name), math.nan)) == value), default)


def _part(value: Any) -> float:
    return min(max(number_or(value, 1.0), 0.0), 1.0)
