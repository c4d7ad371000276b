"""Lossless PNG pictures, written at the speed of the simulators that draw them.

Simulators draw large flat areas, which compress well without PNG's filters; so the rows go unfiltered into Intel's
deflate. That takes about 40 us for a console's screen, thirty times less than Pillow at its defaults, and makes files
of once to three times the size (`python -m benchmarks.png`). PNG: https://www.w3.org/TR/png-3/
"""

from __future__ import annotations

import io
import struct
import zlib
from functools import lru_cache

import numpy as np
from isal import isal_zlib
from jaxtyping import UInt8
from zlib_ng import zlib_ng

from pipeline.errors import InvalidInput
from pipeline.machine.compiled import compiled

SIGNATURE = b"\x89PNG\r\n\x1a\n"
LEVEL = 1
"""Of Intel's deflate, 0 to 3; 3 takes eight times as long for files that are hardly smaller."""

_HEAD_BYTES = 33

_MOST_PIXELS = 2**24
"""Of a picture that is not left to Pillow."""

_SHOWS_NOTHING = (b"tEXt", b"iTXt", b"zTXt", b"tIME", b"pHYs", b"gAMA", b"sRGB", b"cHRM", b"bKGD", b"sBIT", b"eXIf")
"""Kinds of chunks beside pixels that change none of them for Pillow."""

_END = struct.pack(">I", 0) + b"IEND" + struct.pack(">I", zlib.crc32(b"IEND"))


def encode_png(picture: UInt8[np.ndarray, "h w 3"]) -> bytes:
    """The file of a picture. Raises InvalidInput for any other array."""
    if picture.dtype != np.uint8 or picture.ndim != 3 or picture.shape[2] != 3 or not picture.size:
        raise InvalidInput(f"A picture is (height, width, 3) uint8; it is {picture.dtype}{list(picture.shape)}.")
    return encode_pngs(picture[np.newaxis])[0]


def encode_pngs(pictures: UInt8[np.ndarray, "n h w c"]) -> list[bytes]:
    """The files of pictures of one size, grey (c = 1) or in colours (c = 3). Other threads run meanwhile."""
    count, height, width, channels = pictures.shape
    rows = np.zeros((count, height, 1 + channels * width), np.uint8)  # each row begins with its filter: 0, none
    rows[:, :, 1:] = pictures.reshape(count, height, -1)
    return [encode_rows(each, channels) for each in rows]


def encode_rows(rows: UInt8[np.ndarray, "h 1+bytes"], channels: int) -> bytes:
    """The file of a picture whose rows each begin with a zero already; other threads run meanwhile."""
    header = _header(len(rows), (rows.shape[1] - 1) // channels, channels)
    return b"".join((SIGNATURE, header, _chunk(b"IDAT", isal_zlib.compress(rows, LEVEL)), _END))


def decode_png(data: bytes) -> UInt8[np.ndarray, "h w 3"]:
    """The picture of a file. Raises InvalidInput where it is none."""
    if (out := _plain_picture(data)) is not None and decode_own(data, out):
        return out
    from PIL import Image  # takes longer to load than to encode a hundred pictures

    try:
        with Image.open(io.BytesIO(data), formats=["PNG"]) as image:
            return np.asarray(image.convert("RGB"))
    except (OSError, SyntaxError, ValueError, EOFError, struct.error, Image.DecompressionBombError) as error:
        raise InvalidInput(f"These {len(data)} bytes are no PNG picture: {error}") from error


def decode_own(data: bytes, out: UInt8[np.ndarray, "h w c"]) -> bool:
    """Read a file of 8 bits a channel, grey or in colours, into `out`; False where it is another, of which Pillow knows
    more.

    Twice as fast as Pillow for small pictures, as `encode_pngs` and Pillow write them. Checksums are compared.
    """
    height, width, channels = out.shape
    before = SIGNATURE + _header(height, width, channels)
    if not data.startswith(before) or not out.flags.c_contiguous or (packed := _packed(data, len(before))) is None:
        return False
    size, unpacking = height * (1 + channels * width), zlib_ng.decompressobj()  # a third faster here than Intel's
    try:
        pixels = unpacking.decompress(packed, size + 1)
    except zlib_ng.error:  # type: ignore[misc]  # it has no types
        return False
    if len(pixels) != size or not unpacking.eof:
        return False
    rows = np.frombuffer(pixels, np.uint8).reshape(height, -1)
    if rows[:, 0].any():
        return _unfilter(rows, out.reshape(height, -1), channels)
    out.reshape(height, -1)[:] = rows[:, 1:]
    return True


def _plain_picture(data: bytes) -> UInt8[np.ndarray, "h w 3"] | None:
    """Room for the picture of a file, by its head; None where it is of another kind, or enormous."""
    if len(data) < _HEAD_BYTES:
        return None
    width, height = struct.unpack(">II", data[16:24])
    if not 0 < width * height <= _MOST_PIXELS or not data.startswith(SIGNATURE + _header(height, width, 3)):
        return None
    return np.empty((height, width, 3), np.uint8)


def _packed(data: bytes, place: int) -> bytes | None:
    """The compressed pixels of a file, whose chunks begin at `place`; None where a chunk is damaged, or of a kind that
    may change what is seen.
    """
    parts = []
    while place + 12 <= len(data):
        length, kind = struct.unpack(">I4s", data[place : place + 8])
        end = place + 8 + length
        if end + 4 > len(data) or isal_zlib.crc32(data[place + 4 : end]) != int.from_bytes(data[end : end + 4], "big"):
            return None
        if kind == b"IDAT":
            parts.append(data[place + 8 : end])
        elif kind == b"IEND":
            return b"".join(parts) if end + 4 == len(data) else None
        elif kind not in _SHOWS_NOTHING:
            return None
        place = end + 4
    return None


@compiled()
def _unfilter(rows: UInt8[np.ndarray, "h bytes+1"], out: UInt8[np.ndarray, "h bytes"], channels: int) -> bool:
    """Undo the filter of each row, which its first byte names; False for a name that there is not."""
    for y in range(len(rows)):
        kind, row, to = rows[y, 0], rows[y, 1:], out[y]
        above = out[y - 1] if y else np.zeros_like(to)
        if kind == 0:
            to[:] = row
        elif kind == 1:
            to[:channels] = row[:channels]
            for x in range(channels, len(row)):
                to[x] = row[x] + to[x - channels]
        elif kind == 2:
            for x in range(len(row)):
                to[x] = row[x] + above[x]
        elif kind == 3:
            for x in range(len(row)):
                left = np.int32(to[x - channels]) if x >= channels else np.int32(0)
                to[x] = row[x] + np.uint8((left + np.int32(above[x])) >> 1)
        elif kind == 4:
            for x in range(channels):
                to[x] = row[x] + above[x]
            for x in range(channels, len(row)):
                a, b, c = np.int32(to[x - channels]), np.int32(above[x]), np.int32(above[x - channels])
                pa, pb, pc = abs(b - c), abs(a - c), abs(a + b - c - c)
                nearest = a if pa <= pb and pa <= pc else b if pb <= pc else c
                to[x] = row[x] + np.uint8(nearest)
        else:
            return False
    return True


@lru_cache(maxsize=64)
def _header(height: int, width: int, channels: int) -> bytes:
    """The first chunk: 8 bits a channel, grey or RGB, rows in order."""
    return _chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, {1: 0, 3: 2}[channels], 0, 0, 0))


def _chunk(kind: bytes, data: bytes) -> bytes:
    return b"".join((struct.pack(">I", len(data)), kind, data, struct.pack(">I", isal_zlib.crc32(kind + data))))
