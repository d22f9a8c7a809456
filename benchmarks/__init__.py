"""Figures from real runs; README.md in this folder has the method and the limitations."""
