"""Models of a study: trained on all data by a worker, checked, loaded and exported."""
