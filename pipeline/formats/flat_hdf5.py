"""Forms of one HDF5 file a task in which all episodes lie in flat arrays: what they have in common."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

import h5py

from pipeline.formats.contract import Format, Outgoing, Refusal
from pipeline.formats.episode_table import require_plain_texts
from pipeline.formats.flat import FlatEpisodes
from pipeline.formats.hdf5 import COMPRESSIONS, FileColumn, write_hdf5
from pipeline.sources.hdf5 import SUFFIXES
from pipeline.wording import check_choice


class FlatHdf5Format(Format):
    """`TASK.hdf5`; loses nothing. What lies in the file a form says itself.

    Args:
        compression: `gzip`, `lzf` or `none`.
    """

    suffixes = SUFFIXES
    refuses = frozenset({Refusal.NUL})

    def __init__(self, compression: str = "gzip") -> None:
        check_choice("format.compression", compression, COMPRESSIONS)
        self.compression = compression

    def identity(self) -> Mapping[str, Any]:
        return {"version": 1, "compression": self.compression}

    def require(self, data: Sequence[Outgoing]) -> None:
        """Raises CannotHold for a text that HDF5 would cut."""
        for each in data:
            require_plain_texts(each)

    def place(self, data: Sequence[Outgoing]) -> PurePosixPath:
        return PurePosixPath(f"{data[0].task}{SUFFIXES[0]}")

    def columns(self, data: Outgoing, episodes: FlatEpisodes) -> Iterator[FileColumn]:
        """The arrays of all episodes, in the order in which they lie in the file."""
        raise NotImplementedError

    def beside(self, file: h5py.File, data: Outgoing, episodes: FlatEpisodes) -> None:
        """Write all that is small: attributes, and what the episodes say once."""
        raise NotImplementedError

    def write(self, data: Sequence[Outgoing], folder: Path) -> None:
        (outgoing,) = data
        episodes = FlatEpisodes(outgoing)
        path = folder / self.place(data)
        path.parent.mkdir(parents=True, exist_ok=True)
        columns = list(self.columns(outgoing, episodes))
        beside = partial(self.beside, data=outgoing, episodes=episodes)
        write_hdf5(path, columns, self.compression, beside, episodes.progress())
