"""The web dashboard: optuna-dashboard's pages and JSON API over a read-only storage."""
