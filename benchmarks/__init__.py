"""Figures from real runs; see README.md beside this for the method and the caveats."""
