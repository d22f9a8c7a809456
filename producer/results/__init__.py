"""What is read of a study: status, results, epochs, missing trials, and following it to its end."""
