"""HDF5 files of others: their datasets by name, and what is wrong with them in plain words."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from jaxtyping import Shaped

from pipeline.command import again
from pipeline.errors import InvalidInput
from pipeline.exact import STORED_KINDS, WIDEST
from pipeline.keys import stays_inside
from pipeline.machine.files import is_plain_file
from pipeline.machine.threads import available_cores
from pipeline.sources.inflating import Inflating
from pipeline.sources.quirks import Quirks
from pipeline.sources.unpacking import can_unpack
from pipeline.wording import few, first_line

SUFFIXES = (".hdf5", ".h5")
"""How the names of these files end."""

REFERENCE = np.dtype([("length", "<u4"), ("place", "<u8"), ("index", "<u4")])
"""How a file refers to a text of any length."""

DEEPEST = 32
"""Levels of groups."""

FAILURES = (OSError, RuntimeError, KeyError, ValueError, TypeError, OverflowError, MemoryError, AttributeError)
"""What h5py raises for a damaged file."""


@contextmanager
def reading(path: Path, what: str) -> Iterator[None]:
    """Inside the block, what h5py raises becomes InvalidInput with the file and `what` was read."""
    try:
        yield
    except InvalidInput:
        raise
    except FAILURES as error:
        raise InvalidInput(
            f"{what} of {path} cannot be read: {first_line(error)[:300]}. The file is damaged, cut or of another kind: "
            "copy it again."
        ) from error


class Hdf5:
    """An HDF5 file that is open for reading; a context manager.

    Attributes:
        datasets: all of its datasets by their path.
        links: paths of links to other places and files, which are not followed.

    Raises InvalidInput for a file that is none, and where a name or a dataset leads out of the file.
    """

    datasets: dict[str, h5py.Dataset]
    links: list[str]

    def __init__(self, path: Path) -> None:
        self.path = path
        if not is_plain_file(path):
            raise InvalidInput(f"There is no file {path}.")
        self.size = path.stat().st_size
        with reading(path, "The HDF5 file"):
            self._file = h5py.File(path, "r")
        self.datasets, self.links = {}, []
        self._inflating: dict[str, Inflating | None] = {}
        self._threads = ThreadPoolExecutor(available_cores())  # starts them when there is something to do
        try:
            with reading(path, "The table of contents"):
                self._walk(self._file, "", set(), 0)
        except BaseException:
            self._file.close()
            raise

    def __enter__(self) -> Hdf5:
        return self

    def __exit__(self, *_: object) -> None:
        self._threads.shutdown()
        self._file.close()

    def __contains__(self, name: str) -> bool:
        return name in self.datasets

    def below(self, group: str) -> list[str]:
        """Paths of the datasets inside a group, or of the dataset of that name, in alphabetical order."""
        return sorted(name for name in self.datasets if name == group or name.startswith(f"{group}/"))

    def rows(self, name: str) -> int | None:
        """The first dimension; None for a scalar."""
        shape = self.datasets[name].shape
        return int(shape[0]) if shape else None

    def row_bytes(self, name: str) -> int:
        """Raw bytes of one row."""
        dataset = self.datasets[name]
        return int(dataset.dtype.itemsize) * math.prod(dataset.shape[1:])

    def is_numeric(self, name: str) -> bool:
        """Whether it holds truth values, whole or real numbers of at most 64 bits."""
        dtype = self.datasets[name].dtype
        return dtype.kind in STORED_KINDS and dtype.itemsize <= WIDEST

    def read(self, name: str, start: int = 0, stop: int | None = None) -> Shaped[np.ndarray, "rows ..."]:
        """Rows [start, stop), all rows where none are given, in the byte order of this machine."""
        with reading(self.path, f"The dataset {name}"):
            dataset = self.datasets[name]
            if name not in self._inflating:
                self._inflating[name] = Inflating(dataset, self._threads) if Inflating.takes(dataset) else None
            inflating = self._inflating[name]
            block = inflating.read(start, len(dataset) if stop is None else stop) if inflating else None
            if block is None:
                block = np.asarray(dataset[start:stop])
        return block if block.dtype.isnative else block.astype(block.dtype.newbyteorder("="))

    def texts(self, name: str, start: int = 0, stop: int | None = None) -> list[str]:
        """Rows [start, stop) of a dataset of texts."""
        with reading(self.path, f"The dataset {name}"):
            dataset = self.datasets[name]
            self._require_lengths(dataset, start, len(dataset) if stop is None else stop)
            return [str(each) for each in dataset.asstr("utf-8", "replace")[start:stop]]

    def _require_lengths(self, dataset: h5py.Dataset, start: int, stop: int) -> None:
        """Raises ValueError where texts are said to be longer than the file, for which HDF5 would take the memory."""
        place = dataset.id.get_offset()
        if place is None or h5py.check_string_dtype(dataset.dtype).length is not None:
            return
        with self.path.open("rb") as file:
            file.seek(place + start * REFERENCE.itemsize)
            lengths = np.fromfile(file, REFERENCE, stop - start)["length"]
        if lengths.sum(dtype=np.uint64) > self.size:
            raise ValueError(f"its texts should have {lengths.sum(dtype=np.uint64):,} bytes")

    def json(self, name: str) -> dict[str, Any]:
        """A dataset that is one text of a fixed length, a JSON object; empty where it is missing or something else.

        HDF5 would take as much memory for any other text, or attribute, as a damaged file says that it is long.
        """
        dataset = self.datasets.get(name)
        if dataset is None or dataset.shape != () or dataset.dtype.kind != "S":
            return {}
        with reading(self.path, f"The dataset {name}"):
            text = dataset.asstr("utf-8", "replace")[()]
        try:
            value = json.loads(text)
        except (ValueError, RecursionError):
            return {}
        return value if isinstance(value, dict) else {}

    def _walk(self, group: h5py.Group, before: str, outer: set[Any], depth: int) -> None:
        """Find the datasets of a group, and of the groups in it; a group that contains itself is walked once."""
        place = h5py.h5o.get_info(group.id)
        key = (place.fileno, place.addr)
        if key in outer or depth > DEEPEST:
            return
        for part in group:
            name = f"{before}{part}"
            if not stays_inside(name) or not isinstance(part, str):
                raise InvalidInput(f"{self.path}: {name!r} cannot name an array: it is no path inside a folder.")
            if not isinstance(group.get(part, getlink=True), h5py.HardLink):
                self.links.append(name)
                continue
            item = group[part]
            if isinstance(item, h5py.Dataset):
                self._check(name, item)
                self.datasets[name] = item
            elif isinstance(item, h5py.Group):
                self._walk(item, f"{name}/", outer | {key}, depth + 1)

    def _check(self, name: str, dataset: h5py.Dataset) -> None:
        """Raises InvalidInput for what lies in another file, and for what this file is too small to hold."""
        elsewhere = dataset.is_virtual and any(each.file_name != "." for each in dataset.virtual_sources())
        if elsewhere or dataset.external:
            raise InvalidInput(
                f"{name} of {self.path} lies in another file, which is not read: copy the data into one file, with "
                f"h5repack or h5py."
            )
        if dataset.shape is None:
            return
        raw = int(dataset.dtype.itemsize) * int(np.prod([int(each) for each in dataset.shape], dtype=object))
        if not can_unpack(raw, self.size) and not dataset.is_virtual:
            raise InvalidInput(
                f"{name} of {self.path} says that it holds {raw:,} bytes, in a file of {self.size:,}: it is damaged, "
                "or was never filled."
            )


LAYOUTS = {
    "d4rl": ("D4RL's", {"observations", "actions", "rewards", "terminals"}),
    "kabuki": ("Kabuki's", {"observation", "action", "reward"}),
}
"""Of each door to one file of flat arrays: whose layout it reads, and the names at the top by which that is known."""


def require_layout(file: Hdf5, wanted: str) -> None:
    """Raises InvalidInput where a file has the layout of another door, and not that of `wanted`."""
    there = {name.partition("/")[0] for name in file.datasets}
    looks = [door for door, (_, names) in LAYOUTS.items() if names <= there]
    if looks and wanted not in looks:
        whose, names = LAYOUTS[looks[0]]
        raise InvalidInput(
            f"{file.path} has not {LAYOUTS[wanted][0]} layout. It holds {', '.join(sorted(names))}, which looks like "
            f"{whose} layout.\nRead it so: {again(source=looks[0])}"
        )


def numbers_of(file: Hdf5, name: str, wanted: str) -> h5py.Dataset:
    """A dataset of numbers. Raises InvalidInput where it is missing or something else; `wanted` says what is meant."""
    if name not in file:
        inside = [each for each in file.datasets if each.startswith(f"{name}/")]
        there = f"{name} is a group" if inside else f"there are {', '.join(sorted(file.datasets)[:8]) or 'no datasets'}"
        raise InvalidInput(f"{file.path} needs a dataset {name}, {wanted}; {there}.")
    if not file.is_numeric(name):
        dtype = file.datasets[name].dtype
        raise InvalidInput(
            f"{name} of {file.path} must hold {wanted}: numbers of at most 64 bits; its elements are "
            f"{'objects' if dtype.kind == 'O' else dtype}."
        )
    return file.datasets[name]


def column_of(file: Hdf5, name: str, wanted: str) -> None:
    """Raises InvalidInput unless a dataset holds one number for each row: (N,) or (N, 1)."""
    shape = numbers_of(file, name, wanted).shape
    if not shape or np.prod(shape[1:], dtype=np.int64) != 1:
        raise InvalidInput(f"{name} of {file.path} must hold {wanted}; it has the shape {list(shape)}.")


def same_rows(file: Hdf5, names: Sequence[str]) -> int:
    """The first dimension that datasets have in common. Raises InvalidInput where they differ."""
    rows = {name: file.rows(name) for name in names}
    if None in rows.values() or len(set(rows.values())) != 1:
        listed = ", ".join(f"{name} {count if count is not None else 'a scalar'}" for name, count in rows.items())
        raise InvalidInput(
            f"{file.path}: all arrays of steps need the same first dimension; they have {listed}. The file is cut, or "
            "was not written to its end: copy it again."
        )
    count = next(iter(rows.values()))
    if not count:
        raise InvalidInput(f"{file.path} holds no rows.")
    return count


def infos_of(
    file: Hdf5, rows: int, used: Collection[str], named: Callable[[str], str], quirks: Quirks
) -> dict[str, str]:
    """The datasets beside those in `used` that have a row of numbers for each step, by our names.

    `named` gives the name of an info; of two that get the same name, the later one has `%` behind it. Notes datasets
    that hold something else, and links.
    """
    infos: dict[str, str] = {}
    others = []
    for path in sorted(set(file.datasets).difference(used)):
        if file.rows(path) != rows or not file.is_numeric(path):
            others.append(path)
            continue
        name = named(path)
        while name in infos:
            name += "%"
        infos[name] = path
    note_unread(others, "have no numbers for each row", quirks)
    if file.links:
        quirks.note(
            "links",
            f"Links to other places were not followed: {few(file.links)}.",
            len(file.links),
            rule="a file is read alone",
            dropped=len(file.links),
            unit="links",
        )
    return infos


def note_unread(names: Sequence[str], why: str, quirks: Quirks) -> None:
    """Note datasets that are not read, if there are any."""
    if names:
        quirks.note(
            "unread_arrays",
            f"Datasets that {why} were not read: {few(names)}.",
            len(names),
            rule="infos have a row of numbers for each step",
            dropped=len(names),
            unit="arrays",
        )
