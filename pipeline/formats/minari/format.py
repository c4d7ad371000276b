"""Minari datasets out: `stage=export format=minari`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from pipeline.errors import InvalidInput
from pipeline.formats.contract import CannotHold, Format, Outgoing
from pipeline.formats.hdf5 import COMPRESSIONS
from pipeline.formats.minari.metadata import MINARI_VERSION, minari_metadata
from pipeline.formats.minari.segments import SEGMENT, write_groups
from pipeline.formats.minari.spaces import MinariSpaces, action_space, observation_space
from pipeline.formats.minari.tables import write_episode_tables
from pipeline.machine.files import write_json
from pipeline.sources.minari.layout import (
    DATA,
    DATA_FORMATS,
    HDF5,
    METADATA,
    array_places,
    check_dataset_id,
    default_dataset_id,
)
from pipeline.sources.minari.source import MinariSource
from pipeline.wording import check_choice, few


class MinariFormat(Format):
    """`<id>/data/` below a root of Minari datasets, as its version 0.5.4 reads it. Pictures are exact.

    Args:
        id: the dataset's id, in which `{domain}`, `{task}` and `{dataset}` stand for their names; None for
            `<domain>/<task>/<dataset>` in Minari's spelling.
        data: `hdf5`, `arrow` or `parquet`.
        compression: of HDF5's arrays: `none`, as Minari's own, `gzip` or `lzf`.
        segment: bytes of episodes after which an HDF5 file can go on after a kill.

    Raises InvalidInput for other settings.
    """

    name = "minari"

    def __init__(
        self, id: str | None = None, data: str = HDF5, compression: str = "none", segment: int = SEGMENT
    ) -> None:
        check_choice("format.data", data, DATA_FORMATS)
        check_choice("format.compression", compression, COMPRESSIONS)
        if compression != "none" and data != HDF5:
            raise InvalidInput(f"format.compression={compression} is of HDF5 files alone; format.data={data} has none.")
        if id is not None:
            _filled_in(id, "domain/task/dataset-v0")
        self._id, self._data, self._compression, self._segment = id, data, compression, segment

    def identity(self) -> Mapping[str, Any]:
        layout = {"version": 1, "data": self._data, "compression": self._compression, "minari": MINARI_VERSION}
        return {**layout, **({"id": self._id} if self._id else {})}

    def place(self, data: Sequence[Outgoing]) -> PurePosixPath:
        (outgoing,) = data
        plain = default_dataset_id(outgoing.domain, outgoing.task, outgoing.name)
        return PurePosixPath(plain if self._id is None else _filled_in(self._id, plain))

    def require(self, data: Sequence[Outgoing]) -> None:
        self.place(data)
        empty = [name for name, row in data[0].rows.items() if 0 in row.shape]
        if empty and self._data != HDF5:
            raise CannotHold(f"{self._data} holds no rows without a number: {few(empty)}. format.data=hdf5 holds them.")

    def write(self, data: Sequence[Outgoing], folder: Path) -> None:
        (outgoing,) = data
        place = self.place(data)
        inside = folder / place / DATA
        if (inside / METADATA).exists():
            return
        inside.mkdir(parents=True, exist_ok=True)
        places = array_places(outgoing.rows, outgoing.dataset.has_own_discounts)
        spaces = MinariSpaces(observation_space(places), action_space(outgoing))
        if self._data == HDF5:
            write_groups(outgoing, places, inside, self._compression, self._segment)
        else:
            write_episode_tables(outgoing, places, inside, self._data, spaces.is_discrete)
        write_json(inside / METADATA, minari_metadata(outgoing, str(place), places, spaces, self._data, inside))

    def source(self, path: Path) -> MinariSource:
        return MinariSource(str(path))


def _filled_in(id: str, plain: str) -> str:
    """The id with the parts of the plain one in the places that name them. Raises InvalidInput where it is none."""
    for name, part in zip(("domain", "task", "dataset"), plain.split("/"), strict=True):
        id = id.replace(f"{{{name}}}", part)
    return check_dataset_id(id)
