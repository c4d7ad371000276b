"""Keys and queries in one byte a dimension, with a proven bound on what that costs a score.

Placed as for the float32 product (pipeline.search.panels), with a, b the query and the key less the centre, times the
scale, and S = |b|^2 - 2ab (for the cosine plus an offset of the key) the score that orders keys. Each vector is rounded
to whole multiples of a step of its own, a^ and b^, of which the largest is 127. What rounding took away, a - a^ and
b - b^, is known, so

    |ab - a^b^| = |(a - a^) b + a^ (b - b^)| <= |a - a^| |b| + |a^| |b - b^|,

and a^b^ is an integer, exact in int32, times two steps. With E = 2 |a - a^| |b| + 2 |a^| |b - b^| and what the float32
formula itself rounds, |b|^2 - 2a^b^ - E is a lower bound of S and 2 E more an upper one. The roundings: six, each at
most 2^-24 of a number at most |b|^2 + |offset| + 14 |a||b|, as |a^| <= 2|a| and |b - b^| <= |b|. `slack` times |b| is
above their sum, where again the root of |b|^2 + |offset| takes the place of |b|.

Example: of 512 independent normals a byte keeps all but 0.7 % of the length, and E is 3 % of |a||b|, which leaves one
key in a hundred.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float32, Float64, Int8, Int32, UInt8

from pipeline.machine.compiled import compiled
from pipeline.search.panels import EPS32, EPS64, FAR, UNDERFLOW, place
from pipeline.search.shortlist import NEVER
from pipeline.search.vnni import DEPTH, KEYS, QUERIES

MIDDLE = 128  # what is added to a key's byte: one side of the instruction has no sign
LARGEST = 127  # byte
LEAST = 2.0**-80  # a vector closer to the centre than this in every coordinate is all residue
LINE = 64  # bytes of a register and of a cache line


@dataclass(frozen=True)
class ByteKeys:
    """The keys as one side of the byte product.

    centre, scale, length: as in pipeline.search.panels.Panels; so is largest, of `norms`.
    codes: (panels, steps, KEYS, DEPTH) uint8, the bytes plus MIDDLE: of 48 keys the first four dimensions, then the
        next four. Missing keys and dimensions are zeros.
    order: (n,) int32, the row of the key at each place. Rows are spread, so that the first keys of the panels stand for
        all of them, however rows that lie side by side resemble each other.
    facts: (panels, 4, KEYS) float32: each key's step, |b|^2 + offset (NEVER where there is no key), |b - b^|, and the
        root of |b|^2 + |offset|.
    offsets: (n,) for the cosine, 1 - |v|^2 of each key times the square of the scale; else zeros.
    """

    centre: Float64[np.ndarray, "d"]
    scale: float
    length: float
    largest: float
    order: Int32[np.ndarray, "n"]
    codes: UInt8[np.ndarray, "panels steps keys 4"]
    facts: Float32[np.ndarray, "panels 4 keys"]
    offsets: Float64[np.ndarray, "n"]


@dataclass(frozen=True)
class ByteQueries:
    """A tile of queries as the other side, padded to whole blocks.

    codes: (blocks, steps, QUERIES, DEPTH) int8.
        m is the number of queries, m_ that of all places for them.
    starts: (m_,) int32, what sets off MIDDLE in each product.
    asked: (m_, 3) float32: minus two steps, -2 |a^|, and -2 |a - a^| with the slack.
    squares: (m,) |a|^2.
    pads: (m,) float32 underflow and the roundings of the float64 order.
    far: (m,) whether float32 says nothing about the query; it has no bytes then.
    """

    codes: Int8[np.ndarray, "blocks steps queries 4"]
    starts: Int32[np.ndarray, "m_"]
    asked: Float32[np.ndarray, "m_ 3"]
    squares: Float64[np.ndarray, "m"]
    pads: Float64[np.ndarray, "m"]
    far: Bool[np.ndarray, "m"]


def pack_bytes(keys: Float32[np.ndarray, "n d"], cosine: bool = False) -> ByteKeys:
    """Keys (n, d), n >= 1, ready to be multiplied; of length one or zero for the cosine."""
    n, d = keys.shape
    centre, scale, _ = place(keys, cosine)
    panels, steps = -(-n // KEYS), -(-d // DEPTH)
    codes = _aligned((panels, steps, KEYS, DEPTH), np.uint8)
    codes[:] = MIDDLE
    facts = _aligned((panels, 4, KEYS), np.float32)
    facts[:, 1] = NEVER
    offsets = np.empty(n)
    order = _spread_rows(n)
    _pack_keys(keys, order, centre, scale, cosine, codes, facts, offsets)
    largest = float(facts[:, 3].max())
    return ByteKeys(centre, scale, 2 * scale if cosine else 0.0, largest, order, codes, facts, offsets)


def _spread_rows(n: int) -> Int32[np.ndarray, "n"]:
    """All rows, in steps of the golden section: the first of them, however many, lie evenly among all."""
    step = next(step for step in range(round(0.618034 * n) or 1, 2 * n + 1) if math.gcd(step, n) == 1)
    return (np.arange(n) * step % n).astype(np.int32)


def byte_side(queries: Float32[np.ndarray, "m d"], keys: ByteKeys) -> ByteQueries:
    """Queries (m, d), ready to be multiplied with the keys."""
    m, d = queries.shape
    blocks = -(-m // QUERIES)
    codes = np.zeros((blocks, keys.codes.shape[1], QUERIES, DEPTH), dtype=np.int8)
    starts = np.zeros(blocks * QUERIES, dtype=np.int32)
    asked = np.zeros((blocks * QUERIES, 3), dtype=np.float32)
    norms = _pack_queries(queries, keys.centre, keys.scale, keys.largest, 1.1 * EPS32, FAR, codes, starts, asked)
    pads = 4 * (d + 3) * EPS64 * (np.square(norms + keys.largest) + keys.length**2) + UNDERFLOW
    return ByteQueries(codes, starts, asked, np.square(norms), pads, norms > FAR)


def _aligned(shape: tuple[int, ...], dtype: type) -> np.ndarray:
    """Zeros that begin at a cache line."""
    size = int(np.prod(shape)) * np.dtype(dtype).itemsize
    memory = np.zeros(size + LINE, dtype=np.uint8)
    start = -memory.ctypes.data % LINE
    return memory[start : start + size].view(dtype).reshape(shape)


@compiled()
def _up(value: float) -> np.float32:
    """A float32 above a float64 >= 0 and all that rounding may have taken from it."""
    return np.nextafter(np.float32(value * (1 + 1e-12)), np.float32(np.inf))


@compiled(fastmath={"reassoc", "contract", "nsz"})
def _round(moved: Float64[np.ndarray, "d"], codes: Float64[np.ndarray, "d"]) -> tuple[np.float32, float, float]:
    """Whole numbers of a step for a vector (d,), into `codes`; the step, and the lengths of both and of what is left.

    The step is a float32 number, so the product with it is exact in float64, and the residue is within 2^-53 of itself.
    """
    d = moved.size
    peak = 0.0
    for j in range(d):
        peak = max(peak, abs(moved[j]))
    step = np.float32(0) if peak < LEAST else _up(peak / LARGEST)
    inverse = 0.0 if step == 0 else 1 / np.float64(step)
    kept = 0.0
    left = 0.0
    for j in range(d):
        code = np.rint(moved[j] * inverse)
        codes[j] = code
        residue = moved[j] - code * np.float64(step)
        kept += code * code
        left += residue * residue
    return step, np.float64(step) * np.sqrt(kept), np.sqrt(left)


@compiled(fastmath={"reassoc", "contract", "nsz"})
def _pack_keys(
    keys: Float32[np.ndarray, "n d"],
    order: Int32[np.ndarray, "n"],
    centre: Float64[np.ndarray, "d"],
    scale: float,
    cosine: bool,
    codes: UInt8[np.ndarray, "panels steps keys 4"],
    facts: Float32[np.ndarray, "panels 4 keys"],
    offsets: Float64[np.ndarray, "n"],
) -> None:
    n, d = keys.shape
    moved = np.empty(d)
    rounded = np.empty(d)
    for at in range(n):
        i = order[at]
        square = 0.0
        length = 0.0
        for j in range(d):
            x = np.float64(keys[i, j])
            moved[j] = (x - centre[j]) * scale
            square += moved[j] * moved[j]
            length += x * x
        offsets[i] = (1 - length) * scale * scale if cosine else 0.0
        step, _, left = _round(moved, rounded)
        panel, column = at // facts.shape[2], at % facts.shape[2]
        for j in range(d):
            codes[panel, j // 4, column, j % 4] = np.uint8(np.int64(rounded[j]) + MIDDLE)
        facts[panel, 0, column] = step
        facts[panel, 1, column] = square + offsets[i]
        facts[panel, 2, column] = _up(left)
        facts[panel, 3, column] = _up(np.sqrt(square + abs(offsets[i])))


@compiled(fastmath={"reassoc", "contract", "nsz"})
def _pack_queries(
    queries: Float32[np.ndarray, "m d"],
    centre: Float64[np.ndarray, "d"],
    scale: float,
    largest: float,
    epsilon: float,
    far: float,
    codes: Int8[np.ndarray, "blocks steps queries 4"],
    starts: Int32[np.ndarray, "m_"],
    asked: Float32[np.ndarray, "m_ 3"],
) -> Float64[np.ndarray, "m"]:
    """Fill codes and facts of the queries (bytes of none whose norm is above `far`); return |a| of each."""
    m, d = queries.shape
    norms = np.empty(m)
    moved = np.empty(d)
    rounded = np.empty(d)
    for i in range(m):
        square = 0.0
        for j in range(d):
            moved[j] = (np.float64(queries[i, j]) - centre[j]) * scale
            square += moved[j] * moved[j]
        norms[i] = np.sqrt(square)
        if norms[i] > far:
            continue
        step, kept, left = _round(moved, rounded)
        block, column = i // codes.shape[2], i % codes.shape[2]
        total = np.int64(0)
        for j in range(d):
            code = np.int64(rounded[j])
            codes[block, j // 4, column, j % 4] = code
            total += code
        starts[i] = -MIDDLE * total
        slack = 8 * epsilon * (largest + 14 * norms[i])
        asked[i, 0] = -2 * step
        asked[i, 1] = -_up(2 * kept)
        asked[i, 2] = -_up(2 * left + slack)
    return norms
