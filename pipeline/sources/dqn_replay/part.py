"""Episodes of one part, put together in place: frames are decoded to where the part is written from."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

import numpy as np
from jaxtyping import Shaped, UInt8

from pipeline.dataset.bulk import StoredPart
from pipeline.dataset.parts import pack
from pipeline.dataset.summary import summary_of
from pipeline.episode import Episode
from pipeline.sources.dqn_replay.files import FRAME
from pipeline.sources.dqn_replay.plan import HEAD, TAIL, WHOLE
from pipeline.sources.dqn_replay.shard import PADDING, StepArrays

TIME_LIMIT = 27000
"""The logged runs cut an episode after this many decisions (108,000 console frames) and flag the cut as terminal."""

FRAGMENT = "fragment"
"""`end_reason` of an episode whose beginning or end was not read."""

PADDING_ROWS = "padding_rows"
"""What is counted of each episode."""

FRAME_BYTES = FRAME[0] * FRAME[1]
ROW_BYTES = FRAME_BYTES + np.dtype(np.int32).itemsize + 2 * np.dtype(np.float64).itemsize


class FrameRows(Protocol):
    """Frames of an episode in time order."""

    def read_into(self, out: UInt8[np.ndarray, "n 84 84"]) -> None:
        """Fill `out` (n, 84, 84) uint8 with the next n frames."""


class PartBuilder:
    """Collects episodes in `buffer` (rows, 84, 84) uint8, each of T+1 rows, the last one zeros.

    Attributes:
        buffer: what it was given.
    """

    def __init__(self, buffer: UInt8[np.ndarray, "rows 84 84"]) -> None:
        self.buffer = buffer
        self._action = np.zeros(len(buffer), np.int32)
        self._reward = np.zeros(len(buffer), np.float64)
        self._discount = np.zeros(len(buffer), np.float64)
        self._rows = 0
        self._episodes: list[Episode] = []
        self._padding: list[int] = []

    def add(self, frames: FrameRows, steps: StepArrays, strip: bool, extent: str = WHOLE) -> None:
        """Take the next episode: `steps` are its rows, padding included, which is left out if `strip`."""
        begin, slots, quiet = self._rows, len(steps.action), steps.quiet
        frames.read_into(self.buffer[begin : begin + quiet])
        padding = _black(self.buffer[begin : begin + quiet])
        left_out = padding if strip else 0
        if 0 < left_out < quiet:
            self.buffer[begin : begin + quiet - left_out] = self.buffer[begin + left_out : begin + quiet].copy()
        frames.read_into(self.buffer[begin + quiet - left_out : begin + slots - left_out])
        last = begin + slots - left_out
        self.buffer[last] = 0
        self._action[begin:last] = steps.action[left_out:]
        self._reward[begin:last] = steps.reward[left_out:]
        self._discount[begin:last] = 1.0
        limited = extent == WHOLE and slots - padding == TIME_LIMIT
        terminated = extent != TAIL and not limited
        if terminated:
            self._discount[last - 1] = 0.0
        self._rows = last + 1
        episode = Episode(
            steps={name: array[begin : self._rows] for name, array in self._steps().items()},
            terminated=terminated,
            truncated=limited,
            end_reason=FRAGMENT if extent in (HEAD, TAIL) else "time_limit" if limited else "terminated",
            has_final_observation=False,
        )
        self._padding.append(padding)
        self._episodes.append(episode)

    def packed(self, folder: Path) -> tuple[StoredPart, dict[str, Shaped[np.ndarray, "..."]]]:
        """The part that will lie in `folder`, without checksums yet, and its arrays, of which step arrays are views."""
        steps = {name: array[: self._rows] for name, array in self._steps().items()}
        arrays = pack(self._episodes, steps)
        part = StoredPart(
            folder,
            files={},
            lengths=np.asarray([episode.length for episode in self._episodes], np.int64),
            sums={PADDING_ROWS: np.asarray(self._padding, np.int64)},
            summary=summary_of(arrays),
        )
        return part, arrays

    def _steps(self) -> dict[str, Shaped[np.ndarray, "rows ..."]]:
        return {
            "action": self._action,
            "discount": self._discount,
            "observation": self.buffer,
            "reward": self._reward,
        }


def rows_needed(slots: int, episodes: int) -> int:
    """Rows of a buffer for so many episodes with so many rows in all."""
    return slots + episodes


def _black(frames: UInt8[np.ndarray, "n 84 84"]) -> int:
    """How many of the first frames are black, up to PADDING."""
    for number, frame in enumerate(frames[:PADDING]):
        if frame.any():
            return number
    return min(len(frames), PADDING)
