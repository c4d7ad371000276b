"""Harm that is done to files, for tests that it is noticed."""

from __future__ import annotations

from pathlib import Path


def flip_bit(path: Path, place: float = 0.5) -> None:
    """Change one bit at a place in a file, from 0 for its beginning to 1 for its end."""
    data = bytearray(path.read_bytes())
    data[min(int(place * len(data)), len(data) - 1)] ^= 1
    path.write_bytes(bytes(data))
