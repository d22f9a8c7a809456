"""Queue to fits to results. A worker knows nothing of notebooks and nothing of Kubernetes."""
