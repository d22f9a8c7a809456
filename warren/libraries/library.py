"""What Warren knows of one library: the record that each library's file fills in. No library is imported.

A boosted model of 500 rounds contains the model of its first 100, so trials that differ in the number of rounds alone
need one fit. A network of 20 epochs was that of 10 on its way, if its weights are kept then. That holds only where no
parameter makes a round depend on how many there will be. `Library` names the parameters, and the values of some, under
which the first rounds were compared with separate fits bit for bit; a trial with any other parameter is fitted alone.
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
    """What a fit is expected to cost on one thread."""

    @property
    def names(self) -> frozenset[str]:
        """Parameters that change the cost, apart from those for the number of rounds."""

    def seconds(self, params: Mapping[str, Any], rows: int, columns: int, classes: int) -> tuple[float, float]:
        """Return the expected seconds of one fit: once, and for each round.

        Parameters
        ----------
        params : mapping
            Encoded parameters; what is no number where one belongs counts as not set.
        rows : int
            Training rows.
        columns : int
            Values of a row; of images the pixels of all channels.
        classes : int
            0 where there are none.
        """


@dataclass(frozen=True, kw_only=True)
class DeviceParameter:
    """A parameter that says where fits run.

    Attributes
    ----------
    gpu : re.Pattern
        Its values that ask for a GPU; libraries take either case.
    cpu : str
        Its value that asks for the CPU.
    only : bool
        It says nothing else.
    unless : str
        The library ignores it where this parameter is set.
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
    """Since which release something is deprecated, and what to use in its place."""

    since: tuple[int, int]
    instead: str


@dataclass(frozen=True, kw_only=True)
class Library:
    """What is known of one library that trains round by round. A subclass overrides a method where its rules differ.

    Attributes
    ----------
    package : str
        As messages and documents name it.
    title : str
        As people write its name.
    classes : frozenset of str
        Dotted names of the estimators that are trained round by round.
    rounds : tuple of str
        Names for the number of rounds; of several that are set, the first counts.
    default_rounds : int
        Rounds where none of these is set.
    threads : tuple of str
        Names for the number of threads. A worker sets the first, and leaves out the others.
    free : frozenset of str
        Parameters that touch neither the binned data nor whether a fit can be shared.
    binning : frozenset of str
        Parameters that touch the binned data, and not whether a fit can be shared.
    only : mapping of str to tuple
        Parameters with the values under which a fit can be shared.
    required : frozenset of str
        One of these must be set and not be None, or the fit is not shared.
    early_stopping : mapping of str to tuple
        Names that ask for early stopping, with the values that do not.
    devices : mapping of str to DeviceParameter
        Parameters that say where fits run. No two libraries may use a name in different senses.
    on_gpu : tuple of (str, str)
        The parameter and value that send a fit to a GPU.
    only_gpu : mapping of str to (int or str)
        Parameters that choose among GPUs, or say how many, with what they are where there is one.
    cost : CostFormula
        Of one fit.
    quiet : mapping of str to object
        Parameters that stop it from printing; none of them changes a number.
    verbosity : frozenset of str
        If the user sets one of these, and not to None, `quiet` sets none of them.
    fixed : mapping of str to object
        Parameters that no user has a say in: without them it would write files.
    native : frozenset of str
        Parameters that its classes pass on besides those of their constructors, rounds left out.
    refused : mapping of str to Rule
        Parameters that reach a file, a socket or code, those of its core and every alias included.
    labelled : frozenset of str
        Parameters whose values may be dicts with keys that are classes or columns.
    deprecated : mapping of str to Deprecation
        Classes, and parameters with their values (``booster='dart'``), that a later release will
        drop.
    object_labels : bool
        Its classifiers take numbers of dtype object for labels.
    fraction_labels : bool
        Its classifiers take fractions for labels: probabilities, where the loss is cross entropy.
    counted_labels : bool
        Its classifiers take no labels but 0, 1, 2 and so on.
    draws_seed : bool
        Whether an instance draws a number from a generator that is its ``random_state`` when it is
        asked for its parameters.
    aliases : tuple of tuples of str
        Names of one parameter each.
    distributions : mapping of str to tuple of str
        What to record the version of, with the names of the distributions that it may come from; empty for the package
        itself.
    base_class : tuple of (str, str) or None
        Module and name of the class whose ``set_params`` its estimators inherit, where that is not scikit-learn's.
    matrices : tuple of (str, str)
        Modules and names of the classes that hold its data; they must open no file.
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
        """Return every parameter that an instance takes, aliases included; None where its library takes any name."""
        return self.native.union(estimator.get_params(deep=True))

    def alias_groups(self) -> Iterable[Collection[str]]:
        """Return the groups of names of one parameter each."""
        return self.aliases

    def set_by_user(self, estimator: Any) -> frozenset[str]:
        """Return the names of an instance's parameters that the library would see beside a grid's."""
        return frozenset(estimator.get_params(deep=False))

    def overruled_by(self, estimator: Any, name: str) -> str | None:  # noqa: ARG002 - in most libraries nothing is
        """Return the parameter that makes an instance ignore another name for it; None if `name` has an effect."""
        return None

    def check_value(self, name: str, value: Json, where: str, *, sure: bool) -> None:
        """Refuse an encoded value that the library would read as something else than it looks.

        Most libraries check nothing here.

        Parameters
        ----------
        name : str
            The parameter, which `refused` allows to have this value.
        value : Json
        where : str
            What it is, for the error.
        sure : bool
            The parameter is this library's, and no other's.

        Raises
        ------
        InputError
        """


def words(text: str) -> frozenset[str]:
    """Return the words of a text."""
    return frozenset(text.split())


def constructor_names(cls: type) -> frozenset[str]:
    """Return the names of a constructor's parameters, its bases' included where they are passed on as keywords."""
    names: set[str] = set()
    for base in cls.__mro__:
        if base is object or "__init__" not in vars(base):
            continue
        taken = inspect.signature(base).parameters.values()
        names |= {one.name for one in taken if one.kind in (one.POSITIONAL_OR_KEYWORD, one.KEYWORD_ONLY)}
        if all(one.kind is not one.VAR_KEYWORD for one in taken):
            break
    return frozenset(names)
