"""A study in the notebook, seen: its card, live or not, its pictures, and Optuna's views of it."""
