"""The training process: how it is started, asked, watched and ended, and the worker's side of that."""
