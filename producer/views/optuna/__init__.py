"""Studies for Optuna: its trials, distributions and a read-only storage."""
