"""What Warren knows of each library: parameters, aliases, rounds, devices, and what may share a fit."""
