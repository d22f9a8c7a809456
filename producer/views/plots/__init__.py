"""Plots of a study as plotly figures, drawn by Optuna or by Warren."""
