"""Chunks on their way to the broker: lanes, the outbox, publisher confirms, signatures of studies."""
