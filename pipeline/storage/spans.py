"""Reading many runs of rows at random places of many stored arrays at once, in any process."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, cast

import numpy as np
from jaxtyping import Int

from pipeline.errors import DamagedArtifact
from pipeline.storage.bin import BinStorage, bin_array
from pipeline.storage.choice import storage_of
from pipeline.storage.chunk_jobs import copy_decoded, decoding_jobs
from pipeline.storage.chunks import ChunkedRows, chunked_rows
from pipeline.storage.cold import Cold, will_need_mapped
from pipeline.storage.contract import ReadableArray, Rows
from pipeline.storage.copying import addresses, copy_runs, require_target
from pipeline.storage.layout import ZARR_JSON
from pipeline.storage.maps import MappedRows
from pipeline.storage.recent import Recent

Numbers = Int[np.ndarray, " n"]


@dataclass(frozen=True)
class SlicedRows:
    """An array that is stored in a way of which nothing is known here: read run by run, as its storage does."""

    array: ReadableArray

    @property
    def shape(self) -> tuple[int, ...]:
        return self.array.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        return self.array.dtype


Stored = MappedRows | ChunkedRows | SlicedRows
"""Memory to copy from, chunks to decode, or slices."""

KINDS = (MappedRows, ChunkedRows, SlicedRows)


class Spans:
    """Rows of the array `name` of many folders of arrays, such as the parts of a dataset.

    Files are opened when they are first read, by each process for itself. It may be sent to other processes and used
    after a fork. Several threads may read at the same time.

    Args:
        folder: of a number, the folder of arrays; picklable where the spans are to be.
        name: of the array in each of these folders, in whichever storage they are.
        shape: of one row.
        dtype: of its numbers.
        threads: that decode chunks. None: as many as there are cores, and one in a process that multiprocessing
            started, because there are others beside it.
        rows: of a number, the rows of the array in that folder, where the caller knows them: then raw files are opened
            without their metadata.
    """

    def __init__(
        self,
        folder: Callable[[int], Path],
        name: str,
        shape: tuple[int, ...],
        dtype: np.dtype[Any],
        threads: int | None = None,
        rows: Callable[[int], int] | None = None,
    ) -> None:
        self._folder, self._name, self._threads, self._rows = folder, name, threads, rows
        self.shape, self.dtype = shape, np.dtype(dtype)

    def __reduce__(self) -> tuple[Any, ...]:
        return Spans, (self._folder, self._name, self.shape, self.dtype, self._threads, self._rows)

    def read(self, parts: Numbers, starts: Numbers, counts: Numbers, out: Rows, at: Numbers) -> None:
        """Copy rows [start, start + count) of the array in folder number `part` to out[at : at + count], for each run.

        `out` lies in C order and has rows of this shape and dtype, in either byte order. What it holds elsewhere stays.
        After an error it may hold some of the rows.

        Raises DamagedArtifact with a path where files are missing, cut or changed, or hold fewer rows than are wanted;
        MissingArray where a folder has no such array; IndexError for runs beyond `out`, ValueError for another `out`.
        """
        if out.shape[1:] != self.shape or not same_numbers(out.dtype, self.dtype):
            raise ValueError(f"rows {self.dtype} {self.shape} are read; there is place for {out.dtype} {out.shape[1:]}")
        size = require_target(out, out.dtype, counts, at)
        numbers, which = np.unique(parts, return_inverse=True)
        arrays = [self._recent.get(number, self._open) for number in numbers.tolist()]
        self._require_rows(numbers, arrays, which, starts, counts)
        if size:
            self._cold.begin()
            self._read(arrays, which, starts, counts, out, at, size)
            self._cold.end()
            if out.dtype != out.dtype.newbyteorder("<"):
                for first, count in zip(at.tolist(), counts.tolist(), strict=True):
                    out[first : first + count].byteswap(inplace=True)

    @cached_property
    def _recent(self) -> Recent[Stored]:
        return Recent()

    @cached_property
    def _cold(self) -> Cold:
        return Cold()

    def _open(self, number: int) -> Stored:
        folder, rows = str(self._folder(number)), self._rows(number) if self._rows else None
        array = _stored(folder, self._name, None if rows is None else (rows, *self.shape), self.dtype)
        if array.shape[1:] != self.shape or not same_numbers(array.dtype, self.dtype):
            raise DamagedArtifact(
                f"{self._name} of {folder} has rows {array.dtype} {array.shape[1:]}, not {self.dtype} {self.shape}."
            )
        if rows not in (None, array.shape[0]):
            raise DamagedArtifact(f"{self._name} of {folder} has {array.shape[0]} rows, not {rows}.")
        return array

    def _require_rows(
        self, numbers: Numbers, arrays: list[Stored], which: Numbers, starts: Numbers, counts: Numbers
    ) -> None:
        """Raises DamagedArtifact for rows that an array does not have: whoever asks knows how many were written."""
        there = np.array([array.shape[0] for array in arrays], np.int64)[which]
        wrong = np.flatnonzero((starts < 0) | (counts < 0) | (starts + counts > there))
        if len(wrong):
            first = int(wrong[0])
            folder = self._folder(int(numbers[which[first]]))
            raise DamagedArtifact(
                f"{self._name} of {folder} has {there[first]} rows; "
                f"{starts[first]} to {starts[first] + counts[first]} were wanted."
            )

    def _read(
        self, arrays: list[Stored], which: Numbers, starts: Numbers, counts: Numbers, out: Rows, at: Numbers, size: int
    ) -> None:
        kinds = np.array([KINDS.index(type(array)) for array in arrays])[which]
        mapped, chunked, sliced = (np.flatnonzero(kinds == kind) for kind in range(len(KINDS)))
        targets = addresses(out.ctypes.data, at, size)
        if len(mapped):
            bases = np.array([getattr(array, "address", 0) for array in arrays], np.uint64)[which[mapped]]
            sources, sizes = addresses(bases, starts[mapped], size), counts[mapped] * size
            if self._cold.is_cold:
                will_need_mapped(sources, sizes)
            copy_runs(sources, sizes, targets[mapped])
        if len(chunked):
            numbers, which_chunked = np.unique(which[chunked], return_inverse=True)
            decoded = [cast(ChunkedRows, arrays[number]) for number in numbers.tolist()]
            jobs = decoding_jobs(decoded, which_chunked, starts[chunked], counts[chunked], targets[chunked], size)
            if self._cold.is_cold:
                for job in jobs:
                    job.file.will_need(job.chunks)
            copy_decoded(jobs, size, self._threads)
        for run in sliced:
            array, start, count, to = cast(SlicedRows, arrays[which[run]]), starts[run], counts[run], at[run]
            out[to : to + count] = array.array[start : start + count]


def same_numbers(a: np.dtype[Any], b: np.dtype[Any]) -> bool:
    """Whether two dtypes are the same but for the order of their bytes."""
    return bool(a.newbyteorder("<") == b.newbyteorder("<"))


def _stored(folder: str, name: str, shape: tuple[int, ...] | None, dtype: np.dtype[Any]) -> Stored:
    """An array by the files that are there. `shape` and `dtype` are those of a raw file, where `shape` is known."""
    raw, group = f"{folder}/{name}.bin", Path(folder)
    if shape is not None and Path(raw).is_file():
        return MappedRows(raw, shape, dtype)
    if (array := Path(f"{folder}/{name}")).joinpath(ZARR_JSON).is_file():
        if known := chunked_rows(array):
            return known
    elif storage_of(group).name == BinStorage.name:
        listed = bin_array(group, name)
        return MappedRows(raw, listed.shape, listed.dtype)
    return SlicedRows(storage_of(group).open(group)[name])
