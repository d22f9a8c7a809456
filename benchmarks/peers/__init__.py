"""Other queues and tuners with trials that do nothing, each with its fastest settings.

Every ``run_*.py`` here is a separate program for the environment ``.venv-peers``. It imports its
peer and `benchmarks.peers.contract`, but not Warren. `benchmarks.peers.launch` runs these programs.
"""
