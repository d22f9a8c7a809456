"""Limits what messages, documents and files may ask for: allow-lists, checks, signatures."""
