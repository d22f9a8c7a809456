"""Studies as Optuna reads them: trials, distributions, a read-only storage."""
