"""The grid: its points, how they are split, and how columns of parameters are stored."""
