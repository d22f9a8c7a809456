"""How models of the boosting libraries are stored: one file per library, and a registry."""
