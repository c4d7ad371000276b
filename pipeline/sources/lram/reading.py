"""The arrays of one episode's file: HDF5, npz or a pickled mapping. Nothing that a file names is run or followed."""

from __future__ import annotations

import math
import os
import pickle
import zipfile
from collections.abc import Callable, Mapping
from enum import StrEnum
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from jaxtyping import Shaped

from pipeline.command import again
from pipeline.errors import InvalidInput
from pipeline.exact import STORED_KINDS, WIDEST
from pipeline.machine.files import human_bytes, is_plain_file
from pipeline.machine.npy import read_npy_header
from pipeline.policies.opaque import read_opaque
from pipeline.sources.unpacking import can_unpack
from pipeline.wording import error_text, few

FileArrays = dict[str, Shaped[np.ndarray, "..."]]


class Trust(StrEnum):
    """What becomes of pickles."""

    REFUSED = "refused"
    PLAIN = "plain"
    """Numbers and arrays are read, and nothing else."""
    FULL = "full"
    """What the pickle says is run."""


def read_arrays(path: Path, trust: Trust = Trust.REFUSED) -> FileArrays:
    """The arrays of a file by name. Raises InvalidInput for a damaged one, with its path, and for what is no number."""
    is_plain_file(path)  # raises for a pipe, from which reading would wait for ever
    try:
        arrays = _READERS[path.suffix](path) if path.suffix in _READERS else _read_pickle(path, trust)
    except InvalidInput:
        raise
    except Exception as error:  # a damaged file may fail in any way
        raise InvalidInput(
            f"{path} cannot be read: {error_text(error)}. It is damaged or cut off; copy it again, or move it away."
        ) from error
    for name, array in arrays.items():
        if array.dtype.kind not in STORED_KINDS or array.dtype.itemsize > WIDEST:
            raise InvalidInput(f"{path}: {name} should hold numbers of at most 64 bits; it is {array.dtype}.")
    return {name: _native(array) for name, array in arrays.items()}


def _native(array: Shaped[np.ndarray, "..."]) -> Shaped[np.ndarray, "..."]:
    """The numbers with their bytes in this machine's order."""
    return array if array.dtype.isnative else array.astype(array.dtype.newbyteorder("="))


def _read_hdf5(path: Path) -> FileArrays:
    """By HDF5's own functions: what h5py puts around them takes longer than an episode's numbers."""
    arrays, size = {}, path.stat().st_size
    file = h5py.h5f.open(os.fsencode(path), h5py.h5f.ACC_RDONLY)
    try:
        root = h5py.h5g.open(file, b"/")
        for raw in root:
            name = raw.decode()
            if root.links.get_info(raw).type != h5py.h5l.TYPE_HARD:
                raise InvalidInput(f"{path}: {name} is a link to another place; an array should lie there.")
            dataset = h5py.h5o.open(root, raw)
            if isinstance(dataset, h5py.h5d.DatasetID):
                arrays[name] = _read_dataset(path, name, dataset, size)
    finally:
        file.close()
    return arrays


def _read_dataset(path: Path, name: str, dataset: Any, size: int) -> Shaped[np.ndarray, "..."]:
    created = dataset.get_create_plist()
    if created.get_external_count() or created.get_layout() == h5py.h5d.VIRTUAL:
        raise InvalidInput(f"{path}: {name} lies in other files; it should lie in this one.")
    dtype, shape = dataset.dtype, dataset.shape
    if dtype.kind not in STORED_KINDS:
        raise InvalidInput(f"{path}: {name} should hold numbers; it is {dtype}.")
    _check_size(path, name, math.prod(shape) * dtype.itemsize, size)
    array = np.empty(shape, dtype)
    dataset.read(h5py.h5s.ALL, h5py.h5s.ALL, array)
    return array


def _read_npz(path: Path) -> FileArrays:
    arrays = {}
    with zipfile.ZipFile(path) as archive:
        for each in archive.infolist():
            _check_size(path, each.filename, each.file_size, each.compress_size)
            with archive.open(each) as member:
                arrays[each.filename.removesuffix(".npy")] = _read_npy(path, each, member)
    return arrays


def _read_npy(path: Path, each: zipfile.ZipInfo, member: Any) -> Shaped[np.ndarray, "..."]:
    """As `numpy.load`, which makes room for whatever a header promises."""
    shape, fortran, dtype = read_npy_header(member)
    if dtype.hasobject:
        raise InvalidInput(f"{path}: {each.filename} holds Python objects; it should hold numbers.")
    data = member.read()
    if dtype.itemsize * math.prod(shape) != len(data):
        raise InvalidInput(
            f"{path}: {each.filename} is cut off: its {len(data):,} bytes are no {dtype} of shape {list(shape)}."
        )
    return np.frombuffer(data, dtype).reshape(shape, order="F" if fortran else "C")


def _read_pickle(path: Path, trust: Trust) -> FileArrays:
    if trust == Trust.REFUSED:
        raise InvalidInput(
            f"{path} is a pickle, and reading it runs the code that is in it. If you know where it comes from, allow "
            f"it: {again(trust=True)}"
        )
    if trust == Trust.FULL:
        with path.open("rb") as file:
            found = pickle.load(file)
    else:
        found = read_opaque(path.read_bytes())
    if not isinstance(found, Mapping):
        raise InvalidInput(f"{path} should hold a mapping of arrays; it holds a {type(found).__name__}.")
    return {str(name): np.asarray(value) for name, value in found.items()}


def _check_size(path: Path, name: str, unpacked: int, packed: int) -> None:
    if not can_unpack(unpacked, packed):
        raise InvalidInput(
            f"{path} is damaged: {name} should unpack from {human_bytes(packed)} to {human_bytes(unpacked)}."
        )


_READERS: Mapping[str, Callable[[Path], FileArrays]] = {".hdf5": _read_hdf5, ".npz": _read_npz}


def need(path: Path, arrays: Mapping[str, Any], names: tuple[str, ...]) -> None:
    """Raises InvalidInput where arrays are missing."""
    if missing := [name for name in names if name not in arrays]:
        raise InvalidInput(
            f"{path} needs the arrays {', '.join(names)}. Missing: {', '.join(missing)}; it has "
            f"{few(sorted(arrays)) or 'none'}."
        )
