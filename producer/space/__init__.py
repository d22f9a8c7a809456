"""Parameter spaces: grids, their points and numbering, and their encoding."""
