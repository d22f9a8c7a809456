"""One chunk, from its message to its acknowledgement: checks, progress, results, failures."""
