"""The database: studies, trials, unfinished work, blobs, and the form of each document."""
