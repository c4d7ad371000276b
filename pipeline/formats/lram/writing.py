"""One episode's arrays as a file: HDF5, npz or a pickle. The same arrays give the same bytes."""

from __future__ import annotations

import functools
import pickle
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import h5py
import numpy as np
from h5py import h5d, h5f, h5p, h5s, h5t
from isal import isal_zlib
from jaxtyping import Shaped

from pipeline.formats.npz import write_npz
from pipeline.sources.lram.reading import FileArrays

ROWS = 64
"""Rows of a chunk of states: what a trainer's context window takes, about."""

LEVEL = 1
"""Of deflate, as LRAM takes it."""

NONE, GZIP, LZF = COMPRESSIONS = ("none", "gzip", "lzf")

HDF5, NPZ, NPZC, PKL = FILES = ("hdf5", "npz", "npzc", "pkl")

SUFFIX = {HDF5: ".hdf5", NPZ: ".npz", NPZC: ".npz", PKL: ".pkl"}

MOST_MADE = 256
"""So many small files are kept to be copied, each for its own arrays."""

SMALL = 2**18
"""Bytes of an episode of which HDF5 is faster copied than made."""


def writer_of(file: str, compression: str) -> Callable[[Path, FileArrays], None]:
    """What writes arrays to a path."""
    if file == HDF5:
        if compression == GZIP:
            return _write_deflated
        return PlainHdf5() if compression == NONE else functools.partial(_write_hdf5, compression=LZF)
    return _write_pickle if file == PKL else functools.partial(write_npz, compressed=file == NPZC)


def _write_hdf5(path: Path, arrays: FileArrays, compression: str) -> None:
    """States in chunks of `ROWS`, which is how a trainer reads; the rest whole. `dones`, a number, is a scalar."""
    with h5py.File(path, "w") as file:
        for number, (name, array) in enumerate(arrays.items()):
            rows = _chunk_rows(number, array)
            if not rows or (number and compression == NONE):
                file.create_dataset(name, data=array)
            elif compression == LZF:
                file.create_dataset(name, data=array, chunks=(rows, *array.shape[1:]), compression=LZF)
            else:
                chunk = (rows, *array.shape[1:])
                _write_chunks(file.create_dataset(name, array.shape, array.dtype, chunks=chunk).id, array, rows)


def _write_deflated(path: Path, arrays: FileArrays) -> None:
    """As `_write_hdf5`, through HDF5's own calls: those of h5py take as long again."""
    access = h5p.create(h5p.FILE_ACCESS)
    access.set_fclose_degree(h5f.CLOSE_STRONG)
    creation = h5p.create(h5p.FILE_CREATE)
    creation.set_obj_track_times(False)
    file = h5f.create(str(path).encode(), h5f.ACC_TRUNC, creation, access)
    try:
        for number, (name, array) in enumerate(arrays.items()):
            properties, rows = h5p.create(h5p.DATASET_CREATE), _chunk_rows(number, array)
            properties.set_obj_track_times(False)
            if rows:
                properties.set_chunk((rows, *array.shape[1:]))
                properties.set_deflate(LEVEL)
            space = h5s.create_simple(array.shape) if array.ndim else h5s.create(h5s.SCALAR)
            dataset = h5d.create(file, name.encode(), h5t.py_create(array.dtype, logical=True), space, properties)
            if rows:
                _write_chunks(dataset, array, rows, lambda block: isal_zlib.compress(block, LEVEL))
            elif array.size:
                dataset.write(h5s.ALL, h5s.ALL, array)
    finally:
        file.close()


def _chunk_rows(number: int, array: Shaped[np.ndarray, "..."]) -> int:
    """Rows of a chunk of array `number` of a file; 0 where it has none, for no chunk is empty."""
    if not array.size or not array.ndim:
        return 0
    return min(ROWS, len(array)) if number == 0 else len(array)


def _write_chunks(
    dataset: h5d.DatasetID,
    array: Shaped[np.ndarray, "t ..."],
    rows: int,
    packed: Callable[[Any], Any] = lambda block: block,
) -> None:
    """Each chunk as it lies in the file: past HDF5's filters, which are slower, and past its cache."""
    for first in range(0, len(array), rows):
        block = np.ascontiguousarray(array[first : first + rows])
        if len(block) < rows:
            block = np.concatenate([block, np.zeros((rows - len(block), *array.shape[1:]), array.dtype)])
        dataset.write_direct_chunk((first, *(0 for _ in array.shape[1:])), packed(block))


class PlainHdf5:
    """HDF5 without compression. Making a small file takes h5py ten times as long as its numbers do.

    Files of the same arrays differ in their numbers alone, so a second one is a copy of the first with other numbers in
    their places: the very bytes that h5py would write.
    """

    def __init__(self) -> None:
        self._made: dict[Any, tuple[bytes, list[_Place]]] = {}

    def __call__(self, path: Path, arrays: FileArrays) -> None:
        if sum(array.nbytes for array in arrays.values()) > SMALL:
            _write_hdf5(path, arrays, NONE)
            return
        looks = tuple((name, array.dtype, array.shape) for name, array in arrays.items())
        if looks not in self._made:
            _write_hdf5(path, arrays, NONE)
            if len(self._made) >= MOST_MADE:
                self._made.pop(next(iter(self._made)), None)
            self._made[looks] = path.read_bytes(), list(_places(path))
            return
        like, places = self._made[looks]
        data = bytearray(like)
        for place in places:
            numbers = arrays[place.name][place.first : place.last] if place.last else arrays[place.name]
            data[place.offset : place.offset + numbers.nbytes] = numbers.tobytes()
        path.write_bytes(data)


class _Place(NamedTuple):
    """Where the rows [first, last) of an array lie in a file; `last` 0: all of it."""

    name: str
    offset: int
    first: int = 0
    last: int = 0


def _places(path: Path) -> Iterator[_Place]:
    with h5py.File(path, "r") as file:
        for name, dataset in file.items():
            if dataset.chunks is None:
                if dataset.size:  # what holds no number lies nowhere
                    yield _Place(name, dataset.id.get_offset())
                continue
            for number in range(dataset.id.get_num_chunks()):
                chunk = dataset.id.get_chunk_info(number)
                first = chunk.chunk_offset[0]
                yield _Place(name, chunk.byte_offset, first, min(first + dataset.chunks[0], len(dataset)))


_NEW, _OLD = b"cnumpy._core.multiarray\n", b"cnumpy.core.multiarray\n"


def _write_pickle(path: Path, arrays: FileArrays) -> None:
    """A mapping of arrays that NumPy 1 reads, too: its insides have other names in NumPy 2, which knows the old ones.

    In protocol 3 the name stands once, as text, before the first array.
    """
    data = pickle.dumps(dict(arrays), protocol=3)
    with path.open("wb") as file:
        file.write(data.replace(_NEW, _OLD, 1))
