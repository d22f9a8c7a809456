"""Evaluates one chunk, from its message to its acknowledgement."""
