"""Frames of videos, which are lossy: the frame of each row is found by its time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from jaxtyping import UInt8

from pipeline.errors import InvalidInput
from pipeline.machine.extras import import_extra
from pipeline.sources.lerobot.tree import Tree

SECONDS = 1e-4
"""By so much the time of a frame may differ, as LeRobot has it."""


class VideoReader:
    """The videos of a set, one file of each camera open at a time; read from front to back where episodes follow."""

    def __init__(self, tree: Tree, keys: Sequence[str]) -> None:
        self._tree = tree
        self._library = import_extra("video", "av") if keys else None
        self._open: dict[str, tuple[Path, Any, Iterator[Any]]] = {}

    def __enter__(self) -> VideoReader:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for _, container, _ in self._open.values():
            container.close()

    def read(self, key: str, facts: Mapping[str, Any], length: int) -> UInt8[np.ndarray, "n h w c"]:
        """The frames of an episode: frame j stands at from_timestamp + j / fps. InvalidInput where one is not."""
        start, place = self._place(key, facts)
        path = self._tree.file(self._tree.video_path, video_key=key, **place)
        height, width, channels = self._size(key)
        out = np.empty((length, height, width, channels), np.uint8)
        assert self._library is not None
        try:
            self._seek(key, path, start)
            for row in range(length):
                frame = self._frame(key, start + row / self._tree.fps)
                if frame is None:
                    raise InvalidInput(f"{path} has no frame at {start + row / self._tree.fps:.4f} s, of frame {row}.")
                if (frame.height, frame.width) != (height, width):
                    raise InvalidInput(
                        f"{path} shows {frame.width} x {frame.height} pixels; meta/info.json says {width} x {height}."
                    )
                out[row] = frame.to_ndarray(format="rgb24" if channels == 3 else "gray").reshape(
                    height, width, channels
                )
        except (self._library.FFmpegError, OSError, ValueError) as error:
            if isinstance(error, InvalidInput):
                raise
            raise InvalidInput(f"{path} cannot be decoded as a video: {error}. Copy it again.") from error
        return out if channels == 3 else out[..., 0]

    def _place(self, key: str, facts: Mapping[str, Any]) -> tuple[float, dict[str, int]]:
        names = [f"videos/{key}/{name}" for name in ("from_timestamp", "chunk_index", "file_index")]
        start, chunk, file = (facts.get(name) for name in names)
        if (
            not isinstance(start, float | int)
            or type(chunk) is not int
            or type(file) is not int
            or not 0 <= start < 1e9
        ):
            raise InvalidInput(f"meta/episodes should say where its video lies, in {', '.join(names)}.")
        return float(start), {"chunk_index": chunk, "file_index": file}

    def _size(self, key: str) -> tuple[int, int, int]:
        feature = self._tree.features[key]
        shape, names = feature["shape"], feature.get("names")
        if len(shape) == 3 and isinstance(names, list) and names[:1] in (["channels"], ["channel"]):
            shape = [*shape[1:], shape[0]]
        if len(shape) != 3 or shape[2] not in (1, 3):
            raise InvalidInput(f"{key} should be pictures of 1 or 3 channels; meta/info.json says {shape}.")
        return shape[0], shape[1], shape[2]

    def _seek(self, key: str, path: Path, start: float) -> None:
        """Stand before the frame at `start`, at the last one that can be decoded alone."""
        assert self._library is not None
        if key in self._open and self._open[key][0] != path:
            self._open.pop(key)[1].close()
        if key not in self._open:
            container = self._library.open(str(path))
            for stream in container.streams.video:
                stream.thread_type = "AUTO"
            self._open[key] = (path, container, iter(()))
        _, container, _ = self._open[key]
        if not container.streams.video:
            raise InvalidInput(f"{path} holds no video.")
        stream = container.streams.video[0]
        container.seek(max(0, int((start - SECONDS) / stream.time_base)), stream=stream, backward=True)
        self._open[key] = (path, container, container.decode(stream))

    def _frame(self, key: str, time: float) -> Any:
        """The next frame that is shown at this time; None where the video has none."""
        for frame in self._open[key][2]:
            if frame.time is None or frame.time < time - SECONDS:
                continue
            return frame if frame.time <= time + SECONDS else None
        return None
