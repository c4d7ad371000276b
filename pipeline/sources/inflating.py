"""Chunks of an HDF5 dataset that gzip compressed, unpacked on all cores; the library does it on one."""

from __future__ import annotations

import math
from concurrent.futures import Executor
from typing import Any

import h5py
import numpy as np
from isal import isal_zlib
from jaxtyping import Shaped

from pipeline.exact import STORED_KINDS

BAD_STREAM: Any = isal_zlib.error


class Inflating:
    """Reads rows of a dataset whose chunks are cut along the first axis alone, and only compressed by deflate."""

    def __init__(self, dataset: h5py.Dataset, threads: Executor) -> None:
        self._dataset, self._threads = dataset, threads
        self._bytes = math.prod(dataset.chunks) * int(dataset.dtype.itemsize)
        self._last: tuple[int, bytes] = (-1, b"")
        """The chunk in which the last reading ended: the next one may begin there."""

    @staticmethod
    def takes(dataset: h5py.Dataset) -> bool:
        """Whether a dataset is of that kind."""
        chunks, layout = dataset.chunks, dataset.id.get_create_plist()
        return bool(
            chunks
            and chunks[1:] == dataset.shape[1:]
            and layout.get_nfilters() == 1
            and layout.get_filter(0)[0] == h5py.h5z.FILTER_DEFLATE
            and dataset.dtype.kind in STORED_KINDS
            and dataset.dtype.isnative
        )

    def read(self, start: int, stop: int) -> Shaped[np.ndarray, "rows ..."] | None:
        """Rows [start, stop); None where a chunk is missing or damaged: the library knows what to say."""
        dataset, rows = self._dataset, self._dataset.chunks[0]
        stop = min(stop, len(dataset))
        if start >= stop:
            return None
        first, last = start // rows, (stop - 1) // rows
        try:
            stored = {each: self._stored(each) for each in range(first, last + 1) if each != self._last[0]}
        except (OSError, RuntimeError, KeyError, ValueError):
            return None
        unpacked = dict(zip(stored, self._threads.map(self._unpacked, stored.values()), strict=True))
        if self._last[0] >= 0:
            unpacked[self._last[0]] = self._last[1]
        out = np.empty((stop - start, *dataset.shape[1:]), dataset.dtype)
        for each in range(first, last + 1):
            data = unpacked[each]
            if data is None:
                return None
            chunk = _array(data, dataset)
            begin, end = max(start, each * rows), min(stop, (each + 1) * rows)
            out[begin - start : end - start] = chunk[begin - each * rows : end - each * rows]
        self._last = last, unpacked[last] or b""
        return out

    def _stored(self, chunk: int) -> tuple[int, bytes]:
        place = (chunk * self._dataset.chunks[0], *(0 for _ in self._dataset.shape[1:]))
        mask, data = self._dataset.id.read_direct_chunk(place)
        return mask, data

    def _unpacked(self, stored: tuple[int, bytes]) -> bytes | None:
        mask, data = stored
        if mask == 0:
            unpacking = isal_zlib.decompressobj()
            try:
                data = unpacking.decompress(data, self._bytes + 1)
            except BAD_STREAM:
                return None
            if not unpacking.eof:
                return None
        return data if len(data) == self._bytes else None


def _array(data: bytes, dataset: h5py.Dataset) -> Shaped[np.ndarray, "rows ..."]:
    if dataset.dtype.kind == "b":
        return np.frombuffer(data, np.uint8).reshape(dataset.chunks) != 0
    return np.frombuffer(data, dataset.dtype).reshape(dataset.chunks)
