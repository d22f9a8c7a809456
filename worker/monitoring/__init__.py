"""Reports on a worker to the outside: its metrics, whether it lives, whether it takes chunks."""
