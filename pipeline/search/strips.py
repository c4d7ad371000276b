"""Pools of few keys: the float32 product, its bound and the lists of near keys in one compiled call.

A strip is 48 keys side by side. Eight queries are multiplied with every strip of the pool before their scores leave the
cache, and each score row is cut down to a list at once: no step but this one sees a score. The bound is that of
pipeline.search.panels.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import numpy as np
from jaxtyping import Bool, Float32, Float64, Int32, Int64
from llvmlite import ir
from numba import types
from numba.core import cgutils

from pipeline.machine.compiled import compiled, intrinsic
from pipeline.search.panels import KEYS, Strips, score_side
from pipeline.search.pool import DistinctVectors
from pipeline.search.rank import rank_bounded
from pipeline.search.tiles import QUERY_TILE, SPARE, share_tiles

QUERIES = 8  # of a register tile
LANES = 16  # float32 numbers of a register
VECTORS = KEYS // LANES  # 8 x 3 sums, 3 registers of keys and one of a query fit 32 registers

UNLIMITED = np.float32(1e38)  # above every score: scores stay below 1e26
NEVER = np.float32(3e38)  # the score of a hidden key

_I32, _I64, _F32 = ir.IntType(32), ir.IntType(64), ir.FloatType()
_INTS, _FLOATS, _DOUBLES = (ir.VectorType(kind, LANES) for kind in (_I32, _F32, ir.DoubleType()))

_selects = compiled(fastmath={"nnan", "nsz"})


def _at(builder: Any, base: Any, offset: Any, kind: Any) -> Any:
    """A pointer to `kind`, so many 4-byte words behind an address."""
    moved = builder.add(base, builder.mul(offset, ir.Constant(_I64, 4)))
    return builder.inttoptr(moved, kind.as_pointer())


def _spread(builder: Any, value: Any) -> Any:
    """A register with the value in each lane."""
    kind = ir.VectorType(value.type, LANES)
    one = builder.insert_element(ir.Constant(kind, ir.Undefined), value, ir.Constant(_I32, 0))
    return builder.shuffle_vector(one, ir.Constant(kind, ir.Undefined), ir.Constant(_INTS, [0] * LANES))


def _call(builder: Any, name: str, result: Any, *arguments: Any) -> Any:
    kind = ir.FunctionType(result, [each.type for each in arguments])
    return builder.call(cgutils.get_or_insert_function(builder.module, kind, name), arguments)  # type: ignore[no-untyped-call]


@intrinsic
def _multiply(_: Any, left: Any, right: Any, out: Any, steps: Any, width: Any) -> Any:
    """One register tile: KEYS columns of out (QUERIES, width) become left (QUERIES, steps) @ right (steps, KEYS).

    The first three are addresses of float32 numbers.
    """

    def emit(__: Any, builder: Any, ___: Any, arguments: Any) -> None:
        left, right, out, steps, width = arguments
        zeros = ir.Constant(_FLOATS, [0.0] * LANES)
        sums = [[cgutils.alloca_once_value(builder, zeros) for _ in range(VECTORS)] for _ in range(QUERIES)]  # type: ignore[no-untyped-call]
        with cgutils.for_range(builder, steps) as loop:
            line = builder.mul(loop.index, ir.Constant(_I64, KEYS))
            keys = [
                builder.load(_at(builder, right, builder.add(line, ir.Constant(_I64, LANES * v)), _FLOATS), align=4)
                for v in range(VECTORS)
            ]
            for query, own in enumerate(sums):
                number = builder.add(builder.mul(steps, ir.Constant(_I64, query)), loop.index)
                asked = _spread(builder, builder.load(_at(builder, left, number, _F32)))
                for place, key in zip(own, keys, strict=True):
                    product = builder.fmul(key, asked, flags=("contract",))
                    builder.store(builder.fadd(product, builder.load(place), flags=("contract",)), place)
        for query, own in enumerate(sums):
            for vector, place in enumerate(own):
                column = builder.add(builder.mul(width, ir.Constant(_I64, query)), ir.Constant(_I64, LANES * vector))
                builder.store(builder.load(place), _at(builder, out, column, _FLOATS), align=4)

    return types.void(*[types.uintp] * 3, *[types.intp] * 2), emit


def fill_by_strips(
    pool: DistinctVectors,
    keys: Strips,
    queries: Float32[np.ndarray, "q d"],
    ranges: Int64[np.ndarray, "q 2"],
    rows: Int32[np.ndarray, "q k"],
    threads: int,
) -> Int64[np.ndarray, "left"]:
    """Fill the rows of the queries whose lists have room for all near keys; return the numbers of the others."""
    spans = pool.spans(ranges)
    counts = np.empty(len(queries), dtype=np.int64)

    def tiles(starts: Iterator[int], tile: int) -> None:
        for start in starts:
            part = slice(start, start + tile)
            _answer(pool, keys, queries[part], ranges[part], spans[part], counts[part], rows[part])

    share_tiles(tiles, len(queries), QUERY_TILE, threads)
    return np.flatnonzero(counts < 0)


def _answer(
    pool: DistinctVectors,
    keys: Strips,
    queries: Float32[np.ndarray, "m d"],
    ranges: Int64[np.ndarray, "m 2"],
    spans: Int64[np.ndarray, "m 2"],
    counts: Int64[np.ndarray, "m"],
    rows: Int32[np.ndarray, "m k"],
) -> None:
    """Fill the rows of one query tile; a count of -1 says that they are left."""
    m, k = rows.shape
    side = score_side(queries, keys, QUERIES)
    lows, listed = _lists(m, min(len(pool), max(4 * k, k + SPARE)))
    errors = (keys.norms, side.widths, side.pads)
    list_near(side.left, keys.strips, *errors, side.far, spans, ranges, pool.lasts, k, lows, listed, counts)
    rank_bounded(
        *(queries, pool.vectors, pool.cosine, listed, lows, counts, *errors),
        *(ranges, pool.starts, pool.members, rows),
    )


_memory = threading.local()


def _lists(m: int, room: int) -> tuple[Float32[np.ndarray, "m room"], Int32[np.ndarray, "m room"]]:
    """Lists of a tile, in memory that the thread keeps: what is new must be cleared by the system, page by page."""
    if getattr(_memory, "size", 0) < m * room:
        _memory.size = m * room
        _memory.lows, _memory.listed = np.empty(m * room, np.float32), np.empty(m * room, np.int32)
    return _memory.lows[: m * room].reshape(m, room), _memory.listed[: m * room].reshape(m, room)


@intrinsic
def _count(_: Any, scores: Any, registers: Any, limit: Any) -> Any:
    """How many of the scores (registers x LANES) at an address are at or below the limit."""

    def emit(__: Any, builder: Any, ___: Any, arguments: Any) -> None:
        scores, registers, limit = arguments
        limits = _spread(builder, limit)
        total = cgutils.alloca_once_value(builder, ir.Constant(_INTS, [0] * LANES))  # type: ignore[no-untyped-call]
        with cgutils.for_range(builder, registers) as loop:
            offset = builder.mul(loop.index, ir.Constant(_I64, LANES))
            below = builder.fcmp_ordered("<=", builder.load(_at(builder, scores, offset, _FLOATS), align=4), limits)
            builder.store(builder.sub(builder.load(total), builder.sext(below, _INTS)), total)
        count = _call(builder, f"llvm.vector.reduce.add.v{LANES}i32", _I32, builder.load(total))
        return builder.zext(count, _I64)

    return types.intp(types.uintp, types.intp, types.float32), emit


@intrinsic
def _lowest(_: Any, scores: Any, registers: Any) -> Any:
    """The smallest of the scores (registers x LANES) at an address."""

    def emit(__: Any, builder: Any, ___: Any, arguments: Any) -> None:
        scores, registers = arguments
        least = cgutils.alloca_once_value(builder, ir.Constant(_FLOATS, [float(NEVER)] * LANES))  # type: ignore[no-untyped-call]
        with cgutils.for_range(builder, registers) as loop:
            offset = builder.mul(loop.index, ir.Constant(_I64, LANES))
            values = builder.load(_at(builder, scores, offset, _FLOATS), align=4)
            least_so_far = builder.load(least)
            lower = builder.fcmp_ordered("<", values, least_so_far)
            builder.store(builder.select(lower, values, least_so_far), least)
        return _call(builder, f"llvm.vector.reduce.fmin.v{LANES}f32", _F32, builder.load(least))

    return types.float32(types.uintp, types.intp), emit


@intrinsic
def _highest(_: Any, scores: Any, registers: Any, limit: Any, width: Any, norms: Any) -> Any:
    """The largest score + width * norm, in float64, of scores (registers x LANES) at or below the limit, or -inf."""

    def emit(__: Any, builder: Any, ___: Any, arguments: Any) -> None:
        scores, registers, limit, width, norms = arguments
        limits, widths = _spread(builder, limit), _spread(builder, width)
        none = ir.Constant(_DOUBLES, [float("-inf")] * LANES)
        most = cgutils.alloca_once_value(builder, none)  # type: ignore[no-untyped-call]
        with cgutils.for_range(builder, registers) as loop:
            offset = builder.mul(loop.index, ir.Constant(_I64, LANES))
            values, errors = (builder.load(_at(builder, base, offset, _FLOATS), align=4) for base in (scores, norms))
            error = builder.fmul(builder.fpext(errors, _DOUBLES), widths)
            high = builder.fadd(builder.fpext(values, _DOUBLES), error)
            most_so_far = builder.load(most)
            counts = builder.and_(
                builder.fcmp_ordered("<=", values, limits), builder.fcmp_ordered(">", high, most_so_far)
            )
            builder.store(builder.select(counts, high, most_so_far), most)
        return _call(builder, f"llvm.vector.reduce.fmax.v{LANES}f64", ir.DoubleType(), builder.load(most))

    return types.float64(types.uintp, types.intp, types.float32, types.float64, types.uintp), emit


@intrinsic
def _compress(_: Any, scores: Any, registers: Any, limit: Any, lows: Any, listed: Any) -> Any:
    """Copy the scores at or below the limit to `lows` and their numbers to `listed`, all addresses; return how many."""

    def emit(__: Any, builder: Any, ___: Any, arguments: Any) -> None:
        scores, registers, limit, lows, listed = arguments
        limits = _spread(builder, limit)
        count = cgutils.alloca_once_value(builder, ir.Constant(_I64, 0))  # type: ignore[no-untyped-call]
        with cgutils.for_range(builder, registers) as loop:
            first = builder.mul(loop.index, ir.Constant(_I64, LANES))
            values = builder.load(_at(builder, scores, first, _FLOATS), align=4)
            mask = builder.fcmp_ordered("<=", values, limits)
            lanes = ir.Constant(_INTS, list(range(LANES)))
            numbers = builder.add(_spread(builder, builder.trunc(first, _I32)), lanes)
            kept = builder.load(count)
            for kind, name, each, base in ((_FLOATS, "f32", values, lows), (_INTS, "i32", numbers, listed)):
                pointer = builder.bitcast(_at(builder, base, kept, kind), kind.element.as_pointer())
                _call(builder, f"llvm.masked.compressstore.v{LANES}{name}", ir.VoidType(), each, pointer, mask)
            bits = builder.bitcast(mask, ir.IntType(LANES))
            more = builder.zext(_call(builder, f"llvm.ctpop.i{LANES}", bits.type, bits), _I64)
            builder.store(builder.add(kept, more), count)
        return builder.load(count)

    return types.intp(types.uintp, types.intp, types.float32, types.uintp, types.uintp), emit


@_selects
def _limit(address: int, registers: int, norms: int, k: int, slack: int, width: float, pad: float) -> Any:
    """At or above the k-th smallest upper bound of scores (registers x LANES); more than k are below UNLIMITED.

    A value is searched that at least k scores are at or below, and no more than k + slack unless they nearly tie.
    """
    low, high = _lowest(address, registers), np.float32(_highest(address, registers, UNLIMITED, 0.0, norms))
    while True:
        middle = low + (high - low) * np.float32(0.5)
        if middle <= low or middle >= high:
            break
        count = _count(address, registers, middle)
        if count < k:
            low = middle
        else:
            high = middle
            if count <= k + slack:
                break
    if width == 0 and pad == 0:
        return high
    return np.nextafter(np.float32(_highest(address, registers, high, 2 * width, norms) + 2 * pad), np.float32(np.inf))


@_selects
def _list_row(
    scores: Float32[np.ndarray, "u_"],
    norms: Float32[np.ndarray, "u_"],
    width: float,
    pad: float,
    eligible: int,
    k: int,
    lows: Float32[np.ndarray, "room"],
    listed: Int32[np.ndarray, "room"],
) -> int:
    """List, ascending, the keys that may be among the k nearest; -1 if the list has no room for them."""
    address, registers, limit = scores.ctypes.data, scores.size // LANES, UNLIMITED
    if eligible > k:
        limit = _limit(address, registers, norms.ctypes.data, k, k // 8, width, pad)
    if _count(address, registers, limit) > lows.size:
        return -1
    return _compress(address, registers, limit, lows.ctypes.data, listed.ctypes.data)


@_selects
def list_near(
    left: Float32[np.ndarray, "m_ columns"],
    strips: Float32[np.ndarray, "strips columns 48"],
    norms: Float32[np.ndarray, "u_"],
    widths: Float32[np.ndarray, "m"],
    pads: Float64[np.ndarray, "m"],
    far: Bool[np.ndarray, "m"],
    spans: Int64[np.ndarray, "m 2"],
    ranges: Int64[np.ndarray, "m 2"],
    lasts: Int32[np.ndarray, "u"],
    k: int,
    lows: Float32[np.ndarray, "m room"],
    listed: Int32[np.ndarray, "m room"],
    counts: Int64[np.ndarray, "m"],
) -> None:
    """For each query the keys that may be among its k nearest, ascending, and their lower bounds.

    left: m_ is m, padded to whole register tiles. A key is hidden from query i where it lies in spans[i] and its last
    row before ranges[i, 1]. A count of -1 gives up on a query: it is too far away, or its list is as long as room.
    """
    scores = np.empty((QUERIES, strips.shape[0] * KEYS), dtype=np.float32)
    for first in range(0, counts.size, QUERIES):
        for s in range(strips.shape[0]):
            _multiply(
                left[first].ctypes.data, strips[s].ctypes.data, scores[0, s * KEYS :].ctypes.data,
                left.shape[1], scores.shape[1],
            )  # fmt: skip
        for i in range(first, min(first + QUERIES, counts.size)):
            own = scores[i - first]
            eligible = lasts.size
            for c in range(spans[i, 0], spans[i, 1]):
                if lasts[c] < ranges[i, 1]:
                    own[c] = NEVER
                    eligible -= 1
            counts[i] = -1
            if not far[i]:
                counts[i] = _list_row(own, norms, widths[i], pads[i], eligible, k, lows[i], listed[i])
