"""The worker: takes chunks from the queue, trains and scores their trials, stores results."""
