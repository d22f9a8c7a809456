"""A worker seen from outside: what it counts, whether it lives, whether it takes chunks."""
