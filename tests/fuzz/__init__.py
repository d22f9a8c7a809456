"""Mutated messages, by the hundred thousand through the decoder and by the ten thousand through
a real worker.

``make fuzz`` runs all of them; `test_fuzz` runs a few with every `make test`.
"""
