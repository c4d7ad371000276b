"""Which arrays of observations are pictures: the one rule of embeddings, retrieval and pages."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

LEAST_SIDE = 16
"""Pixels; what is smaller is rather a grid of numbers, as MiniGrid's 7 x 7 cells."""
MOST_FRAMES = 16
"""Of a stack."""


def is_picture(shape: Sequence[int], dtype: np.dtype[Any]) -> bool:
    """Whether rows of this shape and dtype are pictures: uint8, with a height and a width of at least 16.

    Height and width are the only two axes, the first two of three (channels last) or the last two (channels, or frames
    of a stack, first). Anything else is numbers, however many axes it has.

    >>> [is_picture(shape, np.dtype(np.uint8)) for shape in ((84, 84), (4, 84, 84), (7, 7, 3), (128,))]
    [True, True, False, False]
    """
    if dtype != np.uint8 or len(shape) not in (2, 3):
        return False
    return min(shape[:2]) >= LEAST_SIDE or min(shape[-2:]) >= LEAST_SIDE
