"""Other queues and tuners, each at its best with trials that do nothing.

Every ``run_*.py`` here is a program of its own, for the environment ``.venv-peers``: it knows its peer and
`benchmarks.peers.contract`, and nothing of Warren. `benchmarks.peers.launch` runs them from ours.
"""
