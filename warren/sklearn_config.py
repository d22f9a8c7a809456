"""What of scikit-learn's configuration changes results, and so belongs to a study.

``sklearn.set_config`` holds for the process it is called in. What is set where a study is submitted is set again on the
workers, around everything that they fit, score and keep of that study
(https://scikit-learn.org/stable/modules/generated/sklearn.set_config.html).
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_serializer

# MiB: more than any machine has.
_MOST_MEMORY = 2**40

Flag = Annotated[bool, Field(strict=True)]


class Configuration(BaseModel):
    """scikit-learn's settings that change what a fit or a score gives, with scikit-learn's own defaults.

    A setting of a process's environment (``SKLEARN_ASSUME_FINITE``, ``SKLEARN_WORKING_MEMORY``) counts where the study
    is submitted, and not where it is evaluated.

    Attributes
    ----------
    assume_finite : bool
        Look for no NaN and infinity in data.
    working_memory : float
        MiB of temporary arrays: distances are computed in pieces of so much, and sums of other pieces round otherwise.
    pairwise_dist_chunk_size : int
        Rows of such a piece, where scikit-learn's compiled distances work.
    enable_cython_pairwise_dist : bool
        Whether these work at all.
    array_api_dispatch : bool
        Compute by the array API, which takes other ways through some estimators for NumPy's arrays too.
    transform_output : {"default", "pandas", "polars"}
        What transformers return.
    enable_metadata_routing : bool
        Sample weights go to whoever asks for them.
    skip_parameter_validation : bool
        Parameters out of range are not refused before the fit.
    sparse_interface : {"spmatrix", "sparray"}
        What kind of sparse data transformers return; scikit-learn 1.9 and later.
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
        """Return what differs from scikit-learn's defaults; a setting that comes later is no part of older studies."""
        fields = type(self).model_fields
        return {name: value for name, value in vars(self).items() if value != fields[name].default}


NO_RESULT = frozenset({"print_changed_only", "display"})
"""Settings that change how estimators are shown, and no result."""
