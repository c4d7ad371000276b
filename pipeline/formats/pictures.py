"""Pictures of observations, made smaller."""

from __future__ import annotations

import functools

import numpy as np
from jaxtyping import Float32, UInt8

from pipeline.machine.threads import one_blas_thread


def scaled(pictures: UInt8[np.ndarray, "t h w"], height: int, width: int) -> UInt8[np.ndarray, "t height width"]:
    """Each pixel is the mean of the area that it covers, as OpenCV's INTER_AREA to within a grey level."""
    down, across = _shares(pictures.shape[1], height), _shares(pictures.shape[2], width)
    blocks = [pictures[first : first + 256] for first in range(0, len(pictures), 256)]
    with one_blas_thread():  # for such small products threads cost ten times what they compute
        made = [np.rint(down @ block.astype(np.float32) @ across.T).astype(np.uint8) for block in blocks]
    return np.concatenate(made) if made else np.zeros((0, height, width), np.uint8)


@functools.lru_cache(maxsize=16)
def _shares(pixels: int, cells: int) -> Float32[np.ndarray, "cells pixels"]:
    """Of a line of pixels, what each of so many cells of equal size covers; the shares of a cell add up to 1."""
    edges = np.arange(cells + 1) * (pixels / cells)
    pixel = np.arange(pixels)
    covered = np.minimum(pixel + 1, edges[1:, np.newaxis]) - np.maximum(pixel, edges[:-1, np.newaxis])
    shares = np.clip(covered, 0, None)
    return (shares / shares.sum(axis=1, keepdims=True)).astype(np.float32)
