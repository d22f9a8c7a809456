"""The command line: ``warren``."""

from producer.cli.app import main

__all__ = ["main"]
