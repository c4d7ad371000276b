"""Ours, a peer and the machine's own limit, timed in one run."""
