"""Forms of one HDF5 file a task in which all episodes lie in flat arrays: what they have in common."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any

from pipeline.formats.contract import Format, Outgoing, Refusal
from pipeline.formats.episode_table import require_plain_texts
from pipeline.formats.hdf5 import COMPRESSIONS
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
