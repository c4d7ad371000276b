"""Which storage: by name for writing, by what lies in a folder for reading."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from pipeline.errors import DamagedArtifact, unknown_name
from pipeline.storage.contract import ReadableArray, Storage


def storage_named(name: str) -> Storage:
    """The storage called `zarr` or `bin`; the libraries are imported only here."""
    from pipeline.storage.bin import BinStorage
    from pipeline.storage.zarr import ZarrStorage

    storages: dict[str, Storage] = {"zarr": ZarrStorage(), "bin": BinStorage()}
    if name not in storages:
        raise unknown_name("storage", name, storages)
    return storages[name]


def storage_of(folder: Path) -> Storage:
    """The storage that wrote `folder`: folders say themselves what they are."""
    if (folder / "zarr.json").is_file():
        return storage_named("zarr")
    if (folder / "shapes.json").is_file():
        return storage_named("bin")
    raise DamagedArtifact(f"{folder} holds neither zarr.json nor shapes.json, so it is no folder of arrays.")


def open_arrays(folder: Path) -> Mapping[str, ReadableArray]:
    """All arrays of a folder, whatever storage wrote it."""
    return storage_of(folder).open(folder)
