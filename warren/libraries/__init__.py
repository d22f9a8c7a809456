"""Facts about each library: parameters, aliases, rounds, devices, and which trials share a fit."""
