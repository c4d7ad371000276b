"""Texts in observations: which spaces hold them, and as arrays of one size, rows of code points and then zeros."""

from __future__ import annotations

from typing import Any

import numpy as np
from gymnasium import spaces
from jaxtyping import UInt32

from pipeline.errors import InvalidInput


def holds_texts(space: spaces.Space[Any]) -> bool:
    """Whether the values of a space are texts; MiniGrid's missions are of a space of its own, which is no Text."""
    return space.dtype is not None and np.dtype(space.dtype).kind == "U"


def code_points(text: str, length: int) -> UInt32[np.ndarray, "length"]:
    """The Unicode code point of each character, then zeros.

    Raises InvalidInput for a longer text, and for one with the character 0, which would look like the zeros at the end.
    """
    if len(text) > length or "\0" in text:
        raise InvalidInput(f"it should have at most {length} characters, none of them the character 0; it is {text!r}")
    row = np.zeros(length, np.uint32)
    row[: len(text)] = [ord(character) for character in text]
    return row


def text_of(row: UInt32[np.ndarray, "length"]) -> str:
    """The text of one row of code points."""
    return "".join(chr(point) for point in row.tolist() if point)
