"""What is asked of vectors before a search: that they are finite, and for the cosine of length one."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float32, UInt32

from pipeline.machine.compiled import compiled


@compiled()
def unit_vectors(vectors: Float32[np.ndarray, "n d"]) -> Float32[np.ndarray, "n d"]:
    """Each row (n, d) divided by its length; a zero row stays zero.

    The length is the root of the sum of squares, added in order in float64; the quotient is rounded once to float32.
    """
    n, d = vectors.shape
    units = np.zeros((n, d), dtype=np.float32)
    for i in range(n):
        total = 0.0
        for j in range(d):
            x = np.float64(vectors[i, j])
            total += x * x
        if total > 0:
            length = np.sqrt(total)
            for j in range(d):
                units[i, j] = np.float32(np.float64(vectors[i, j]) / length)
    return units


@compiled()
def first_not_finite(bits: UInt32[np.ndarray, "n d"]) -> int:
    """The first row of float32 numbers, given as words (n, d), that holds an infinity or a NaN; -1 if none does."""
    exponent = np.uint32(0x7F800000)
    for i in range(bits.shape[0]):
        wrong = 0
        for j in range(bits.shape[1]):
            wrong += (bits[i, j] & exponent) == exponent
        if wrong > 0:
            return i
    return -1
