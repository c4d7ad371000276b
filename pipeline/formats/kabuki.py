"""Kabuki HDF5: one file a task with flat arrays of T+1 rows an episode, aligned as state, action, reward."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import h5py
import numpy as np
from jaxtyping import Bool, Int64

from pipeline.dataset.columns import RowSpec
from pipeline.episode import INFO, PRESENT
from pipeline.formats.contract import Format, Outgoing
from pipeline.formats.episode_table import require_plain_texts, write_table
from pipeline.formats.flat import FlatEpisodes
from pipeline.formats.hdf5 import COMPRESSIONS, FileColumn, write_hdf5
from pipeline.sources.kabuki import (
    EPISODES,
    FIRST,
    FORM,
    LAST,
    PROVENANCE,
    STEP_MASKS,
    STEP_METADATA,
    TERMINAL,
    KabukiSource,
)
from pipeline.wording import check_choice

FLAG = RowSpec(np.dtype(np.bool_), ())


class KabukiFormat(Format):
    """`TASK.hdf5`; loses nothing.

    Args:
        compression: `gzip`, `lzf` or `none`.
    """

    name = "kabuki"
    suffix = ".hdf5"

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
            file.attrs.update(_attributes(outgoing, episodes))
            write_table(file, EPISODES, episodes, episodes.offsets)

        write_hdf5(path, list(_columns(episodes)), self.compression, beside, episodes.progress())

    def source(self, path: Path) -> KabukiSource:
        return KabukiSource(str(path))


def _columns(episodes: FlatEpisodes) -> Iterator[FileColumn]:
    """The datasets, in the order in which they lie in the file."""

    def array(name: str) -> Callable[[int, int], np.ndarray]:
        return lambda start, stop: episodes.read(name, start, stop)

    def flag(rows: Int64[np.ndarray, " k"]) -> Callable[[int, int], Bool[np.ndarray, " rows"]]:
        def read(start: int, stop: int) -> Bool[np.ndarray, " rows"]:
            flags = np.zeros(stop - start, np.bool_)
            flags[rows[slice(*np.searchsorted(rows, (start, stop)))] - start] = True
            return flags

        return read

    for name, row in episodes.specs.items():
        yield FileColumn(_path(name), row, episodes.rows, array(name))
    lasts = episodes.ends - 1
    marks = {FIRST: episodes.offsets, LAST: lasts, TERMINAL: lasts[episodes.terminated]}
    for name, rows in marks.items():
        yield FileColumn(name, FLAG, episodes.rows, flag(rows))


def _path(name: str) -> str:
    """Where a step array lies in the file."""
    if name.startswith(INFO):
        return f"{STEP_METADATA}/{name.removeprefix(INFO)}"
    if name.startswith(PRESENT):
        return f"{STEP_MASKS}/{name.removeprefix(PRESENT)}"
    return name


def _attributes(data: Outgoing, episodes: FlatEpisodes) -> dict[str, str | int]:
    """What the file says of itself."""
    facts = data.provenance
    environment = facts.get("parameters", {}).get("environment", {})
    return {
        "format": FORM,
        "format_version": "1.0",
        "alignment": "SAR",
        "env_id": str(environment.get("id", f"{data.domain}/{data.task}")),
        "env_spec": json.dumps(environment),
        "num_episodes": len(episodes),
        "num_transitions": int(episodes.lengths.sum()),
        "created_by": str(facts.get("tool", "")),
        "source": f"{data.domain}/{data.task}/{data.name}",
        "discount_convention": "dm_env",
        PROVENANCE: json.dumps(dict(facts)),
    }
