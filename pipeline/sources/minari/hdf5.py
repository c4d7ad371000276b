"""Reads `main_data.hdf5`: a group an episode."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from math import prod
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from h5py import h5a, h5d, h5f, h5g, h5o, h5s, h5t
from jaxtyping import Shaped

from pipeline.errors import InvalidInput
from pipeline.sources.minari.layout import EPISODE, REWARDS
from pipeline.sources.minari.raw import KeyPath, RawEpisode, RawLeaf, reading_minari
from pipeline.sources.unpacking import can_unpack

GROUP = re.compile(rf"{EPISODE}(0|[1-9]\d*)".encode())


class Hdf5Set:
    """The file of one dataset. Raises InvalidInput where it cannot be read."""

    def __init__(self, path: Path) -> None:
        self._path, self._name = path, os.fsencode(path)

    def lengths(self) -> dict[int, int]:
        """Steps of each episode by its id."""
        with reading_minari(self._path):
            file = self._open()
            try:
                names = [found for found in map(GROUP.fullmatch, h5g.open(file, b"/")) if found]
                numbers = sorted(int(found[1]) for found in names)
                return {number: self._length(file, number) for number in numbers}
            finally:
                file.close()

    def episodes(self, numbers: Sequence[int]) -> Iterator[RawEpisode]:
        """The episodes of these ids. Raises InvalidInput where one is damaged."""
        with reading_minari(self._path):
            file = self._open()
        try:
            for number in numbers:
                where = f"{self._path}: {EPISODE}{number}"
                with reading_minari(where):
                    group = h5g.open(file, f"{EPISODE}{number}".encode())
                    leaves = dict(self._leaves(group, (), where))
                    raw = RawEpisode(number, leaves, dict(_attributes(group)), where)
                yield raw
        finally:
            file.close()

    def _open(self) -> h5f.FileID:
        return h5f.open(self._name, h5f.ACC_RDONLY)

    def _length(self, file: h5f.FileID, number: int) -> int:
        name = f"{EPISODE}{number}/{REWARDS}"
        try:
            shape = h5d.open(file, name.encode()).shape
        except KeyError:
            raise InvalidInput(f"{self._path} has no {name}.") from None
        if not shape:
            raise InvalidInput(f"{self._path}: {name} is one number, not one a step.")
        return int(shape[0])

    def _leaves(self, group: h5g.GroupID, path: KeyPath, where: str) -> Iterator[tuple[KeyPath, RawLeaf]]:
        for name in group:
            inside, at = h5o.open(group, name), (*path, name.decode())
            if h5f.get_name(inside) != self._name:
                raise InvalidInput(f"{where}: {'/'.join(at)} leads to another file.")
            if isinstance(inside, h5g.GroupID):
                if len(at) > 64:
                    raise InvalidInput(f"{where}: {'/'.join(at[:8])}... is a group inside itself.")
                yield from self._leaves(inside, at, where)
            elif isinstance(inside, h5d.DatasetID):
                yield at, _read(inside, f"{where}/{'/'.join(at)}")


def _read(dataset: h5d.DatasetID, where: str) -> RawLeaf:
    kind = dataset.get_type()
    if isinstance(kind, h5t.TypeStringID):
        return [str(text) for text in np.atleast_1d(h5py.Dataset(dataset).asstr()[()])]
    if isinstance(kind, h5t.TypeVlenID):
        return [np.asarray(each).tobytes() for each in h5py.Dataset(dataset)[()]]
    array = _empty(dataset, where)
    if array.size:
        dataset.read(h5s.ALL, h5s.ALL, array)
    return array if array.dtype.isnative else array.astype(array.dtype.newbyteorder("="))


def _empty(dataset: h5d.DatasetID, where: str) -> Shaped[np.ndarray, "..."]:
    """The array that is read into; not a huge one for a few damaged bytes, nor one whose numbers lie elsewhere."""
    shape, dtype = dataset.shape, dataset.dtype
    if dataset.get_offset() is None:  # in chunks, or nowhere in this file
        properties = dataset.get_create_plist()
        layout = properties.get_layout()
        if layout == h5d.VIRTUAL or (layout == h5d.CONTIGUOUS and properties.get_external_count()):
            raise InvalidInput(f"{where}: its numbers lie in another file.")
    nbytes = dtype.itemsize * prod(shape)
    if not can_unpack(nbytes, dataset.get_storage_size()):
        raise InvalidInput(f"{where} should be {nbytes:,} bytes, {dataset.get_storage_size():,} are stored.")
    return np.empty(shape, dtype)


def _attributes(group: h5g.GroupID) -> Iterator[tuple[str, Any]]:
    for index in range(h5a.get_num_attrs(group)):
        attribute = h5a.open(group, index=index)
        name = attribute.name.decode()
        if isinstance(attribute.get_type(), h5t.TypeStringID):
            value = h5py.Group(group).attrs[name]
            yield name, value if isinstance(value, str | np.ndarray) else value.decode()
        else:
            array = np.empty(attribute.shape, attribute.dtype)
            if array.size:
                attribute.read(array)
            yield name, array
