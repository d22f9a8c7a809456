"""The contract that both sides of the queue share: names, settings, messages, store and data formats."""
