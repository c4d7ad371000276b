"""The short rows of a dataset's step arrays, decoded, in files beside the dataset that are mapped into memory.

A read of 32 actions from a compressed array takes as long as one of 32 frames: many of them are compressed together.
So each such array is decoded once, block by block as its rows are asked for, for all processes and all later runs.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from glob import escape
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

import numpy as np
from blake3 import blake3
from jaxtyping import Bool, Float64, Int64, Shaped

from pipeline.artifacts.beside import ROWS, hidden_places
from pipeline.dataset.columns import RowSpec
from pipeline.dataset.index import DatasetIndex
from pipeline.errors import InvalidInput
from pipeline.machine.compiled import compiled
from pipeline.machine.files import human_bytes
from pipeline.storage.choice import storage_of
from pipeline.views.block_file import BlockFile
from pipeline.views.stored_rows import StoredRows, copy_as, runs_between

BLOCK_ROWS = 2**16
BLOCK_BYTES = 4 * 2**20
"""A block has so many rows, or bytes where they are long."""

FEWEST_ROWS, FEW_PARTS = 2**12, 8
"""A block of so many rows may lie in any number of parts; one of more lies in so many of the first part's size."""

LONGEST_COMPRESSED, LONGEST_RAW = 1024, 64
"""Bytes of the longest rows that are decoded so: of compressed arrays, and of those that are mapped as they lie."""

RowsBetween = Callable[[int, int], tuple[int, Shaped[np.ndarray, "rows ..."]]]
"""Gives at least the rows [start, stop): the number of the first that it gives, and the rows from there on."""

log = logging.getLogger(__name__)


class _Held(NamedTuple):
    """The rows as far as they are filled; replaced as a whole, so that threads see what belongs together.

    Attributes:
        file: that holds them; None where they are in memory alone.
        array: all rows.
        ready: the blocks that are filled.
    """

    file: BlockFile | None
    array: Shaped[np.ndarray, "rows ..."]
    ready: Bool[np.ndarray, " blocks"]


class MappedArray:
    """One array over all rows of a dataset that owns its parts, in memory as far as it was asked for.

    Args:
        owner: the dataset.
        key: names the array, and whatever else decides what its rows hold.
        row: one of them.
        fill: gives rows that are not there yet.
    """

    def __init__(self, owner: DatasetIndex, key: str, row: RowSpec, fill: RowsBetween) -> None:
        self._owner, self._key, self._row, self._fill = owner, key, row, fill
        self._rows = int(owner.arrays["part_rows"][-1])
        self._block = _block_rows(owner, row)
        file, ready = self._opened(), np.zeros(-(-self._rows // self._block), np.bool_)
        self._held = _Held(file, file.array if file else self._in_memory(), ready)

    def read(
        self,
        starts: Int64[np.ndarray, " n"],
        counts: Int64[np.ndarray, " n"],
        out: Shaped[np.ndarray, "rows ..."],
        at: Int64[np.ndarray, " n"],
    ) -> None:
        """Copy the rows [start, start + count) to out[at : at + count], which may have another type of number."""
        copy_as(self._filled(starts, counts), starts, counts, out, at)

    def between(self, start: int, stop: int) -> Shaped[np.ndarray, "rows ..."]:
        """The rows [start, stop), as they lie in memory; nobody may write to them."""
        return self._filled(np.array([start]), np.array([stop - start]))[start:stop]

    def _filled(
        self, starts: Int64[np.ndarray, " n"], counts: Int64[np.ndarray, " n"]
    ) -> Shaped[np.ndarray, "rows ..."]:
        """An array of all rows that has those of these runs. Several threads may ask for it, without a lock."""
        while True:
            held = self._held
            for block in self._missing(held, starts, counts):
                if not held.ready[block] and held is self._held:  # the one before may have filled it, too
                    self._make_ready(held, block)
            if held is self._held:  # otherwise some thread has gone on in memory, where other blocks are filled
                return held.array

    def _missing(self, held: _Held, starts: Int64[np.ndarray, " n"], counts: Int64[np.ndarray, " n"]) -> Sequence[int]:
        """The blocks in which these rows lie, as far as they are not filled."""
        if not len(starts):
            return ()
        first, last = starts // self._block, np.maximum(starts, starts + counts - 1) // self._block
        if held.ready[first].all() and held.ready[last].all() and (last - first).max() <= 1:
            return ()
        wanted = np.zeros(len(held.ready) + 1, np.int64)
        np.add.at(wanted, first, 1)
        np.add.at(wanted, last + 1, -1)
        return np.flatnonzero((np.cumsum(wanted)[:-1] > 0) & ~held.ready).tolist()

    def _make_ready(self, held: _Held, block: int) -> None:
        start, stop = self._between(block)
        if held.file and held.file.is_filled(block, self._owner.source_of(start, stop)):
            held.ready[block] = True
            return
        first, rows = self._fill(start, stop)
        for each in range(-(-first // self._block), -(-(first + len(rows)) // self._block)):
            begin, end = self._between(each)
            if end <= first + len(rows) and not held.ready[each] and held is self._held:
                self._keep(held, each, rows[begin - first : end - first])

    def _keep(self, held: _Held, block: int, rows: Shaped[np.ndarray, "rows ..."]) -> None:
        start, stop = self._between(block)
        if held.file:
            try:
                held.file.fill(block, self._owner.source_of(start, stop), rows)
            except OSError as error:
                self._go_on_in_memory(held, error)
                return
        else:
            held.array[start:stop] = rows
        held.ready[block] = True

    def _go_on_in_memory(self, before: _Held, error: OSError) -> None:
        log.warning(
            "the decoded rows of %s of %s cannot be kept on disk (%s): each process decodes them into its memory, up "
            "to %s", self._key, self._owner.name, error, human_bytes(self._rows * self._row.nbytes),
        )  # fmt: skip
        array, ready = self._in_memory(), before.ready.copy()
        for block in np.flatnonzero(ready).tolist():
            start, stop = self._between(block)
            array[start:stop] = before.array[start:stop]
        self._held = _Held(None, array, ready)

    def _in_memory(self) -> Shaped[np.ndarray, "rows ..."]:
        try:
            return np.zeros((self._rows, *self._row.shape), self._row.dtype)  # pages that nobody touches take nothing
        except MemoryError as error:
            size = human_bytes(self._rows * self._row.nbytes)
            raise InvalidInput(
                f"{self._key} of {self._owner.name} has {size} of decoded rows, for which there is neither a disk nor "
                f"memory. Make room beside {self._owner.folder}, or in the folder that TMPDIR names."
            ) from error

    def _between(self, block: int) -> tuple[int, int]:
        return block * self._block, min((block + 1) * self._block, self._rows)

    def _opened(self) -> BlockFile | None:
        """The file, where one can be made; what it is of, its name and its head say."""
        first = self._owner.arrays["part_checks"][:1].tobytes()
        identity = blake3(f"{self._owner.name} {self._key} {self._row}".encode() + first).digest(16)
        stem = quote(self._key, safe="")
        stem = stem if len(stem) <= 100 else blake3(stem.encode()).hexdigest(16)
        for folder in hidden_places(self._owner.folder, ROWS):
            path = folder / f"{stem}-{identity.hex()[:12]}.rows"
            try:
                folder.mkdir(exist_ok=True)
                if not path.exists():
                    _remove_older(folder, stem)
                return BlockFile(path, identity, self._row, self._rows, self._block)
            except OSError as error:
                log.debug("%s cannot be kept in %s: %s", self._key, folder, error)
        return None


def _block_rows(owner: DatasetIndex, row: RowSpec) -> int:
    """A power of two: fewer where rows are long, or where so many would lie in more than a few parts."""
    first_part = int(np.diff(owner.arrays["part_rows"][:2]).sum())
    rows = min(BLOCK_BYTES // max(1, row.nbytes), max(FEWEST_ROWS, FEW_PARTS * first_part))
    return min(BLOCK_ROWS, 1 << max(0, rows.bit_length() - 1))


def _remove_older(folder: Path, stem: str) -> None:
    """Remove the file of the same array of a dataset that began otherwise."""
    for path in folder.glob(f"{escape(stem)}-????????????.rows"):
        with suppress(OSError):
            path.unlink()


class SmallRows:
    """The short step arrays of a dataset that owns its parts, and what is computed over its states."""

    def __init__(self, owner: DatasetIndex) -> None:
        self._owner = owner
        self._files: dict[str, MappedArray] = {}
        compressed = bool(owner.parts) and storage_of(owner.part_folder(0)).compressed
        self._longest = LONGEST_COMPRESSED if compressed else LONGEST_RAW

    def __reduce__(self) -> tuple[Any, ...]:
        return SmallRows, (self._owner,)  # each process maps the files itself

    def holds(self, row: RowSpec) -> bool:
        """Whether an array with such rows is read from here."""
        return row.nbytes <= self._longest

    def of(self, name: str, row: RowSpec) -> MappedArray:
        """A step array, one row of which is `row`."""
        if name not in self._files:
            stored = StoredRows(self._owner, name, row, whole=False)
            self._files[name] = MappedArray(self._owner, name, row, partial(self._stored, stored, row))
        return self._files[name]

    def returns(self, discount: float, reward: RowSpec) -> MappedArray:
        """Of each row, the sum of discount**k times the reward k rows later in its episode; float64."""
        key = f"return_to_go {discount!r}"
        if key not in self._files:
            row = RowSpec(np.dtype(np.float64), ())
            self._files[key] = MappedArray(self._owner, key, row, partial(self._computed, discount, reward))
        return self._files[key]

    def _stored(
        self, stored: StoredRows, row: RowSpec, start: int, stop: int
    ) -> tuple[int, Shaped[np.ndarray, "rows ..."]]:
        out = np.empty((stop - start, *row.shape), row.dtype)
        rows, counts = runs_between(self._owner, start, stop)
        stored.read(rows, counts, out, rows - start)
        return start, out

    def _computed(
        self, discount: float, reward: RowSpec, start: int, stop: int
    ) -> tuple[int, Float64[np.ndarray, " rows"]]:
        ends = self._owner.arrays["ends"]
        first, last = np.searchsorted(ends, (start, stop - 1), "right").tolist()
        begin = int(ends[first - 1]) if first else 0
        rewards = self.of("reward", reward).between(begin, int(ends[last]))
        out = np.empty(len(rewards))
        sum_backwards(rewards.astype(np.float64), ends[first : last + 1] - begin, discount, out)
        return begin, out


@compiled()
def sum_backwards(
    rewards: Float64[np.ndarray, " rows"],
    ends: Int64[np.ndarray, " episodes"],
    discount: float,
    out: Float64[np.ndarray, " rows"],
) -> None:
    """out[i] = rewards[i] + discount * out[i + 1] within each episode, which `ends` at that row."""
    start = 0
    for end in ends:
        later = 0.0
        for row in range(end - 1, start - 1, -1):
            later = rewards[row] + discount * later
            out[row] = later
        start = end
