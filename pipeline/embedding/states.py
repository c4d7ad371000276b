"""What a network sees of each state: its observation and those before it in the same episode, as uint8."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from blake3 import blake3
from jaxtyping import Int64, UInt8

from pipeline.dataset.pictures import LEAST_SIDE, MOST_FRAMES, is_picture
from pipeline.dataset.reader import EpisodeDataset
from pipeline.errors import InvalidInput

KEY_BYTES = 16
NOTHING = bytes(KEY_BYTES)
"""Key of the zeros that stand before an episode's first observation."""
BLOCK_BYTES = 64 * 2**20


@dataclass(frozen=True)
class InputRows:
    """The inputs of consecutive states.

    Attributes:
        keys: of each state; equal keys mean equal bytes.
        take: given k positions, their inputs, written into the uint8 array (k, *shape).
    """

    keys: list[bytes]
    take: Callable[[Int64[np.ndarray, "k"], UInt8[np.ndarray, "k ..."]], None]


class StateInputs:
    """Reads the inputs of a dataset's flat states.

    Args:
        dataset: observations of uint8: (H, W), (H, W, 1), (H, W, 3), or stacks of grey frames (k, H, W).
        frames: newest frames that an input holds; a stored stack gives its last ones.
        padding: before an episode's first observation, `first` repeats it and `zero` is black.
        label: names the task in messages, `atari/pong`.

    Attributes:
        shape: of one input, (frames, H, W) or (frames, H, W, 3), oldest frame first.

    Raises InvalidInput for observations that are no pictures.
    """

    def __init__(self, dataset: EpisodeDataset, frames: int, padding: str, label: str) -> None:
        self._dataset, self._frames, self._zero, self.label = dataset, frames, padding == "zero", label
        seen = picture_shape(dataset, label)
        self._depth = seen[0] if _is_stack(seen) else None
        if self._depth is not None:
            self._check_depth(self._depth, seen, label)
            self.shape: tuple[int, ...] = (frames, *seen[1:])
        else:
            self.shape = (frames, *(seen[:2] if seen[2:] == (1,) else seen))

    def _check_depth(self, depth: int, seen: tuple[int, ...], label: str) -> None:
        if depth < self._frames:
            raise InvalidInput(
                f"An observation of {label} is {seen}: a stack of {depth} frames, and embedding.frames={self._frames} "
                f"asks for more. Use embedding.frames={depth} or fewer."
            )
        if depth == 3 and self._frames != 3:
            raise InvalidInput(
                f"An observation of {label} is {seen}: three grey frames, or one in colour with its channels first. "
                "For colour, and for three frames: embedding.frames=3 embedding.layout=channels."
            )

    @property
    def most(self) -> int:
        """States whose inputs fit into a block of memory."""
        return max(1, BLOCK_BYTES // int(np.prod(self.shape)))

    def read(self, start: int, stop: int) -> InputRows:
        """The inputs of the flat states [start, stop)."""
        if self._depth is not None:
            stacks = self._dataset.state_rows("observation", start, stop)[:, -self._frames :]
            return InputRows([_key(stack) for stack in stacks], lambda chosen, out: _copy(stacks, chosen, out))
        index = window(self._dataset.state_ends, start, stop, self._frames, self._zero)
        first = int(index[index >= 0].min())
        rows = self._dataset.state_rows("observation", first, stop).reshape(-1, *self.shape[1:])
        keys = [_key(row) for row in rows]
        index = np.where(index < 0, -1, index - first)
        joined = [b"".join(NOTHING if i < 0 else keys[i] for i in each) for each in index.tolist()]

        def take(chosen: Int64[np.ndarray, "k"], out: UInt8[np.ndarray, "k ..."]) -> None:
            _copy(rows, index[chosen], out)
            out[index[chosen] < 0] = 0

        return InputRows(joined, take)


def window(
    state_ends: Int64[np.ndarray, "episodes"], start: int, stop: int, frames: int, zero: bool
) -> Int64[np.ndarray, "states frames"]:
    """(stop - start, frames) int64: the flat states whose observations each state sees, oldest first.

    Before the episode's first stands that first one, or -1 with `zero`. A state's observation is row t of its episode,
    and the rows before are its episode's flat states before: none of them is an episode's last row.
    """
    states = np.arange(start, stop)
    episodes = np.searchsorted(state_ends, states, "right")
    firsts = np.concatenate([[0], state_ends])[episodes][:, None]
    index = states[:, None] + np.arange(1 - frames, 1)
    return np.where(index < firsts, -1 if zero else firsts, index)


def picture_shape(dataset: EpisodeDataset, label: str) -> tuple[int, ...]:
    """The shape of one observation. Raises InvalidInput where it is no picture, with what to do instead."""
    names = [name for name in dataset.array_names() if name.split("/")[0] == "observation"]
    shapes = {name: dataset.spec(name) for name in names}
    shown = ", ".join(f"{name} {dtype} {list(shape)}" for name, (shape, dtype) in shapes.items())
    if names == ["observation"] and len(shapes["observation"][0]) == 1:
        raise InvalidInput(
            f"The observations of {label} are vectors ({shown}): they need no embeddings stage. Retrieval reads them "
            "as they are: leave the stage out."
        )
    if names != ["observation"]:
        raise InvalidInput(f"An embedding takes one picture for each state; the observations of {label} are {shown}.")
    shape, dtype = shapes["observation"]
    picture = is_picture(shape, dtype)
    if not picture or not (len(shape) == 2 or shape[-1] in (1, 3) or _is_stack(shape)):
        instead = "" if picture else " Retrieval compares the numbers of anything else: leave the stage out."
        raise InvalidInput(
            f"An embedding takes uint8 pictures (H, W), (H, W, 1), (H, W, 3) or stacks of grey frames (k, H, W), H and "
            f"W at least {LEAST_SIDE}; the observations of {label} are {shown}.{instead}"
        )
    return shape


def _is_stack(shape: tuple[int, ...]) -> bool:
    return len(shape) == 3 and shape[-1] not in (1, 3) and shape[0] <= MOST_FRAMES


def _key(array: UInt8[np.ndarray, "..."]) -> bytes:
    return blake3(np.ascontiguousarray(array).reshape(-1).data).digest(KEY_BYTES)


def _copy(
    rows: UInt8[np.ndarray, "rows ..."], chosen: Int64[np.ndarray, "k ..."], out: UInt8[np.ndarray, "k ..."]
) -> None:
    out[...] = rows[chosen]
