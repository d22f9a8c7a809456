"""Views of a study: its card, its plots, the Optuna dashboard and TensorBoard."""
