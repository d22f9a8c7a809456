"""Evaluates trials in the training process: data, candidates, fits, scores, models."""
