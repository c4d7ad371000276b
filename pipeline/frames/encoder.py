"""Pictures of environments while they are played: where one knows what changed on its screen, only that is copied."""

from __future__ import annotations

import numpy as np
from blake3 import blake3
from jaxtyping import Int64, UInt8

from pipeline.frames.png import encode_png, encode_rows
from pipeline.frames.store import EncodedPicture, digest_head, pixel_digest
from pipeline.interfaces import Environment, Redrawing
from pipeline.machine.compiled import compiled


class PictureEncoder:
    """Called with an environment, gives what it shows now. Keeps a canvas for each environment that is `Redrawing`."""

    def __init__(self) -> None:
        self._canvases: dict[int, _Canvas] = {}

    def __call__(self, environment: Environment) -> EncodedPicture:
        if (canvas := self._canvases.get(id(environment))) is not None:
            return canvas.picture()
        if isinstance(environment, Redrawing):
            canvas = self._canvases[id(environment)] = _Canvas(environment)
            return canvas.picture()
        pixels = np.ascontiguousarray(environment.render())
        return EncodedPicture(encode_png(pixels), pixel_digest(pixels))


class _Canvas:
    """What an environment has drawn: behind the head of its digest, so that both are hashed in one piece, which takes
    three quarters of the time of two; and in rows as PNG has them.
    """

    def __init__(self, environment: Redrawing) -> None:
        self._environment = environment  # held, so that no other object gets its id
        height, width, channels = environment.picture_shape()
        head = np.frombuffer(digest_head((height, width, channels)), np.uint8)
        self._hashed = np.concatenate([head, np.zeros(height * width * channels, np.uint8)])
        self._pixels = self._hashed[len(head) :].reshape(height, width, channels)
        self._rows = np.zeros((height, 1 + width * channels), np.uint8)
        self._last: EncodedPicture | None = None

    def picture(self) -> EncodedPicture:
        changed = self._environment.redraw(self._pixels)
        if self._last is None or len(changed):
            _copy_rows(self._pixels, changed, self._rows)
            png = encode_rows(self._rows, self._pixels.shape[2])
            self._last = EncodedPicture(png, blake3(self._hashed.data).digest())
        return self._last


@compiled()
def _copy_rows(
    pixels: UInt8[np.ndarray, "h w c"], numbers: Int64[np.ndarray, "n"], rows: UInt8[np.ndarray, "h 1+bytes"]
) -> None:
    """Copy rows of a picture behind the first byte of rows of a PNG file."""
    flat = pixels.reshape(len(rows), rows.shape[1] - 1)
    for y in numbers:
        rows[y, 1:] = flat[y]
