"""`main_data.hdf5`: a group an episode, written through HDF5's own calls with property lists that are made once."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from h5py import h5a, h5d, h5f, h5g, h5p, h5s, h5t, h5z
from jaxtyping import Shaped

from pipeline.formats.hdf5 import GZIP_LEVEL

CHUNK = 2**19
"""Bytes of a chunk, where arrays are compressed; they are cut along the steps."""

FEW_ATTRIBUTES = 64
"""Up to so many of a group lie in its header."""


class GroupWriter:
    """Writes episodes as groups of one file. Bytes depend on the episodes alone."""

    def __init__(self, file: h5f.FileID, compression: str) -> None:
        self._file, self._compression = file, compression
        self._links = h5p.create(h5p.LINK_CREATE)
        self._links.set_char_encoding(h5t.CSET_UTF8)
        self._group = h5p.create(h5p.GROUP_CREATE)
        self._group.set_obj_track_times(False)
        self._group.set_attr_phase_change(FEW_ATTRIBUTES, FEW_ATTRIBUTES - 2)
        self._types: dict[np.dtype[Any], h5t.TypeID] = {}
        self._plain = _new_properties()
        self._scalar = h5s.create(h5s.SCALAR)
        self._text = h5t.py_create(h5py.string_dtype(), logical=True)

    def write(
        self,
        name: str,
        arrays: Mapping[str, Shaped[np.ndarray, "_ ..."]],
        facts: Mapping[str, bool | int | str],
        attributes: Mapping[str, Shaped[np.ndarray, "..."]],
    ) -> None:
        """One group with its arrays by path, and its attributes."""
        group = self._new_group(self._file, name)
        groups = {"": group}
        for key, value in facts.items():
            self._fact(group, key, value)
        for key, array in attributes.items():
            self._attribute(group, key, np.ascontiguousarray(array).reshape(array.shape))
        for path, array in arrays.items():
            folder, _, key = path.rpartition("/")
            self._array(self._folder(groups, folder), key, np.ascontiguousarray(array))

    def _folder(self, groups: dict[str, h5g.GroupID], path: str) -> h5g.GroupID:
        if path not in groups:
            above, _, key = path.rpartition("/")
            groups[path] = self._new_group(self._folder(groups, above), key)
        return groups[path]

    def _new_group(self, above: Any, name: str) -> h5g.GroupID:
        return h5g.create(above, name.encode(), self._links, self._group)

    def _array(self, group: h5g.GroupID, name: str, array: Shaped[np.ndarray, "_ ..."]) -> None:
        kind = self._type(array.dtype)
        space, properties = h5s.create_simple(array.shape), self._properties(array)
        dataset = h5d.create(group, name.encode(), kind, space, properties, self._links)
        dataset.write(h5s.ALL, h5s.ALL, array, kind)

    def _fact(self, group: h5g.GroupID, name: str, value: bool | int | str) -> None:
        if isinstance(value, str) and "\0" not in value:
            text = np.array(value, dtype=h5py.string_dtype())
            h5a.create(group, name.encode(), self._text, self._scalar).write(text)
        elif isinstance(value, str):  # HDF5's texts end at a zero: such a text lies there as its bytes
            self._attribute(group, name, np.frombuffer(value.encode(), np.uint8))
        else:
            self._attribute(group, name, np.asarray(value))

    def _attribute(self, group: h5g.GroupID, name: str, array: Shaped[np.ndarray, "..."]) -> None:
        kind = self._type(array.dtype)
        space = h5s.create_simple(array.shape) if array.shape else self._scalar
        h5a.create(group, name.encode(), kind, space).write(array, kind)

    def _type(self, dtype: np.dtype[Any]) -> h5t.TypeID:
        if dtype not in self._types:
            self._types[dtype] = h5t.py_create(dtype, logical=True)
        return self._types[dtype]

    def _properties(self, array: Shaped[np.ndarray, "_ ..."]) -> h5p.PropDCID:
        if self._compression == "none" or not array.size:
            return self._plain
        row = array.dtype.itemsize * math.prod(array.shape[1:])
        properties = _new_properties()
        properties.set_chunk((min(len(array), max(1, CHUNK // row)), *array.shape[1:]))
        properties.set_shuffle()
        if self._compression == "gzip":
            properties.set_deflate(GZIP_LEVEL)
        else:
            properties.set_filter(h5z.FILTER_LZF, h5z.FLAG_OPTIONAL)
        return properties


def _new_properties() -> h5p.PropDCID:
    properties = h5p.create(h5p.DATASET_CREATE)
    properties.set_obj_track_times(False)
    properties.set_fill_time(h5d.FILL_TIME_NEVER)
    return properties


@contextmanager
def new_hdf5(path: Path) -> Iterator[h5f.FileID]:
    """A new file of the kind that HDF5 1.8 and later read, in the place of one that is there."""
    access = h5p.create(h5p.FILE_ACCESS)
    access.set_libver_bounds(h5f.LIBVER_V18, h5f.LIBVER_V18)
    creation = h5p.create(h5p.FILE_CREATE)
    creation.set_obj_track_times(False)
    file = h5f.create(str(path).encode(), h5f.ACC_TRUNC, creation, access)
    try:
        yield file
    finally:
        file.close()
