"""Rows of a step array as the parts of a dataset have them, wherever they lie there."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
from jaxtyping import Int64, Shaped

from pipeline.artifacts.remake import remake
from pipeline.artifacts.store import artifact_in_place
from pipeline.dataset.columns import STEPS, RowSpec
from pipeline.dataset.index import DatasetIndex
from pipeline.episode import INFO, PRESENT
from pipeline.errors import DamagedArtifact
from pipeline.storage.copying import copy_rows
from pipeline.storage.spans import Spans


class StoredRows:
    """A step array over all rows of a dataset that owns its parts; a part is checked before it is opened.

    Args:
        owner: the dataset.
        name: of the array.
        row: one of them.
        whole: whether all files of a part are checked, or those of this array alone, each time that it is opened.
    """

    def __init__(self, owner: DatasetIndex, name: str, row: RowSpec, whole: bool = True) -> None:
        self._owner, self._name, self._row = owner, name, row
        folder = partial(_whole_part, owner) if whole else partial(_part_with, owner, name)
        self._spans = Spans(folder, f"{STEPS}{name}", row.shape, row.dtype, rows=partial(_rows_of_part, owner))

    def read(
        self,
        rows: Int64[np.ndarray, " n"],
        counts: Int64[np.ndarray, " n"],
        out: Shaped[np.ndarray, "outs ..."],
        at: Int64[np.ndarray, " n"],
    ) -> None:
        """Copy the rows [row, row + count), which lie in one part each, to out[at : at + count].

        `out` may have another type of number. Where a part lacks an info, there are zeros, and its mask says so.

        Raises DamagedArtifact, with what makes the dataset again, where files are cut, gone or changed.
        """
        parts = self._owner.part_of(rows)
        starts = rows - self._owner.arrays["part_rows"][parts]
        if self._name.startswith((INFO, PRESENT)) and not (there := self._owner.has(self._name)[parts]).all():
            self._fill_absent(rows[~there], counts[~there], out, at[~there])
            parts, starts, counts, at = parts[there], starts[there], counts[there], at[there]
        if out.dtype == self._row.dtype:
            self._read(parts, starts, counts, out, at)
            return
        own = np.empty((int(counts.sum()), *self._row.shape), self._row.dtype)
        self._read(parts, starts, counts, own, np.cumsum(counts) - counts)
        put(own, counts, out, at)

    def _read(
        self,
        parts: Int64[np.ndarray, " n"],
        starts: Int64[np.ndarray, " n"],
        counts: Int64[np.ndarray, " n"],
        out: Shaped[np.ndarray, "outs ..."],
        at: Int64[np.ndarray, " n"],
    ) -> None:
        try:
            self._spans.read(parts, starts, counts, out, at)
        except DamagedArtifact as error:
            if error.remake:
                raise
            raise DamagedArtifact(str(error), remake(artifact_in_place(self._owner.folder))) from error

    def _fill_absent(
        self,
        rows: Int64[np.ndarray, " n"],
        counts: Int64[np.ndarray, " n"],
        out: Shaped[np.ndarray, "outs ..."],
        at: Int64[np.ndarray, " n"],
    ) -> None:
        """Zeros; of a mask, whether the part has the info: then all its steps do, but no last row of an episode."""
        everywhere = np.zeros(len(rows), np.bool_)
        if self._name.startswith(PRESENT):
            everywhere = self._owner.has(INFO + self._name.removeprefix(PRESENT))[self._owner.part_of(rows)]
        ends = self._owner.arrays["ends"]
        for row, count, place, value in zip(*(each.tolist() for each in (rows, counts, at, everywhere)), strict=True):
            out[place : place + count] = value
            if value:
                first, last = np.searchsorted(ends, (row + 1, row + count + 1)).tolist()
                out[ends[first:last] - 1 - row + place] = False


def copy_as(
    source: Shaped[np.ndarray, "rows ..."],
    starts: Int64[np.ndarray, " n"],
    counts: Int64[np.ndarray, " n"],
    out: Shaped[np.ndarray, "outs ..."],
    at: Int64[np.ndarray, " n"],
) -> None:
    """source[start : start + count] to out[at : at + count], of each run, in whatever type of number `out` has."""
    if out.dtype == source.dtype:
        copy_rows(source, starts, counts, out, at)
        return
    own = np.empty((int(counts.sum()), *source.shape[1:]), source.dtype)
    copy_rows(source, starts, counts, own, np.cumsum(counts) - counts)
    put(own, counts, out, at)


def put(
    rows: Shaped[np.ndarray, "rows ..."],
    counts: Int64[np.ndarray, " n"],
    out: Shaped[np.ndarray, "outs ..."],
    at: Int64[np.ndarray, " n"],
) -> None:
    """Runs of rows that lie one after the other to out[at : at + count]."""
    before = np.cumsum(counts) - counts
    if not len(at):
        return
    if (at - at[0] == before).all():  # they lie one after the other there, too
        out[at[0] : at[0] + len(rows)] = rows
    else:
        out[np.repeat(at - before, counts) + np.arange(len(rows))] = rows


def _whole_part(owner: DatasetIndex, part: int) -> Path:
    owner.require_part(part)
    return owner.part_folder(part)


def _rows_of_part(owner: DatasetIndex, part: int) -> int:
    return int(np.diff(owner.arrays["part_rows"][part : part + 2])[0])


def _part_with(owner: DatasetIndex, name: str, part: int) -> Path:
    owner.require_array(part, name)
    return owner.part_folder(part)


def runs_between(
    owner: DatasetIndex, start: int, stop: int
) -> tuple[Int64[np.ndarray, " parts"], Int64[np.ndarray, " parts"]]:
    """The rows [start, stop) of an owner as the first row of each part's share of them, and how many."""
    first, last = owner.part_of(np.array([start, stop - 1])).tolist()
    edges = np.clip(owner.arrays["part_rows"][first : last + 2], start, stop)
    return edges[:-1], np.diff(edges)
