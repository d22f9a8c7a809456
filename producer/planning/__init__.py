"""Planning a study: expected costs of fits, the order of trials, and the sizes of chunks."""
