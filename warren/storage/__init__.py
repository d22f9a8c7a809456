"""The database: studies, trials, unfinished work, blobs, and what each document looks like."""
