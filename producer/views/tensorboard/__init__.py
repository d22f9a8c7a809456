"""TensorBoard over studies: its log folder, HParams, runs while they train, and the server."""
