"""TensorBoard for studies: the log folder, the HParams table, live runs and the server."""
