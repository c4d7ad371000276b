"""Episodes of one part, put together in place: frames are decoded to where the part is written from."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple, Protocol

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
BLACK = bytes(FRAME_BYTES)
ROW_BYTES = FRAME_BYTES + np.dtype(np.int32).itemsize + 2 * np.dtype(np.float64).itemsize


class FrameRows(Protocol):
    """Frames of an episode in time order."""

    def read_into(self, out: UInt8[np.ndarray, "n 84 84"]) -> None:
        """Fill `out` (n, 84, 84) uint8 with the next n frames."""


class _Decoded(NamedTuple):
    """One episode, whose frames lie at the rows [begin, last) of the buffer; `padding` of its rows are padding.

    `limited`: it was cut by the time limit.
    """

    begin: int
    last: int
    steps: StepArrays
    padding: int
    extent: str
    limited: bool

    @property
    def terminated(self) -> bool:
        return self.extent != TAIL and not self.limited

    def episode(self, steps: Mapping[str, Shaped[np.ndarray, "rows ..."]]) -> Episode:
        """Itself, of the step arrays of all episodes."""
        return Episode(
            steps={name: array[self.begin : self.last + 1] for name, array in steps.items()},
            terminated=self.terminated,
            truncated=self.limited,
            end_reason=FRAGMENT if self.extent in (HEAD, TAIL) else "time_limit" if self.limited else "terminated",
            has_final_observation=False,
        )


class PartBuilder:
    """Collects episodes in `buffer` (rows, 84, 84) uint8, each of T+1 rows, the last one zeros.

    Frames are decoded as episodes are added. All else is made of them by `packed`, so that the thread that decodes
    seldom has to wait for its turn among those that write: each call of numpy on long arrays gives up Python's lock.

    Attributes:
        buffer: what it was given.
    """

    def __init__(self, buffer: UInt8[np.ndarray, "rows 84 84"]) -> None:
        self.buffer = buffer
        self._rows = 0
        self._decoded: list[_Decoded] = []

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
        limited = extent == WHOLE and slots - padding == TIME_LIMIT
        self._decoded.append(_Decoded(begin, last, steps.rows(left_out, slots), padding, extent, limited))
        self._rows = last + 1

    def packed(self, folder: Path) -> tuple[StoredPart, dict[str, Shaped[np.ndarray, "..."]]]:
        """The part that will lie in `folder`, without checksums yet, and its arrays, of which step arrays are views."""
        steps = self._steps()
        episodes = [each.episode(steps) for each in self._decoded]
        arrays = pack(episodes, steps)
        part = StoredPart(
            folder,
            files={},
            lengths=np.asarray([episode.length for episode in episodes], np.int64),
            sums={PADDING_ROWS: np.asarray([each.padding for each in self._decoded], np.int64)},
            summary=summary_of(arrays),
        )
        return part, arrays

    def _steps(self) -> dict[str, Shaped[np.ndarray, "rows ..."]]:
        """The step arrays of all episodes, one after the other."""
        rows = self._rows
        action, reward, discount = np.zeros(rows, np.int32), np.zeros(rows, np.float64), np.ones(rows, np.float64)
        for each in self._decoded:
            action[each.begin : each.last], reward[each.begin : each.last] = each.steps.action, each.steps.reward
        lasts = np.asarray([each.last for each in self._decoded], np.int64)
        self.buffer[lasts] = 0
        discount[lasts] = 0.0
        discount[[each.last - 1 for each in self._decoded if each.terminated]] = 0.0
        return {"action": action, "discount": discount, "observation": self.buffer[:rows], "reward": reward}


def rows_needed(slots: int, episodes: int) -> int:
    """Rows of a buffer for so many episodes with so many rows in all."""
    return slots + episodes


def _black(frames: UInt8[np.ndarray, "n 84 84"]) -> int:
    """How many of the first frames are black, up to PADDING."""
    for number, frame in enumerate(frames[:PADDING]):
        if frame.tobytes() != BLACK:
            return number
    return min(len(frames), PADDING)
