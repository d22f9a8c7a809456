"""How models of the boosting libraries are stored: a file a library, and the list of them."""
