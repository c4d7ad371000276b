"""Moving runs of bytes between places in memory, past the processor's caches where they are long."""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Int64, UInt64
from llvmlite import ir
from numba import types
from numba.core import cgutils

from pipeline.machine.compiled import compiled, intrinsic

LINE = 64
"""Bytes of a cache line; streamed stores begin at a multiple of it."""

VECTORS = 4
STEP = VECTORS * 32
"""Bytes that are loaded, then stored, in one turn of the loop."""

LONG = 16 * STEP
"""Shorter runs are left to the C library."""


@intrinsic
def _copy(_: Any, target: Any, source: Any, size: Any) -> Any:
    """The C library's memcpy between two addresses."""

    def emit(__: Any, builder: Any, ___: Any, arguments: Any) -> None:
        target, source, size = arguments
        pointers = [builder.inttoptr(each, ir.IntType(8).as_pointer()) for each in (target, source)]
        cgutils.raw_memcpy(builder, *pointers, size, 1)  # type: ignore[no-untyped-call,call-arg]

    return types.void(types.uintp, types.uintp, types.intp), emit


@intrinsic
def _stream(_: Any, target: Any, source: Any, steps: Any) -> Any:
    """Copy `steps` times STEP bytes to a place that begins at a cache line, by stores that leave the caches alone.

    Written as vectors of LLVM: where a processor has no such store, or narrower ones, it becomes what there is.
    """

    def emit(__: Any, builder: Any, ___: Any, arguments: Any) -> None:
        target, source, steps = arguments
        vector = ir.VectorType(ir.IntType(64), 32 // 8)
        to, of = (builder.inttoptr(each, ir.IntType(8).as_pointer()) for each in (target, source))
        nontemporal = builder.module.add_metadata([ir.Constant(ir.IntType(32), 1)])

        def place(base: Any, offset: Any, number: int) -> Any:
            moved = builder.gep(base, [builder.add(offset, ir.Constant(offset.type, 32 * number))])
            return builder.bitcast(moved, vector.as_pointer())

        with cgutils.for_range(builder, steps) as loop:
            offset = builder.mul(loop.index, ir.Constant(steps.type, STEP))
            loaded = [builder.load(place(of, offset, number), align=1) for number in range(VECTORS)]
            for number, value in enumerate(loaded):
                store = builder.store(value, place(to, offset, number), align=32)
                store.set_metadata("nontemporal", nontemporal)

    return types.void(types.uintp, types.uintp, types.intp), emit


@intrinsic
def _fence(_: Any) -> Any:
    """Streamed stores are seen by other threads and processes before anything that is stored afterwards."""

    def emit(__: Any, builder: Any, ___: Any, ____: Any) -> None:
        builder.fence("seq_cst")

    return types.void(), emit


@compiled()
def move_runs(
    sources: UInt64[np.ndarray, " n"], sizes: Int64[np.ndarray, " n"], targets: UInt64[np.ndarray, " n"], streamed: bool
) -> None:
    """Copy `sizes` bytes from each address to another. Nothing is checked: the caller knows that they are there.

    Args:
        streamed: long runs go past the caches, which is faster for more than those hold.
    """
    for run in range(len(sources)):
        target, source, size = targets[run], sources[run], sizes[run]
        if streamed and size >= LONG:
            head = (LINE - np.int64(target % np.uint64(LINE))) % LINE
            steps = (size - head) // STEP
            done = head + steps * STEP
            _copy(target, source, head)
            _stream(target + np.uint64(head), source + np.uint64(head), steps)
            _copy(target + np.uint64(done), source + np.uint64(done), size - done)
        else:
            _copy(target, source, size)
    _fence()
