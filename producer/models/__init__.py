"""Models: trained on all data by a worker, and read back from the formats that `worker.training.models` writes."""

from producer.models.loading import load
from producer.models.training import fitted_model

__all__ = ["fitted_model", "load"]
