"""The command line ``warren``: its commands and what they print."""

from producer.cli.app import main

__all__ = ["main"]
