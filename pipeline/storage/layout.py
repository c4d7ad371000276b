"""How the rows of a zarr array lie in its files, as far as this program writes such arrays."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.errors import DamagedArtifact
from pipeline.machine.files import read_json

ZARR_JSON = "zarr.json"

EVERY_CHUNK = "every_chunk_is_stored"
"""Attribute of an array: a chunk without a file is damage. Older arrays leave chunks of zeros out."""

COMPRESSORS = ("zstd", "blosc")


@dataclass(frozen=True)
class ChunkLayout:
    """Chunks of whole rows, each alone in a file or many in a shard, compressed one by one.

    Attributes:
        shape: of the whole array.
        chunk_rows: that are compressed together.
        chunks_in_file: 1 where files are no shards.
        compressor: zstd or blosc; empty for raw bytes.
        checked: whether a CRC-32C follows each chunk.
        every_chunk: whether a chunk that is not there is damage; otherwise it is zeros.
        separator: between the numbers of a chunk in its file's name.
    """

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    chunk_rows: int
    chunks_in_file: int
    sharded: bool
    compressor: str
    checked: bool
    every_chunk: bool
    separator: str

    @property
    def rows(self) -> int:
        return self.shape[0]

    def file(self, number: int) -> str:
        """Path of a chunk's or shard's file below the array's folder."""
        return self.separator.join(["c", str(number), *["0"] * (len(self.shape) - 1)])

    @staticmethod
    def of(folder: Path) -> ChunkLayout | None:
        """What an array's metadata say; None where it is stored in another way than this program writes arrays.

        Raises DamagedArtifact where they do not describe an array.
        """
        metadata = read_json(folder / ZARR_JSON)
        try:
            return _layout(metadata)
        except (AttributeError, IndexError, KeyError, TypeError, ValueError, ZeroDivisionError) as error:
            raise DamagedArtifact(f"{folder / ZARR_JSON} does not describe a zarr array: {error!r}") from error


def _layout(metadata: Mapping[str, Any]) -> ChunkLayout | None:
    shape = _sizes(metadata["shape"])
    file_shape, codecs = _sizes(metadata["chunk_grid"]["configuration"]["chunk_shape"]), metadata["codecs"]
    chunk_shape, sharded = file_shape, codecs[0]["name"] == "sharding_indexed"
    if sharded:
        sharding = codecs[0]["configuration"]
        chunk_shape, codecs = _sizes(sharding["chunk_shape"]), sharding["codecs"]
        if sharding.get("index_location", "end") != "end" or _names(sharding["index_codecs"]) != ["bytes", "crc32c"]:
            return None
    encoding = metadata["chunk_key_encoding"]
    names = _names(codecs)
    chain = names[1:-1] if (checked := names[-1] == "crc32c") else names[1:]
    known = (
        metadata["chunk_grid"]["name"] == "regular"
        and encoding["name"] == "default"
        and not metadata["fill_value"]
        and names[0] == "bytes"
        and codecs[0].get("configuration", {}).get("endian", "little") == "little"
        and chain in ([], *([each] for each in COMPRESSORS))
        and all(shape[1:] == each[1:] for each in (file_shape, chunk_shape))
        and file_shape[0] % chunk_shape[0] == 0
    )
    if not known:
        return None
    return ChunkLayout(
        shape=shape,
        dtype=np.dtype(metadata["data_type"]),
        chunk_rows=chunk_shape[0],
        chunks_in_file=file_shape[0] // chunk_shape[0],
        sharded=sharded,
        compressor=chain[0] if chain else "",
        checked=checked,
        every_chunk=bool(metadata.get("attributes", {}).get(EVERY_CHUNK)),
        separator=encoding.get("configuration", {}).get("separator", "/"),
    )


def _sizes(sizes: Any) -> tuple[int, ...]:
    if not isinstance(sizes, list) or not sizes or not all(type(size) is int and size >= 0 for size in sizes):
        raise ValueError(f"{sizes} is no shape")
    return tuple(sizes)


def _names(codecs: Any) -> list[str]:
    return [codec["name"] for codec in codecs]
