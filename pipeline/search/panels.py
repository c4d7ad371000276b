"""Keys and queries as the two sides of one float32 matrix product that bounds their scores from below.

With a, b the query and the key after subtracting a centre and multiplying by a power of two, keys are ordered by
S = |b|^2 - 2ab, which is the squared distance less |a|^2. One matrix product of [a, 1, -w] and [-2b, |b|^2, |b|]
gives a float32 lower bound of S: rounding a and b, adding d + 2 terms in any order and rounding |b|^2 cost at most
(d + 16) * 2^-24 * 1.1 * (2|a||b| + |b|^2), which is at most w |b| for w = that factor * (2|a| + largest |b|).
Adding 2 w |b| makes an upper bound. k keys with upper bounds <= u prove that no key with lower bound > u is among
the k nearest. The bound follows each key's own norm, so a far outlier does not loosen it for the others. A small
`pad` per query covers float32 underflow and the roundings of the float64 distance that defines the order.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import cast

import numpy as np
from numpy.typing import NDArray

from pipeline.search.shortlist import NEVER

KEY_TILE = 512  # keys scored together; a multiple of GROUP
GROUP = 8  # consecutive keys whose smallest score is compared with the limit before any of them is looked at

_EPS32 = 2.0**-24
_EPS64 = 2.0**-53
_FAR = 1e12  # norm in units of the widest key coordinate beyond which float32 scores say nothing


@dataclass(frozen=True)
class Panels:
    """The keys as the right-hand side of the score product.

    Column v * (width / GROUP) + g of a panel is its key GROUP * g + v, so that the minimum over a group of
    consecutive keys is an element-wise minimum of GROUP runs of the score row.

    tile_keys: keys of each tile but the last, which may hold fewer and is padded to whole groups.
    """

    centre: NDArray[np.float64]
    scale: float
    norms: NDArray[np.float32]
    largest: float
    tile_keys: int
    tiles: list[NDArray[np.float32]]


def pack(keys: NDArray[np.float32]) -> Panels:
    """Keys (n, d), n >= 1, ready to be scored."""
    n, d = keys.shape
    centre = keys.mean(axis=0, dtype=np.float64)
    starts = range(0, n, KEY_TILE)
    peak = max(float(np.abs(keys[i : i + KEY_TILE] - centre).max()) for i in starts)
    scale = math.ldexp(1.0, -math.frexp(peak)[1])
    norms = np.empty(n, dtype=np.float32)
    tiles = []
    for i in starts:
        block = ((keys[i : i + KEY_TILE] - centre) * scale).astype(np.float32)
        squares = np.square(block, dtype=np.float64).sum(axis=1)
        norms[i : i + len(block)] = _round_up(np.sqrt(squares))
        width = -(-len(block) // GROUP) * GROUP
        tile = np.zeros((d + 2, width), dtype=np.float32)
        tile[:d, : len(block)] = -2 * block.T
        tile[d] = NEVER
        tile[d, : len(block)] = squares
        tile[d + 1, : len(block)] = norms[i : i + len(block)]
        tiles.append(np.ascontiguousarray(tile.reshape(d + 2, -1, GROUP).swapaxes(1, 2)).reshape(d + 2, width))
    return Panels(centre, scale, norms, float(norms.max()), KEY_TILE, tiles)


@dataclass(frozen=True)
class Scored:
    """A query tile as the left-hand side of the score product, with its error terms."""

    left: NDArray[np.float32]
    widths: NDArray[np.float32]
    pads: NDArray[np.float64]
    far: NDArray[np.bool_]


def score_side(queries: NDArray[np.float32], panels: Panels) -> Scored:
    """Queries (m, d), ready to be scored against the keys. Hopelessly far ones are marked and score nothing."""
    m, d = queries.shape
    moved = (queries - panels.centre) * panels.scale
    norms = np.sqrt(np.square(moved).sum(axis=1))
    far = norms > _FAR
    moved[far] = 0
    norms[far] = 0
    left = np.empty((m, d + 2), dtype=np.float32)
    widths = _round_up((d + 16) * _EPS32 * 1.1 * (2 * norms + panels.largest))
    left[:, :d], left[:, d], left[:, d + 1] = moved, 1, -widths
    pads = 4 * (d + 3) * _EPS64 * np.square(norms + panels.largest) + 2.0**-100
    return Scored(left, widths, pads, far)


def _round_up(values: NDArray[np.float64]) -> NDArray[np.float32]:
    return cast(NDArray[np.float32], np.nextafter(values.astype(np.float32), np.float32(np.inf)))
