"""Exact nearest-neighbour search: a float32 shortlist with a proven error bound, then float64 order."""
