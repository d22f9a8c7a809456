"""The part of scikit-learn's configuration that changes results, and so belongs to a study.

``sklearn.set_config`` applies to its own process. The configuration at submission is set again on
the workers whenever they fit, score or store something of that study
(https://scikit-learn.org/stable/modules/generated/sklearn.set_config.html).
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_serializer

# In MiB; no machine has more.
_MOST_MEMORY = 2**40

Flag = Annotated[bool, Field(strict=True)]


class Configuration(BaseModel):
    """scikit-learn's settings that change results, with scikit-learn's own defaults.

    Environment variables (``SKLEARN_ASSUME_FINITE``, ``SKLEARN_WORKING_MEMORY``) count on the
    machine that submits, not on the workers.

    Attributes
    ----------
    assume_finite : bool
        Whether to skip the check for NaN and infinity in data.
    working_memory : float
        MiB for temporary arrays: distances are computed in pieces of this size, which changes how
        sums are rounded.
    pairwise_dist_chunk_size : int
        Rows of such a piece in scikit-learn's compiled distances.
    enable_cython_pairwise_dist : bool
        Whether to use those compiled distances.
    array_api_dispatch : bool
        Whether to compute by the array API; some estimators then compute differently, also for
        NumPy's arrays.
    transform_output : {"default", "pandas", "polars"}
        The container that transformers return.
    enable_metadata_routing : bool
        Whether sample weights go to every object that requests them.
    skip_parameter_validation : bool
        Whether a fit skips the check of its parameters.
    sparse_interface : {"spmatrix", "sparray"}
        The kind of sparse data that transformers return; since scikit-learn 1.9.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    assume_finite: Flag = False
    working_memory: Annotated[int | float, Field(ge=0, le=_MOST_MEMORY)] = 1024
    pairwise_dist_chunk_size: Annotated[int, Field(ge=1, le=2**31 - 1, strict=True)] = 256
    enable_cython_pairwise_dist: Flag = True
    array_api_dispatch: Flag = False
    transform_output: Literal["default", "pandas", "polars"] = "default"
    enable_metadata_routing: Flag = False
    skip_parameter_validation: Flag = False
    sparse_interface: Literal["spmatrix", "sparray"] = "spmatrix"

    @model_serializer
    def changed(self) -> dict[str, Any]:
        """Return the settings that differ from the defaults, so that new ones change no study."""
        fields = type(self).model_fields
        return {name: value for name, value in vars(self).items() if value != fields[name].default}


NO_RESULT = frozenset({"print_changed_only", "display"})
"""Settings that change how estimators are shown, but no result."""
