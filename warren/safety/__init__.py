"""What a message, a document or a file may ask for: allow-lists, deny-lists, checks, signatures."""
