"""What is published in which order and in which chunks: cost of a fit, order of the trials, sizes of the chunks."""
