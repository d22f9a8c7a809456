"""Receives messages from the broker: connection, choice of a lane, foreign messages."""
