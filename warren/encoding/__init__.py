"""Values, estimators and data frames as JSON and bytes, and back: what messages and documents are made of."""
