"""The arrays of one episode's file: HDF5, npz or a pickled mapping. Nothing that a file names is run or followed."""

from __future__ import annotations

import pickle
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from jaxtyping import Shaped

from pipeline.command import again
from pipeline.errors import InvalidInput
from pipeline.exact import STORED_KINDS, WIDEST
from pipeline.machine.files import human_bytes, is_plain_file
from pipeline.policies.opaque import read_opaque
from pipeline.wording import error_text, few

FileArrays = dict[str, Shaped[np.ndarray, "..."]]

MOST_GROWTH = 1100
"""Deflate, the best codec of these files, makes a byte of at most so many."""

ALWAYS = 2**26
"""So many bytes may unpack from however few."""


class Trust:
    """What becomes of pickles: `REFUSED`, `PLAIN` reads numbers and arrays alone, `FULL` runs what the pickle says."""

    REFUSED, PLAIN, FULL = "refused", "plain", "full"


def read_arrays(path: Path, trust: str = Trust.REFUSED) -> FileArrays:
    """The arrays of a file by name. Raises InvalidInput for a damaged one, with its path, and for what is no number."""
    is_plain_file(path)
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
    return arrays


def _read_hdf5(path: Path) -> FileArrays:
    arrays = {}
    with h5py.File(path, "r") as file:
        for name in file:
            if not isinstance(file.get(name, getlink=True), h5py.HardLink):
                raise InvalidInput(f"{path}: {name} is a link to another place; an array should lie there.")
            dataset = file[name]
            if not isinstance(dataset, h5py.Dataset):
                continue
            if dataset.external or dataset.is_virtual:
                raise InvalidInput(f"{path}: {name} lies in other files; it should lie in this one.")
            if dataset.dtype.kind not in STORED_KINDS:
                raise InvalidInput(f"{path}: {name} should hold numbers; it is {dataset.dtype}.")
            _check_size(path, name, dataset.nbytes, path.stat().st_size)
            arrays[name] = np.asarray(dataset[()])
    return arrays


def _read_npz(path: Path) -> FileArrays:
    with zipfile.ZipFile(path) as archive:
        for each in archive.infolist():
            _check_size(path, each.filename, each.file_size, each.compress_size)
            with archive.open(each) as member:  # its header may promise more than the member holds
                major, _ = np.lib.format.read_magic(member)
                reads = np.lib.format.read_array_header_1_0 if major == 1 else np.lib.format.read_array_header_2_0
                shape, _, dtype = reads(member)
                if dtype.hasobject:
                    raise InvalidInput(f"{path}: {each.filename} holds Python objects; it should hold numbers.")
                if dtype.itemsize * int(np.prod(shape, dtype=object)) > each.file_size:
                    raise InvalidInput(f"{path}: {each.filename} is cut off: it should hold {dtype} of shape {shape}.")
    with np.load(path, allow_pickle=False) as opened:
        return {name: opened[name] for name in opened.files}


def _read_pickle(path: Path, trust: str) -> FileArrays:
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
    if unpacked > max(ALWAYS, MOST_GROWTH * packed):
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
