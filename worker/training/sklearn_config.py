"""Apply a study's scikit-learn configuration while its trials are evaluated."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import sklearn

from warren.errors import InputError
from warren.sklearn_config import Configuration


@contextmanager
def configured(configuration: Configuration) -> Iterator[None]:
    """Set scikit-learn's configuration to that of the study, and restore it afterwards.

    Parameters
    ----------
    configuration : Configuration
        All of it is set: environment variables of this process affect no study.

    Raises
    ------
    InputError
        A setting can't be used here: scikit-learn is too old for it, or SciPy was loaded without
        it.
    """
    known, changed = sklearn.get_config().keys(), configuration.changed()
    if unknown := changed.keys() - known:
        raise InputError(
            f"scikit-learn {sklearn.__version__} on this worker has no setting {min(unknown)}="
            f"{changed[min(unknown)]!r}: update it, or submit without"
        )
    context = sklearn.config_context(**{name: value for name, value in configuration if name in known})
    with ExitStack() as stack:
        try:
            stack.enter_context(context)
        except (ImportError, RuntimeError) as exc:  # array_api_dispatch must be set before SciPy is loaded
            why = " ".join(str(exc).split())
            raise InputError(f"{changed} can't be set on this worker: {why}") from exc
        yield
