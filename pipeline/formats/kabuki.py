"""Kabuki HDF5: one file a task with flat arrays of T+1 rows an episode, aligned as state, action, reward."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

import h5py

from pipeline.episode import INFO, PRESENT
from pipeline.formats.contract import Format, Outgoing
from pipeline.formats.episode_table import attributes_of, require_plain_texts, write_table
from pipeline.formats.flat import FlatEpisodes
from pipeline.formats.hdf5 import COMPRESSIONS, FileColumn, flag_column, write_hdf5
from pipeline.sources.kabuki import (
    EPISODES,
    FIRST,
    FORM,
    LAST,
    STEP_MASKS,
    STEP_METADATA,
    TERMINAL,
    KabukiSource,
)
from pipeline.wording import check_choice

CONVENTIONS = {"alignment": "SAR", "discount_convention": "dm_env"}
"""Attributes of each file."""


class KabukiFormat(Format):
    """`TASK.hdf5`; loses nothing.

    Args:
        compression: `gzip`, `lzf` or `none`.
    """

    name = "kabuki"
    suffixes = (".hdf5", ".h5")

    def __init__(self, compression: str = "gzip") -> None:
        check_choice("format.compression", compression, COMPRESSIONS)
        self.compression = compression

    def identity(self) -> Mapping[str, Any]:
        return {"compression": self.compression}

    def require(self, data: Sequence[Outgoing]) -> None:
        for each in data:
            require_plain_texts(each)

    def place(self, data: Sequence[Outgoing]) -> PurePosixPath:
        return PurePosixPath(f"{data[0].task}.hdf5")

    def write(self, data: Sequence[Outgoing], folder: Path) -> None:
        (outgoing,) = data
        episodes = FlatEpisodes(outgoing)
        path = folder / self.place(data)
        path.parent.mkdir(parents=True, exist_ok=True)

        def beside(file: h5py.File) -> None:
            file.attrs.update(
                attributes_of(FORM, outgoing, episodes) | {"alignment": "SAR", "discount_convention": "dm_env"}
            )
            write_table(file, EPISODES, episodes, episodes.offsets)

        write_hdf5(path, list(_columns(episodes)), self.compression, beside, episodes.progress())

    def source(self, path: Path) -> KabukiSource:
        return KabukiSource(str(path))


def _columns(episodes: FlatEpisodes) -> Iterator[FileColumn]:
    """The datasets, in the order in which they lie in the file."""
    for name, row in episodes.specs.items():
        yield FileColumn(_path(name), row, episodes.rows, partial(episodes.read, name))
    lasts = episodes.ends - 1
    marks = {FIRST: episodes.offsets, LAST: lasts, TERMINAL: lasts[episodes.terminated]}
    yield from (flag_column(name, episodes.rows, rows) for name, rows in marks.items())


def _path(name: str) -> str:
    """Where a step array lies in the file."""
    if name.startswith(INFO):
        return f"{STEP_METADATA}/{name.removeprefix(INFO)}"
    if name.startswith(PRESENT):
        return f"{STEP_MASKS}/{name.removeprefix(PRESENT)}"
    return name
