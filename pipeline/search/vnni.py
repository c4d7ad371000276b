"""Products of bytes on processors that add four of them to an integer in one instruction (AVX-512 VNNI).

Such an instruction multiplies 64 times where one of float32 does 16 times, and integers are added without rounding. The
sums of a register tile stay in registers: keys that may be among a query's nearest are listed from there, the others
are never written. It reaches 97 % of what the instruction could do where operands lie in the second cache.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
from jaxtyping import Float32, Int8, Int32, Int64, UInt8
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.registry import cpu_target

from pipeline.machine.compiled import compiled, intrinsic

QUERIES = 8  # queries of a register tile
LANES = 16  # int32 of a register
VECTORS = 3  # registers of keys in a register tile: 8 x 3 sums, 3 keys and a query fit the 32 registers
KEYS = VECTORS * LANES
DEPTH = 4  # bytes that one instruction multiplies and adds for each lane

_I32, _I64, _F32 = ir.IntType(32), ir.IntType(64), ir.FloatType()
_INTS, _FLOATS = ir.VectorType(_I32, LANES), ir.VectorType(_F32, LANES)


@functools.cache
def has_vnni() -> bool:
    """Whether numba compiles for a processor with the instruction.

    A user may forbid what the processor has (NUMBA_CPU_NAME, NUMBA_ENABLE_AVX); to emit it then ends the process.
    """
    _, _, features = cpu_target.target_context.codegen().magic_tuple()
    return "+avx512vnni" in features.split(",")


def _at(builder: Any, base: Any, offset: Any, kind: Any) -> Any:
    """A pointer to `kind`, so many of its own 4-byte words behind an address."""
    moved = builder.add(base, builder.mul(offset, ir.Constant(offset.type, 4)))
    return builder.inttoptr(moved, kind.as_pointer())


def _spread(builder: Any, value: Any) -> Any:
    """A register with the value in each lane."""
    kind = ir.VectorType(value.type, LANES)
    one = builder.insert_element(ir.Constant(kind, ir.Undefined), value, ir.Constant(_I32, 0))
    return builder.shuffle_vector(one, ir.Constant(kind, ir.Undefined), ir.Constant(_INTS, [0] * LANES))


def _call(builder: Any, name: str, result: Any, *arguments: Any) -> Any:
    kind = ir.FunctionType(result, [each.type for each in arguments])
    return builder.call(cgutils.get_or_insert_function(builder.module, kind, name), arguments)  # type: ignore[no-untyped-call]


def _sums(builder: Any, left: Any, right: Any, starts: Any, steps: Any) -> list[list[Any]]:
    """The integer products of a register tile: QUERIES x VECTORS registers, begun at starts[query]."""
    sums = [[cgutils.alloca_once(builder, _INTS) for _ in range(VECTORS)] for _ in range(QUERIES)]  # type: ignore[no-untyped-call]
    for query, own in enumerate(sums):
        start = _spread(builder, builder.load(_at(builder, starts, ir.Constant(_I64, query), _I32)))
        for place in own:
            builder.store(start, place)
    with cgutils.for_range(builder, steps) as loop:
        words, lanes = (builder.mul(loop.index, ir.Constant(_I64, size)) for size in (QUERIES, KEYS))
        keys = [
            builder.load(_at(builder, right, builder.add(lanes, ir.Constant(_I64, LANES * v)), _INTS), align=64)
            for v in range(VECTORS)
        ]
        for query, own in enumerate(sums):
            word = builder.load(_at(builder, left, builder.add(words, ir.Constant(_I64, query)), _I32))
            asked = _spread(builder, word)
            for place, key in zip(own, keys, strict=True):
                product = _call(builder, "llvm.x86.avx512.vpdpbusd.512", _INTS, builder.load(place), key, asked)
                builder.store(product, place)
    return [[builder.load(place) for place in own] for own in sums]


@intrinsic
def _sift_registers(
    _: Any, left: Any, right: Any, starts: Any, asked: Any, keys: Any, limits: Any, counts: Any, lows: Any, rows: Any,
    room: Any, first: Any, steps: Any
) -> Any:  # fmt: skip
    """One register tile: multiply, bound, and list the keys at or below the limit of each query.

    All but the last three are addresses: left int8 (steps, QUERIES, DEPTH), right uint8 (steps, KEYS, DEPTH), starts
    int32 (QUERIES,), asked float32 (QUERIES, 3), keys float32 (4, KEYS), limits float32 (QUERIES,), counts int64
    (QUERIES,), lows float32 and rows int32 (QUERIES, room). `sift` says what they hold.
    """

    def emit(__: Any, builder: Any, ___: Any, arguments: Any) -> None:
        left, right, starts, asked, keys, limits, counts, lows, rows, room, first, steps = arguments
        sums = _sums(builder, left, right, starts, steps)
        for query in range(QUERIES):
            number = ir.Constant(_I64, query)
            factor, residue, norm = (
                _spread(builder, builder.load(_at(builder, asked, ir.Constant(_I64, 3 * query + fact), _F32)))
                for fact in range(3)
            )
            limit = _spread(builder, builder.load(_at(builder, limits, number, _F32)))
            counter = builder.inttoptr(builder.add(counts, ir.Constant(_I64, 8 * query)), _I64.as_pointer())
            for vector in range(VECTORS):
                step, square, key_residue, key_norm = (
                    builder.load(_at(builder, keys, ir.Constant(_I64, fact * KEYS + vector * LANES), _FLOATS), align=64)
                    for fact in range(4)
                )
                low = builder.fmul(builder.sitofp(sums[query][vector], _FLOATS), factor)
                for value, other, added in ((low, step, square), (residue, key_residue, None), (norm, key_norm, None)):
                    low = _call(builder, "llvm.fma.v16f32", _FLOATS, value, other, low if added is None else added)
                mask = builder.fcmp_ordered("<=", low, limit)
                bits = builder.bitcast(mask, ir.IntType(16))
                with builder.if_then(builder.icmp_unsigned("!=", bits, ir.Constant(bits.type, 0)), likely=False):
                    count = builder.load(counter)
                    place = builder.add(builder.mul(room, number), count)
                    lanes = ir.Constant(_INTS, [vector * LANES + each for each in range(LANES)])
                    numbers = builder.add(_spread(builder, builder.trunc(first, _I32)), lanes)
                    for kind, values, base in ((_FLOATS, low, lows), (_INTS, numbers, rows)):
                        name = f"llvm.x86.avx512.mask.compress.v16{'f32' if kind is _FLOATS else 'i32'}"
                        packed = _call(builder, name, kind, values, ir.Constant(kind, ir.Undefined), mask)
                        builder.store(packed, _at(builder, base, place, kind), align=4)
                    more = builder.zext(_call(builder, "llvm.ctpop.i16", bits.type, bits), _I64)
                    builder.store(builder.add(count, more), counter)

    return types.void(*[types.uintp] * 9, *[types.intp] * 3), emit


@compiled()
def sift(
    left: Int8[np.ndarray, "blocks steps 8 4"],
    starts: Int32[np.ndarray, "m"],
    asked: Float32[np.ndarray, "m 3"],
    right: UInt8[np.ndarray, "panels steps 48 4"],
    keys: Float32[np.ndarray, "panels 4 48"],
    first: int,
    limits: Float32[np.ndarray, "m"],
    counts: Int64[np.ndarray, "m"],
    lows: Float32[np.ndarray, "m room"],
    rows: Int32[np.ndarray, "m room"],
) -> None:
    """Append to each query's list the keys whose lower bound is at most its limit, and that bound.

    The bound of query i and key c is square + step * factor * (starts + codes) + residue * key_residue + norm *
    key_norm in float32, where `codes` is the integer product of the bytes of both, `starts` is the query's, factor,
    residue and norm are asked[i], and step, square, key_residue and key_norm are those of the key in `keys`.

    left, right: bytes of queries and of keys. `right` and `keys` begin at addresses that are multiples of 64.
    first: the number of the first key.
    lows, rows: have room for all keys beyond counts[i], and for LANES more, where anything may be written.
    """
    blocks, steps = left.shape[0], left.shape[1]
    room = lows.shape[1]
    for p in range(right.shape[0]):
        for b in range(blocks):
            i = b * QUERIES
            _sift_registers(
                left[b].ctypes.data, right[p].ctypes.data, starts[i:].ctypes.data, asked[i:].ctypes.data,
                keys[p].ctypes.data, limits[i:].ctypes.data, counts[i:].ctypes.data, lows[i:].ctypes.data,
                rows[i:].ctypes.data, room, first + p * KEYS, steps,
            )  # fmt: skip
