"""Memory of batches, which is used again when nobody holds any of it: fresh pages cost more than the copy into them."""

from __future__ import annotations

import math
import mmap
import os
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from typing import Final, TypeAlias

import numpy as np
from jaxtyping import Shaped, UInt8

from pipeline.views.shared import HasInterface, SharedBuffers, interface, whole_pages

ArraySpecs: TypeAlias = Mapping[str, tuple[tuple[int, ...], np.dtype]]
"""Shape and dtype of each array of a batch."""

ALIGNMENT = 64
"""Bytes: where an array begins, as the widest stores want it."""

SMALL = 1 << 16
"""Arrays of fewer bytes lie together in one piece of memory: they are cheap, and so they do not cost a piece each."""

KEPT = 16
"""So many free pieces wait in a process to be used again."""

MOST_MAPPED = 64
"""With so many pieces in use, others come from the ordinary allocator: a program may map only some ten thousand."""

SHARED_BATCHES = 16
"""So many batches of a worker process may be in use or on their way; the next are sent as copies."""


class Buffers:
    """Gives out the arrays of batches.

    Memory is handed out again when the last array, view or tensor that refers to it is gone, and never before: who
    keeps all batches gets ordinary memory in the end, not a changed batch. In a worker process of a torch `DataLoader`
    it is memory that the trainer can map. May be used by several threads; sent to another process, it begins anew.
    """

    def __init__(self) -> None:
        self._begin()

    def _begin(self) -> None:
        self._process = os.getpid()
        self._own = _Pool()
        self._shared: SharedBuffers | None = None

    def take(self, specs: ArraySpecs) -> dict[str, Shaped[np.ndarray, "..."]]:
        """Arrays of these shapes and dtypes: C-contiguous, 64-byte aligned, writable, filled with anything."""
        if self._process != os.getpid():  # forked: what the parent shares with the trainer is not this one's to fill
            self._begin()
        pieces = _pieces(specs)
        return {
            name: array
            for nbytes, offsets in pieces
            for name, array in _arrays(self._piece(nbytes, len(pieces)), offsets, specs)
        }

    def _piece(self, nbytes: int, pieces: int) -> UInt8[np.ndarray, " bytes"]:
        """Memory of at least so many bytes, where a batch has so many `pieces` of it."""
        if in_worker_process():
            self._shared = self._shared or SharedBuffers()
            lease: HasInterface | None = self._shared.take(nbytes, SHARED_BATCHES * pieces)
        else:
            lease = self._own.take(nbytes) if nbytes >= SMALL else None
        return _ordinary(nbytes) if lease is None else np.asarray(lease)

    def __reduce__(self) -> tuple[type[Buffers], tuple[()]]:
        return type(self), ()


def in_worker_process() -> bool:
    """Whether this is a worker process of a torch `DataLoader`."""
    data = sys.modules.get("torch.utils.data")
    info = data.get_worker_info() if data is not None else None
    return info is not None and getattr(info, "worker_method", None) in (None, "multiprocessing")


_Offsets: TypeAlias = dict[str, int]


def _pieces(specs: ArraySpecs) -> list[tuple[int, _Offsets]]:
    """Bytes of each piece of memory, and where in it each of its arrays begins. Large arrays have one of their own."""
    sizes = {name: math.prod(shape) * dtype.itemsize for name, (shape, dtype) in specs.items()}
    large = [(size, {name: 0}) for name, size in sizes.items() if size >= SMALL]
    together: _Offsets = {}
    end = 0
    for name, size in sizes.items():
        if size < SMALL:
            together[name] = end
            end += -(-size // ALIGNMENT) * ALIGNMENT
    return [*large, *([(end, together)] if together else [])]


def _arrays(
    piece: UInt8[np.ndarray, " bytes"], offsets: _Offsets, specs: ArraySpecs
) -> Iterable[tuple[str, Shaped[np.ndarray, "..."]]]:
    for name, offset in offsets.items():
        shape, dtype = specs[name]
        yield name, np.ndarray(shape, dtype, piece, offset) if math.prod(shape) else np.empty(shape, dtype)


def _ordinary(nbytes: int) -> UInt8[np.ndarray, " bytes"]:
    memory = np.empty(nbytes + ALIGNMENT, np.uint8)
    begin = -memory.ctypes.data % ALIGNMENT
    return memory[begin : begin + nbytes]


class _Lease:
    """One piece of memory in use: the base of all arrays in it, so that it ends with the last of them."""

    __slots__ = ("__array_interface__", "_ended", "_memory")

    def __init__(self, memory: mmap.mmap, ended: Callable[[mmap.mmap], None]) -> None:
        self._memory, self._ended = memory, ended
        self.__array_interface__ = interface(memory, 0)

    def __del__(self) -> None:
        self._ended(self._memory)


class _Pool:
    """Pieces of memory of one process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._free: list[mmap.mmap] = []
        self._ended: deque[mmap.mmap | None] = deque()
        self._in_use = 0

    def take(self, nbytes: int) -> _Lease | None:
        """A piece that nobody holds, of at least so many bytes; None when very many are held."""
        with self._lock:
            self._collect()
            fitting = [piece for piece in self._free if nbytes <= len(piece) <= 4 * nbytes]
            if not fitting and self._in_use >= MOST_MAPPED:
                return None
            if fitting:
                piece = min(fitting, key=len)
                self._free = [each for each in self._free if each is not piece]
            else:
                piece = _mapped(nbytes)
            self._in_use += 1
        return _Lease(piece, self._end)

    def _end(self, piece: mmap.mmap) -> None:
        """A lease has ended: wherever the interpreter happens to be, also inside of `take`, so without the lock."""
        self._ended.append(piece if len(self._ended) < KEPT else None)

    def _collect(self) -> None:
        while self._ended:
            self._in_use -= 1
            if (piece := self._ended.popleft()) is not None:
                self._free.append(piece)
        del self._free[:-KEPT]  # the oldest


def _mapped(nbytes: int) -> mmap.mmap:
    """Fresh memory, in huge pages where the system has them."""
    piece = mmap.mmap(-1, whole_pages(nbytes), mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    if _HUGE is not None:
        piece.madvise(_HUGE)
    return piece


_HUGE: Final[int | None] = getattr(mmap, "MADV_HUGEPAGE", None)
