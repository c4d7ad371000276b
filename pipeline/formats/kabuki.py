"""Kabuki HDF5: one file a task with flat arrays of T+1 rows an episode, aligned as state, action, reward."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import h5py

from pipeline.episode import INFO, PRESENT
from pipeline.formats.contract import Outgoing
from pipeline.formats.episode_table import write_origin, write_table
from pipeline.formats.flat import FlatEpisodes
from pipeline.formats.flat_hdf5 import FlatHdf5Format
from pipeline.formats.hdf5 import FileColumn, flag_column
from pipeline.sources.kabuki import (
    EPISODES,
    FIRST,
    LAST,
    STEP_MASKS,
    STEP_METADATA,
    TERMINAL,
    KabukiSource,
)

FORM = "kabuki-hdf5"
"""What a file says that it is."""

CONVENTIONS = {"alignment": "SAR", "discount_convention": "dm_env"}
"""Attributes of each file."""


class KabukiFormat(FlatHdf5Format):
    """Arrays of T+1 rows an episode; loses nothing."""

    name = "kabuki"

    def columns(self, data: Outgoing, episodes: FlatEpisodes) -> Iterator[FileColumn]:
        for name, row in episodes.specs.items():
            yield FileColumn(_path(name), row, episodes.rows, partial(episodes.read, name))
        lasts = episodes.ends - 1
        marks = {FIRST: episodes.offsets, LAST: lasts, TERMINAL: lasts[episodes.terminated]}
        yield from (flag_column(name, episodes.rows, rows) for name, rows in marks.items())

    def beside(self, file: h5py.File, data: Outgoing, episodes: FlatEpisodes) -> None:
        write_table(file, EPISODES, episodes, episodes.offsets)
        write_origin(file, EPISODES, FORM, data, episodes, **CONVENTIONS)

    def source(self, path: Path) -> KabukiSource:
        return KabukiSource(str(path))


def _path(name: str) -> str:
    """Where a step array lies in the file."""
    if name.startswith(INFO):
        return f"{STEP_METADATA}/{name.removeprefix(INFO)}"
    if name.startswith(PRESENT):
        return f"{STEP_MASKS}/{name.removeprefix(PRESENT)}"
    return name
