"""Keys and queries as the two sides of one float32 matrix product that bounds their scores from below.

With a, b the query and the key after subtracting a centre and multiplying by a power of two, keys are ordered by
S = |b|^2 - 2ab, which is the squared distance less |a|^2. One matrix product of [a, 1, -w] and [-2b, |b|^2, |b|]
gives a float32 lower bound of S: rounding a and b, adding d + 2 terms in any order and rounding |b|^2 cost at most
(d + 16) * 2^-24 * 1.1 * (2|a||b| + |b|^2), which is at most w |b| for w = that factor * (2|a| + largest |b|).
Adding 2 w |b| makes an upper bound. k keys with upper bounds <= u prove that no key with lower bound > u is among
the k nearest. The bound follows each key's own norm, so a far outlier does not loosen it for the others. A small
`pad` per query covers float32 underflow and the roundings of the float64 distance that defines the order.

For the cosine, keys are ordered by -2uv of vectors of length one. As |u - v|^2 = |u|^2 + |v|^2 - 2uv and differences do
not feel the centre, that is S + 1 - |v|^2, less a constant of the query. The offset 1 - |v|^2 is what rounding v to
float32 did to its length, or 1 for a zero vector. It is added to |b|^2 in float64, and the root of |b|^2 + |offset|
takes the place of |b| where |b| measures the error: w times that root is at least the factor above times
(2|a||b| + |b|^2 + |offset|).

Where keys and query are whole numbers, as of a grid world, and the centre is one, every term is a multiple of one unit,
the scale's square. While 2|a||b| + |b|^2 stays below 2^24 of these units, any sum of terms is exact: w and pad are 0.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float32, Float64

from pipeline.machine.compiled import compiled
from pipeline.search.shortlist import NEVER

KEY_TILE = 512  # keys scored together; a multiple of GROUP
KEYS = 48  # of a strip
GROUP = 8  # consecutive keys whose smallest score is compared with the limit before any of them is looked at
LARGEST_COSINE_SCALE = 20  # power of two; a closer crowd of unit vectors than this is told apart by its roundings

EPS32 = 2.0**-24
EPS64 = 2.0**-53
FAR = 1e12  # norm in units of the widest key coordinate beyond which float32 scores say nothing
WHOLE = 2.0**22  # whole numbers up to this are exact in float32, and so are their differences
_LINE = 16  # float32 numbers in a line of the cache
UNDERFLOW = 2.0**-100  # more than all that vanishes below the smallest float32 number in one score


@dataclass(frozen=True)
class Placed:
    """How vectors are placed about the keys, and the keys' share of the error.

    centre, scale: what is subtracted from a vector, and the power of two that then multiplies it.
    largest: the largest of the norms.
    length: for the cosine, more than the length of every vector, times the scale; else 0.
    whole: whether keys and centre are whole numbers of moderate size, and the distance is L2.
    offsets: (n,) for the cosine, 1 - |v|^2 of each key times the square of the scale; else zeros.
    norms: (n_,) |b| of each key, for the cosine with the offset: its share of the error. In strips n_ is padded.
    """

    centre: Float64[np.ndarray, "d"]
    scale: float
    largest: float
    length: float
    whole: bool
    offsets: Float64[np.ndarray, "n"]
    norms: Float32[np.ndarray, "n_"]


@dataclass(frozen=True)
class Panels(Placed):
    """The keys as the right-hand side of a score product by BLAS.

    Column v * (width / GROUP) + g of a panel is its key GROUP * g + v, so that the minimum over a group of
    consecutive keys is an element-wise minimum of GROUP runs of the score row.

    tile_keys: keys of each tile but the last, which may hold fewer and is padded to whole groups.
    """

    tile_keys: int
    tiles: list[Float32[np.ndarray, "d+2 _"]]


@dataclass(frozen=True)
class Strips(Placed):
    """The keys as the right-hand side of pipeline.search.strips: KEYS at a time, in order, the last strip padded."""

    strips: Float32[np.ndarray, "strips d+2 48"]


@compiled()
def place(keys: Float32[np.ndarray, "n d"], cosine: bool) -> tuple[Float64[np.ndarray, "d"], float, bool]:
    """A centre of keys (n, d), their mean but for the rounding of whole ones; the power of two that puts the widest
    coordinate about it between 1/2 and 1; whether they and it are whole numbers.
    """
    centre, lowest, highest, whole = _survey(keys)
    whole = whole and not cosine and max(-lowest.min(), highest.max()) <= WHOLE
    peak = 0.0
    for j in range(centre.size):
        if whole:
            centre[j] = np.rint(centre[j])
        peak = max(peak, highest[j] - centre[j], centre[j] - lowest[j])
    exponent = min(-math.frexp(peak)[1], LARGEST_COSINE_SCALE if cosine else 1000)
    return centre, math.ldexp(1.0, exponent), whole


def pack_panels(keys: Float32[np.ndarray, "n d"], cosine: bool = False) -> Panels:
    """Keys (n, d), n >= 1, ready to be scored; of length one or zero for the cosine."""
    n, d = keys.shape
    centre, scale, whole = place(keys, cosine)
    offsets, norms = np.empty(n), np.empty(n, dtype=np.float32)
    tiles = []
    for i in range(0, n, KEY_TILE):
        part = slice(i, i + KEY_TILE)
        groups = -(-len(keys[part]) // GROUP)
        tile = np.zeros((1, d + 2, GROUP, groups), dtype=np.float32)
        _fill(keys[part], centre, scale, cosine, tile, offsets[part], norms[part])
        tiles.append(tile.reshape(d + 2, -1))
    length = 2 * scale if cosine else 0.0
    return Panels(centre, scale, float(norms.max()), length, whole, offsets, norms, KEY_TILE, tiles)


def pack_strips(keys: Float32[np.ndarray, "n d"], cosine: bool = False) -> Strips:
    """The same keys in strips."""
    return Strips(*_pack_strips(keys, cosine))


@compiled()
def _pack_strips(keys: Float32[np.ndarray, "n d"], cosine: bool) -> Any:
    n, d = keys.shape
    centre, scale, whole = place(keys, cosine)
    count = -(-n // KEYS)
    offsets, norms = np.empty(n), np.zeros(count * KEYS, dtype=np.float32)
    strips = np.empty((count, d + 2, KEYS), dtype=np.float32)
    strips[-1] = 0
    _fill(keys, centre, scale, cosine, strips.reshape(count, d + 2, 1, KEYS), offsets, norms)
    length = 2 * scale if cosine else 0.0
    return centre, scale, np.float64(norms.max()), length, whole, offsets, norms, strips


@compiled()
def _survey(
    keys: Float32[np.ndarray, "n d"],
) -> tuple[Float64[np.ndarray, "d"], Float32[np.ndarray, "d"], Float32[np.ndarray, "d"], bool]:
    """The mean of the keys, to rounding, the smallest and the largest of each coordinate, whether all are whole."""
    n, d = keys.shape
    centre = np.zeros(d)
    lowest, highest = keys[0].copy(), keys[0].copy()
    broken = 0
    for i in range(n):
        for j in range(d):
            x = keys[i, j]
            centre[j] += x
            lowest[j] = x if x < lowest[j] else lowest[j]
            highest[j] = x if x > highest[j] else highest[j]
            broken += x != np.rint(x)
    return centre / n, lowest, highest, broken == 0


@compiled(fastmath={"reassoc", "nsz"})
def _fill(
    keys: Float32[np.ndarray, "n d"],
    centre: Float64[np.ndarray, "d"],
    scale: float,
    cosine: bool,
    tiles: Float32[np.ndarray, "tiles d+2 depth groups"],
    offsets: Float64[np.ndarray, "n"],
    norms: Float32[np.ndarray, "n_"],
) -> None:
    """Put the columns of each key into its tile (d + 2, depth, groups), and its share of the error beside.

    Keys that fill one line of the tile's memory together are written together.
    """
    n, d = keys.shape
    count, depth, groups = tiles.shape[0], tiles.shape[2], tiles.shape[3]
    block = np.zeros((_LINE, d), dtype=np.float32)
    for t in range(count):
        tile, before = tiles[t], t * depth * groups
        for v in range(depth):
            for first in range(0, groups, _LINE):
                size = 0
                while size < _LINE and first + size < groups and before + (first + size) * depth + v < n:
                    i = before + (first + size) * depth + v
                    square = 0.0
                    length = 0.0
                    for j in range(d):
                        x = np.float64(keys[i, j])
                        b = np.float32((x - centre[j]) * scale)
                        length += x * x
                        square += np.float64(b) * np.float64(b)
                        block[size, j] = np.float32(-2) * b
                    offsets[i] = (1 - length) * scale * scale if cosine else 0.0
                    norms[i] = np.nextafter(np.float32(np.sqrt(square + abs(offsets[i]))), np.float32(np.inf))
                    tile[d, v, first + size] = square + offsets[i]
                    tile[d + 1, v, first + size] = norms[i]
                    size += 1
                for c in range(first + size, min(first + _LINE, groups)):
                    tile[d, v, c] = NEVER
                if size == _LINE:
                    for j in range(d):
                        for c in range(_LINE):
                            tile[j, v, first + c] = block[c, j]
                else:
                    for j in range(d):
                        for c in range(size):
                            tile[j, v, first + c] = block[c, j]


@dataclass(frozen=True)
class Scored:
    """A query tile as the left-hand side of the score product, with its error terms."""

    left: Float32[np.ndarray, "m_ columns"]
    widths: Float32[np.ndarray, "m"]
    pads: Float64[np.ndarray, "m"]
    far: Bool[np.ndarray, "m"]


def score_side(queries: Float32[np.ndarray, "m d"], keys: Placed, tile: int = 1) -> Scored:
    """Queries (m, d), ready to be scored against the keys. Hopelessly far ones are marked and score nothing.

    tile: zero rows follow on the left until their number is a multiple of it.
    """
    m, d = queries.shape
    left = np.empty((-(-m // tile) * tile, d + 2), dtype=np.float32)
    left[m:] = 0
    widths, pads, far = np.empty(m, dtype=np.float32), np.empty(m), np.empty(m, dtype=np.bool_)
    numbers = (keys.scale, keys.largest, keys.length, keys.whole)
    _side(queries, keys.centre, *numbers, left, widths, pads, far)
    return Scored(left, widths, pads, far)


@compiled(fastmath={"reassoc", "nsz"})
def _side(
    queries: Float32[np.ndarray, "m d"],
    centre: Float64[np.ndarray, "d"],
    scale: float,
    largest: float,
    length: float,
    whole: bool,
    left: Float32[np.ndarray, "m_ columns"],
    widths: Float32[np.ndarray, "m"],
    pads: Float64[np.ndarray, "m"],
    far: Bool[np.ndarray, "m"],
) -> None:
    m, d = queries.shape
    for i in range(m):
        square = 0.0
        broken = 0
        for j in range(d):
            x = queries[i, j]
            moved = (np.float64(x) - centre[j]) * scale
            square += moved * moved
            left[i, j] = moved
            broken += x != np.rint(x)
        norm = np.sqrt(square)
        far[i] = norm > FAR
        if far[i]:
            norm = 0.0
            left[i, :d] = 0
        widths[i] = np.nextafter(np.float32((d + 16) * EPS32 * 1.1 * (2 * norm + largest)), np.float32(np.inf))
        pads[i] = 4 * (d + 3) * EPS64 * ((norm + largest) ** 2 + length * length) + UNDERFLOW
        if whole and broken == 0 and (2 * norm + largest) * largest * 1.001 < scale * scale / EPS32:
            widths[i], pads[i] = 0, 0
        left[i, d], left[i, d + 1] = 1, -widths[i]
