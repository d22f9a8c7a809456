"""Reading a study: its status, results, epochs and missing trials, and waiting for its end."""
