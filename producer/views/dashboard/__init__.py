"""The web dashboard: Optuna's pages over a read-only storage, and its JSON."""
