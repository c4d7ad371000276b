"""Minari datasets: how they lie on disk, and the reader of all their layouts."""
