"""Pictures of a column: files of PNG, JPEG or TIFF in its rows, decoded by several threads."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import numpy as np
import pyarrow as pa
from jaxtyping import UInt8
from PIL import Image

from pipeline.errors import InvalidInput
from pipeline.frames.png import decode_own
from pipeline.machine.threads import available_cores

BATCH = 64
"""Pictures that a thread takes at once."""

KINDS = ("PNG", "JPEG", "TIFF")
LOSSY = b"\xff\xd8\xff"
"""How a JPEG file begins."""


class PictureReader:
    """Decodes the pictures of one episode after the other."""

    def __init__(self, pool: ThreadPoolExecutor) -> None:
        self._pool = pool

    def read(self, column: pa.ChunkedArray, name: str, size: tuple[int, int, int]) -> UInt8[np.ndarray, "n h w c"]:
        """All pictures of a column, of the size that info.json says. Raises InvalidInput for others."""
        files = picture_bytes(column, name)
        if files and not files[0].startswith((b"\x89PNG", LOSSY)):
            return self._stacked(files, name, size)
        out = np.empty((len(files), *size), np.uint8)

        def decode(first: int) -> None:
            for row in range(first, min(first + BATCH, len(files))):
                if not decode_own(files[row], out[row]):
                    out[row] = _decoded(files[row], f"{name} at frame {row}", size)

        for _ in self._pool.map(decode, range(0, len(files), BATCH)):
            pass
        return out

    def _stacked(self, files: Sequence[bytes], name: str, size: tuple[int, int, int]) -> np.ndarray:
        """Pictures that may have another dtype than uint8."""
        each = [_decoded(file, f"{name} at frame {row}", size) for row, file in enumerate(files)]
        if len({array.dtype for array in each}) > 1:
            raise InvalidInput(f"{name} holds pictures of several dtypes.")
        return np.stack(each)


@contextmanager
def picture_reader() -> Iterator[PictureReader]:
    """Threads that decode, until the end of the block."""
    with ThreadPoolExecutor(available_cores(), "lerobot-pictures") as pool:
        yield PictureReader(pool)


def picture_bytes(column: pa.ChunkedArray, name: str) -> list[bytes]:
    """The files in the rows of a column. Raises InvalidInput where a row has none."""
    kind = column.type
    if not pa.types.is_struct(kind) or kind.get_field_index("bytes") < 0:
        raise InvalidInput(f"{name} should hold pictures: a struct of bytes and path; the file has {kind}.")
    files: list[bytes] = [each for chunk in column.chunks for each in chunk.field("bytes").to_pylist()]
    if not all(isinstance(each, bytes) for each in files):
        row = next(row for row, each in enumerate(files) if not isinstance(each, bytes))
        raise InvalidInput(
            f"{name} has no picture at frame {row}: pictures that lie in files of their own are not read."
        )
    return files


def _decoded(data: bytes, where: str, size: tuple[int, int, int]) -> np.ndarray:
    height, width, channels = size
    try:
        with Image.open(io.BytesIO(data), formats=KINDS) as image:
            if image.size != (width, height):
                raise InvalidInput(
                    f"{where} should be {width} x {height} pixels, as meta/info.json says; it is {image.size[0]} x "
                    f"{image.size[1]}."
                )
            plain = image.convert("RGB" if channels == 3 else "L") if image.mode in ("P", "1") else image
            array = np.asarray(plain)
    except InvalidInput:
        raise
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise InvalidInput(f"{where} cannot be read as a picture: {error}") from error
    array = array[..., np.newaxis] if array.ndim == 2 else array
    if array.shape != size:
        raise InvalidInput(f"{where} should have {channels} channels, as meta/info.json says; it has {array.shape[2]}.")
    return array
