"""The facts about one library: a record that each library's file fills in. It imports none.

A boosted model of 500 rounds contains the model of its first 100, so trials that differ only in the
number of rounds need one fit. A network of 20 epochs was the network of 10 after 10 epochs, if its
weights are kept then. This is true only if no parameter makes a round depend on their number.
`Library` names the parameters, and the values of some, for which the first rounds were compared
with separate fits bit for bit; a trial with any other parameter is fitted separately.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol, TypeAlias

from warren.libraries.rule import Json, Rule

ModuleAndClass: TypeAlias = tuple[str, str]


class CostFormula(Protocol):
    """The expected cost of a fit on one thread."""

    @property
    def names(self) -> frozenset[str]:
        """Parameters that change the cost, without those for the number of rounds."""

    def seconds(self, params: Mapping[str, Any], rows: int, columns: int, classes: int) -> tuple[float, float]:
        """Return the expected seconds of one fit: fixed, and for each round.

        Parameters
        ----------
        params : mapping
            Encoded parameters; a value of a wrong type counts as not set.
        rows : int
            Training rows.
        columns : int
            Values of a row; for images, the pixels of all channels.
        classes : int
            0 if there are none.
        """


@dataclass(frozen=True, kw_only=True)
class DeviceParameter:
    """A parameter that chooses where fits run.

    Attributes
    ----------
    gpu : re.Pattern
        Its values that ask for a GPU; libraries accept upper and lower case.
    cpu : str
        Its value that asks for the CPU.
    only : bool
        Whether it has no other purpose.
    unless : str
        The library ignores it if this parameter is set.
    """

    gpu: re.Pattern[str]
    cpu: str
    only: bool = True
    unless: str = ""


def gpu_values(pattern: str) -> re.Pattern[str]:
    """Return the pattern of a parameter's values that ask for a GPU."""
    return re.compile(pattern, re.IGNORECASE | re.ASCII)


DEVICE_ON_GPU = gpu_values(r"(cuda|gpu)(:\d+)?")
"""Values of the parameter ``device``, which several libraries have."""


class Deprecation(NamedTuple):
    """The release that deprecated something, and what to use instead."""

    since: tuple[int, int]
    instead: str


@dataclass(frozen=True, kw_only=True)
class Library:
    """The facts about one library that trains in rounds; subclasses override methods.

    Attributes
    ----------
    package : str
        As in messages and documents.
    title : str
        As people write its name.
    classes : frozenset of str
        Dotted names of the estimators that are trained in rounds.
    rounds : tuple of str
        Names for the number of rounds; if several are set, the first counts.
    default_rounds : int
        Rounds if none of these is set.
    threads : tuple of str
        Names for the number of threads. A worker sets the first, and removes the others.
    free : frozenset of str
        Parameters that change neither the binned data nor whether a fit can be shared.
    binning : frozenset of str
        Parameters that change the binned data, but not whether a fit can be shared.
    only : mapping of str to tuple
        Parameters with the values for which a fit can be shared.
    required : frozenset of str
        One of these must be set to other than None, or the fit is not shared.
    early_stopping : mapping of str to tuple
        Names that ask for early stopping, with the values that do not.
    devices : mapping of str to DeviceParameter
        Parameters that choose where fits run. No two libraries may use a name with different
        meanings.
    on_gpu : tuple of (str, str)
        The parameter and value that run a fit on a GPU.
    only_gpu : mapping of str to (int or str)
        Parameters that choose GPUs or their number, with their value for a single GPU.
    cost : CostFormula
        Of one fit.
    quiet : mapping of str to object
        Parameters that switch off its output; none of them changes a result.
    verbosity : frozenset of str
        If the user sets one of these to other than None, none of `quiet` is set.
    fixed : mapping of str to object
        Parameters that a worker always sets: with other values the library would write files.
    native : frozenset of str
        Parameters that its classes pass on besides those of their constructors, without rounds.
    refused : mapping of str to Rule
        Parameters that reach a file, a socket or code, with all aliases and those of its core.
    labelled : frozenset of str
        Parameters whose values may be dicts with classes or columns as keys.
    deprecated : mapping of str to Deprecation
        Classes, and parameters with their values (``booster='dart'``), that a later release will
        remove.
    object_labels : bool
        Whether its classifiers accept numbers of dtype object as labels.
    fraction_labels : bool
        Whether its classifiers accept fractions as labels: probabilities, if the loss is cross
        entropy.
    counted_labels : bool
        Whether its classifiers accept only the labels 0, 1, 2 and so on.
    draws_seed : bool
        Whether ``get_params`` of an instance draws a number if its ``random_state`` is a generator.
    aliases : tuple of tuples of str
        Groups of names of the same parameter.
    distributions : mapping of str to tuple of str
        Packages whose version to record, with the distributions that may contain them; empty for
        the package itself.
    base_class : tuple of (str, str) or None
        Module and name of the class whose ``set_params`` its estimators inherit; None is
        scikit-learn's.
    matrices : tuple of (str, str)
        Modules and names of the classes that hold its data; they must not open files.
    """

    package: str
    title: str
    classes: frozenset[str]
    rounds: tuple[str, ...]
    default_rounds: int
    threads: tuple[str, ...] = ()
    free: frozenset[str]
    binning: frozenset[str] = frozenset()
    only: Mapping[str, tuple[Any, ...]]
    required: frozenset[str] = frozenset()
    early_stopping: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)
    devices: Mapping[str, DeviceParameter]
    on_gpu: tuple[str, str]
    only_gpu: Mapping[str, int | str] = field(default_factory=dict)
    cost: CostFormula
    quiet: Mapping[str, Any] = field(default_factory=dict)
    verbosity: frozenset[str] = frozenset()
    fixed: Mapping[str, Any] = field(default_factory=dict)
    native: frozenset[str] = frozenset()
    refused: Mapping[str, Rule] = field(default_factory=dict)
    labelled: frozenset[str] = frozenset()
    deprecated: Mapping[str, Deprecation] = field(default_factory=dict)
    object_labels: bool = True
    fraction_labels: bool = False
    counted_labels: bool = False
    draws_seed: bool = False
    aliases: tuple[tuple[str, ...], ...] = ()
    distributions: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    base_class: ModuleAndClass | None = None
    matrices: tuple[ModuleAndClass, ...] = ()

    def known_names(self, estimator: Any) -> frozenset[str] | None:
        """Return every parameter of an instance, aliases included; None if any name is accepted."""
        return self.native.union(estimator.get_params(deep=True))

    def alias_groups(self) -> Iterable[Collection[str]]:
        """Return the groups of names of the same parameter."""
        return self.aliases

    def set_by_user(self, estimator: Any) -> frozenset[str]:
        """Return an instance's parameters that the library would see in addition to a grid's."""
        return frozenset(estimator.get_params(deep=False))

    def overruled_by(self, estimator: Any, name: str) -> str | None:  # noqa: ARG002 - in most libraries nothing is
        """Return the parameter that makes an instance ignore another name for it, or None."""
        return None

    def check_value(self, name: str, value: Json, where: str, *, sure: bool) -> None:
        """Refuse an encoded value that the library would read differently from how it looks.

        Most libraries check nothing here.

        Parameters
        ----------
        name : str
            The parameter, for which `refused` allows this value.
        value : Json
        where : str
            The parameter's name in the error.
        sure : bool
            Whether the parameter can only be this library's.

        Raises
        ------
        InputError
        """


def words(text: str) -> frozenset[str]:
    """Return the words of a text."""
    return frozenset(text.split())


def constructor_names(cls: type) -> frozenset[str]:
    """Return a constructor's parameters, with those of base classes that it passes keywords to."""
    names: set[str] = set()
    for base in cls.__mro__:
        if base is object or "__init__" not in vars(base):
            continue
        taken = inspect.signature(base).parameters.values()
        names |= {one.name for one in taken if one.kind in (one.POSITIONAL_OR_KEYWORD, one.KEYWORD_ONLY)}
        if all(one.kind is not one.VAR_KEYWORD for one in taken):
            break
    return frozenset(names)
