"""The training process: how the worker starts, watches and ends it, and their messages."""
