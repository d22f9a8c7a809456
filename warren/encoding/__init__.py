"""Turns values, estimators and data frames into JSON and bytes, and back."""
