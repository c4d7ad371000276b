"""Pictures of episodes, one for each row: made while they are played, or later by playing them again.

A picture is encoded once, as PNG; whoever exports it writes those bytes unchanged.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from blake3 import blake3
from jaxtyping import Int64, UInt8
from safetensors import SafetensorError, safe_open
from safetensors.numpy import load_file

from pipeline.artifacts.artifact import Artifact, artifact_at
from pipeline.machine.files import write_spilled
from pipeline.storage.choice import open_arrays
from pipeline.storage.contract import ReadableArray

FRAMES = "frames"
"""The kind of artifact."""

PNG, ENDS, EPISODE_ENDS, DIGESTS = "png", "ends", "episode_ends", "digests"
"""Arrays of a frames artifact; see `Frames`."""

BLOCK_BYTES = 16 * 2**20
"""Of the pictures that are read at a time."""

BLOCK_ROWS = 2**17
"""Ends of pictures that are read at a time."""


SIDES_AT = 16
"""Where width and height begin in a PNG file, four bytes each, the highest first."""


@dataclass(frozen=True)
class EncodedPicture:
    """One encoded picture and the digest of its pixels, which does not depend on the encoder."""

    png: bytes
    digest: bytes


NO_PICTURE = EncodedPicture(b"", bytes(32))
"""Stands for the picture of a last observation that a source did not have."""


def pixel_digest(pixels: UInt8[np.ndarray, "h w 3"]) -> bytes:
    """32 bytes that change with the size or any pixel of a picture."""
    return blake3(digest_head(pixels.shape)).update(np.ascontiguousarray(pixels).data).digest()


def digest_head(shape: Sequence[int]) -> bytes:
    """What `pixel_digest` hashes before the pixels."""
    return repr(tuple(shape)).encode()


def episode_digest(pictures: Iterable[bytes]) -> bytes:
    """32 bytes for an episode's pictures, from the digest of each."""
    return blake3(b"".join(pictures)).digest()


@dataclass(frozen=True)
class EpisodeFrames:
    """The pictures of one episode.

    Attributes:
        png: the files' bytes, one after the other.
        ends: where each file ends, T+1 rows; the last file is empty where the source had no last observation.
        digest: 32 bytes, of all pixels.
    """

    png: UInt8[np.ndarray, "bytes"]
    ends: Int64[np.ndarray, "rows"]
    digest: bytes

    @staticmethod
    def of(pictures: Sequence[EncodedPicture]) -> EpisodeFrames:
        """Joins pictures."""
        png = np.frombuffer(b"".join(each.png for each in pictures), np.uint8)
        ends = np.cumsum([len(each.png) for each in pictures], dtype=np.int64)
        return EpisodeFrames(png, ends, episode_digest(each.digest for each in pictures))

    def __len__(self) -> int:
        return len(self.ends)

    def __getitem__(self, row: int) -> bytes:
        """The file of one row."""
        row = range(len(self))[row]
        return self.png[self.ends[row - 1] if row else 0 : self.ends[row]].tobytes()


@dataclass(frozen=True)
class PictureBlock:
    """The pictures of some episodes that follow one another.

    Attributes:
        numbers: of the episodes.
        png: the files' bytes, one after the other.
        ends: where each file ends; an empty one stands for a picture that nobody has.
        rows: how many pictures each episode has, T+1.
        digests: of the pixels of each episode.
    """

    numbers: range
    png: UInt8[np.ndarray, "bytes"]
    ends: Int64[np.ndarray, "pictures"]
    rows: Int64[np.ndarray, "episodes"]
    digests: UInt8[np.ndarray, "episodes 32"]

    def bounds(self) -> Int64[np.ndarray, "pictures+1"]:
        """Where each file begins, and where the last one ends."""
        return np.concatenate([[0], self.ends])

    def sides(self) -> Int64[np.ndarray, "pictures 2"]:
        """Width and height of each picture in pixels, from the head of its file; zeros where there is none."""
        bounds = self.bounds()
        heads = (bounds[:-1] + SIDES_AT)[:, np.newaxis] + np.arange(8)
        sides = self.png[np.minimum(heads, len(self.png) - 1)].view(">u4").astype(np.int64)
        sides[bounds[:-1] == bounds[1:]] = 0
        return sides

    def episodes(self) -> Iterator[EpisodeFrames]:
        """The pictures of each episode, without a copy."""
        bounds, last = self.bounds(), np.cumsum(self.rows)
        for first, stop, digest in zip((last - self.rows).tolist(), last.tolist(), self.digests, strict=True):
            png = self.png[bounds[first] : bounds[stop]]
            yield EpisodeFrames(png, self.ends[first:stop] - bounds[first], digest.tobytes())


def spilled_frames(folder: Path, index: int) -> Path:
    """Where the pictures of episode `index` wait to be packed."""
    return folder / f"{index:08d}.safetensors"


def save_frames(path: Path, frames: EpisodeFrames, episode_digest: bytes) -> None:
    """The pictures of one episode as one whole file, which names the episode by its digest."""
    arrays = {
        PNG: frames.png,
        ENDS: frames.ends,
        "digest": np.frombuffer(frames.digest, np.uint8),
        "episode": np.frombuffer(episode_digest, np.uint8),
    }
    write_spilled(path, arrays)


def load_frames(path: Path, episode_digest: bytes) -> EpisodeFrames | None:
    """Spilled pictures; None where there are none, or only torn ones or those of another episode."""
    try:
        arrays = load_file(path)
        if arrays["episode"].tobytes() != episode_digest or arrays[ENDS][-1] != len(arrays[PNG]):
            return None
        return EpisodeFrames(arrays[PNG], arrays[ENDS], arrays["digest"].tobytes())
    except (OSError, KeyError, SafetensorError):
        return None


def frame_ends(path: Path) -> Int64[np.ndarray, "rows"]:
    """Where each picture of a spilled file ends, read without the pictures; T+1 rows."""
    with safe_open(path, "numpy") as file:
        ends: np.ndarray = file.get_tensor(ENDS)
        return ends


class Frames:
    """Reads a frames artifact, whose arrays are:

    `png` (bytes,) uint8: all files, one after the other. `ends` (rows,) int64: where each ends. `episode_ends` (n,)
    int64: where the rows of each episode end. `digests` (n, 32) uint8: of the pixels of each episode.

    It can be sent to other processes; each opens the files for itself. `artifact` may be given by its folder; raises
    InvalidInput where that is of another kind, DamagedArtifact where its files are not what its manifest lists.
    """

    def __init__(self, artifact: Artifact | str | Path) -> None:
        frames = artifact_at(artifact, FRAMES)
        frames.require_whole()
        self._folder = frames.arrays
        self._episode_ends = self._arrays[EPISODE_ENDS][:]

    @cached_property
    def _arrays(self) -> Mapping[str, ReadableArray]:
        return open_arrays(self._folder)

    def __getstate__(self) -> dict[str, Any]:
        """Without the open files."""
        return {name: value for name, value in self.__dict__.items() if name != "_arrays"}

    def __len__(self) -> int:
        """Episodes."""
        return len(self._episode_ends)

    def __iter__(self) -> Iterator[EpisodeFrames]:
        return (self[index] for index in range(len(self)))

    def between(self, start: int, stop: int) -> Iterator[PictureBlock]:
        """The pictures of the episodes [start, stop), so many at a time that they take about 16 MB, or one episode.

        Raises IndexError unless 0 <= start <= stop <= episodes.
        """
        if not 0 <= start <= stop <= len(self):
            raise IndexError(f"pictures of episodes {start} to {stop} of {self._folder}, which has {len(self)}")
        for span in self._spans(start, stop):
            yield from self._cut(*span)

    def _spans(self, start: int, stop: int) -> Iterator[tuple[int, np.ndarray, np.ndarray, int]]:
        """Some episodes at a time: the first one's number, where the rows of each end, where each picture ends, and
        where the first one begins.
        """
        while start < stop:
            first = int(self._episode_ends[start - 1]) if start else 0
            last = int(np.searchsorted(self._episode_ends, first + BLOCK_ROWS, "right"))
            last = min(max(last, start + 1), stop)
            row_ends = self._episode_ends[start:last] - first
            begin = int(self._arrays[ENDS][first - 1 : first][0]) if first else 0
            yield start, row_ends, self._arrays[ENDS][first : first + int(row_ends[-1])], begin
            start = last

    def _cut(
        self, start: int, row_ends: Int64[np.ndarray, "n"], ends: Int64[np.ndarray, "rows"], begin: int
    ) -> Iterator[PictureBlock]:
        """The pictures of a span, so many episodes at a time that they are not too large."""
        last_ends, done, row = ends[row_ends - 1], 0, 0
        while done < len(row_ends):
            until = max(done + 1, int(np.searchsorted(last_ends, begin + BLOCK_BYTES, "right")))
            stop_row, stop = int(row_ends[until - 1]), int(last_ends[until - 1])
            rows = np.diff(row_ends[done:until], prepend=row)
            numbers = range(start + done, start + until)
            png, digests = self._arrays[PNG][begin:stop], self._arrays[DIGESTS][numbers.start : numbers.stop]
            yield PictureBlock(numbers, png, ends[row:stop_row] - begin, rows, digests)
            done, row, begin = until, stop_row, stop

    def sizes(self, stop: int) -> Int64[np.ndarray, "episodes"]:
        """Bytes of the pictures of each of the episodes before `stop`."""
        ends = [np.zeros(1, np.int64), *(ends[row_ends - 1] for _, row_ends, ends, _ in self._spans(0, stop))]
        return np.diff(np.concatenate(ends))

    def __getitem__(self, index: int) -> EpisodeFrames:
        """The pictures of one episode, reading only those. Raises IndexError beyond the first or last."""
        if not -len(self) <= index < len(self):
            raise IndexError(f"pictures of episode {index} of {self._folder}, which has those of {len(self)}")
        index %= len(self)
        first, last = int(self._episode_ends[index - 1]) if index else 0, int(self._episode_ends[index])
        start = int(self._arrays[ENDS][first - 1 : first][0]) if first else 0
        ends = self._arrays[ENDS][first:last] - start
        png = self._arrays[PNG][start : start + int(ends[-1])]
        return EpisodeFrames(png, ends, self._arrays[DIGESTS][index : index + 1].tobytes())
