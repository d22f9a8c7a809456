"""The card of a study, in a notebook and a terminal, at once and live."""
