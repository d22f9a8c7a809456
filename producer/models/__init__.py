"""Models: trained on all data by a worker, and read back from the formats that `worker.training.models` writes."""
