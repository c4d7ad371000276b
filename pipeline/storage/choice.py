"""Which storage: by name for writing, by what lies in a folder for reading."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path

from pipeline.errors import DamagedArtifact, unknown_name
from pipeline.storage.contract import ReadableArray, Storage


@cache
def storages() -> tuple[Storage, ...]:
    """All storages, the usual one first; their libraries are imported when one is first asked for."""
    from pipeline.storage.bin import BinStorage
    from pipeline.storage.zarr import ZarrStorage

    return (
        ZarrStorage(),
        BinStorage(),
    )


def storage_named(name: str) -> Storage:
    """The storage of that name. Raises UnknownName."""
    named = {storage.name: storage for storage in storages()}
    if name not in named:
        raise unknown_name("storage", name, named)
    return named[name]


def storage_of(folder: Path) -> Storage:
    """The storage that wrote `folder`: folders say themselves what they are. Raises DamagedArtifact."""
    for storage in storages():
        if (folder / storage.marker).is_file():
            return storage
    markers = " nor ".join(storage.marker for storage in storages())
    raise DamagedArtifact(f"{folder} holds neither {markers}, so it is no folder of arrays.")


def without_suffix(folder: str) -> str:
    """A folder's name without what its storage adds: `scripted-v1-bin` is `scripted-v1`."""
    for storage in storages():
        folder = folder.removesuffix(storage.suffix)
    return folder


def open_arrays(folder: Path) -> Mapping[str, ReadableArray]:
    """All arrays of a folder, whatever storage wrote it."""
    return storage_of(folder).open(folder)
