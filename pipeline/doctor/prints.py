"""What tells episodes apart: their digests, their trajectories apart from seed and file format, and their seeds."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int, Int64, Shaped, UInt8

from pipeline.dataset.columns import STEPS, RowSpec, step_arrays
from pipeline.dataset.parts import ENDS
from pipeline.dataset.reader import EpisodeDataset
from pipeline.digest import DIGEST_BYTES
from pipeline.machine.compiled import compiled
from pipeline.storage.contract import ReadableArray

KEY_BYTES, WORD = 16, 8
"""Of a trajectory's key, and of what is stirred into it at a time."""

_LANES = (0x243F6A8885A308D3, 0x13198A2E03707344)
"""Where the two lanes of a key begin: digits of pi."""

SHORT = 2**20
"""Bytes of an observation array in an episode, on average: of more three rows are read, of fewer all."""

ObservedRows = Callable[[Int64[np.ndarray, " k"]], list[Shaped[np.ndarray, "k ..."]]]
"""Gives some rows of each array of the observations."""


@dataclass(frozen=True)
class Prints:
    """What tells the n episodes of a dataset apart.

    Attributes:
        digests: of all that an episode holds.
        trajectories: of all its actions and of its first, middle and last observed state, whatever their number types
            are: the same for an episode under another seed, with other infos, and from another file format.
        seeds: -1 where unknown.
    """

    digests: UInt8[np.ndarray, "n 32"]
    trajectories: UInt8[np.ndarray, "n 16"]
    seeds: Int64[np.ndarray, " n"]

    @staticmethod
    def joined(pieces: Iterable[Prints]) -> Prints:
        """One after the other."""
        listed = list(pieces)
        if not listed:
            none = np.zeros((0, DIGEST_BYTES), np.uint8)
            return Prints(none, none[:, :KEY_BYTES], np.zeros(0, np.int64))
        return Prints(
            np.concatenate([each.digests for each in listed]),
            np.concatenate([each.trajectories for each in listed]),
            np.concatenate([each.seeds for each in listed]),
        )


def trajectories_in(
    steps: Mapping[str, Shaped[np.ndarray, "rows ..."]], ends: Int64[np.ndarray, " n"]
) -> UInt8[np.ndarray, "n 16"]:
    """The trajectory of each episode whose rows lie one after the other in the arrays; `ends` are cumulative rows."""
    names = _observations(steps)
    return _keys(steps, ends, lambda rows: [steps[name][rows] for name in names])


def prints_of(dataset: EpisodeDataset) -> Prints:
    """Of a whole dataset. Its actions are read, and three observations of each episode, no more."""
    found = [np.zeros((0, KEY_BYTES), np.uint8)]
    for numbers, arrays in dataset.parts_between(0, len(dataset)):
        wanted = min(numbers.stop, len(dataset)) - numbers.start
        found.append(_of_part(arrays, arrays[ENDS][:][:wanted]))
    return Prints(dataset.per_episode("digest"), np.concatenate(found), dataset.per_episode("seed"))


def same(prints: Shaped[np.ndarray, "n bytes"]) -> Iterator[Int[np.ndarray, " k"]]:
    """The numbers of the episodes that have the same digest, or trajectory, where several have."""
    maybe = repeated(np.ascontiguousarray(prints[:, :8]).view(np.uint64).reshape(-1))
    if not len(maybe):
        return
    _, which, counts = np.unique(_as_one(prints[maybe]), return_inverse=True, return_counts=True)
    several = np.flatnonzero(counts[which.reshape(-1)] > 1)
    ordered = several[np.argsort(which.reshape(-1)[several], kind="stable")]
    groups = np.split(maybe[ordered], np.flatnonzero(np.diff(which.reshape(-1)[ordered])) + 1) if len(ordered) else []
    yield from sorted(groups, key=lambda group: int(group[0]))


def repeated(values: Shaped[np.ndarray, " n"]) -> Int64[np.ndarray, " k"]:
    """The places of the values that occur more than once, in order."""
    ordered = np.sort(values)
    several = ordered[1:][ordered[1:] == ordered[:-1]]
    return np.flatnonzero(np.isin(values, several)) if len(several) else np.zeros(0, np.int64)


def both(ours: Shaped[np.ndarray, "n bytes"], theirs: Shaped[np.ndarray, "m bytes"]) -> Int64[np.ndarray, "k 2"]:
    """Which of ours is which of theirs: the numbers of each, for the first of theirs that is the same."""
    known, first = np.unique(_as_one(theirs), return_index=True)
    wanted = _as_one(ours)
    if not len(known):
        return np.zeros((0, 2), np.int64)
    at = np.minimum(np.searchsorted(known, wanted), len(known) - 1)
    shared = np.flatnonzero(known[at] == wanted)
    return np.stack([shared, first[at[shared]]], axis=1).astype(np.int64)


def _as_one(prints: Shaped[np.ndarray, "n bytes"]) -> Shaped[np.ndarray, " n"]:
    """Each row as one value that can be sorted."""
    rows = np.ascontiguousarray(prints)
    return rows.view(np.dtype((np.void, rows.shape[1] * rows.itemsize))).reshape(-1)


def _of_part(arrays: Mapping[str, ReadableArray], ends: Int64[np.ndarray, " n"]) -> UInt8[np.ndarray, "n 16"]:
    stored = step_arrays(arrays)
    last = int(ends[-1]) if len(ends) else 0
    steps = {name: array[:last] for name, array in stored.items() if _is(name, "action")}
    seen = [arrays[f"{STEPS}{name}"] for name in _observations(stored)]
    return _keys(steps, ends, lambda rows: [_picked(array, rows, last, len(ends)) for array in seen])


def _picked(
    array: ReadableArray, rows: Int64[np.ndarray, " k"], last: int, episodes: int
) -> Shaped[np.ndarray, "k ..."]:
    """Some of the first `last` rows: one by one where what lies between them is long."""
    if last * RowSpec.of(array).nbytes <= SHORT * episodes:
        return array[:last][rows]
    return np.concatenate([array[row : row + 1] for row in rows.tolist()])


def _keys(
    steps: Mapping[str, Shaped[np.ndarray, "rows ..."]], ends: Int64[np.ndarray, " n"], observed: ObservedRows
) -> UInt8[np.ndarray, "n 16"]:
    """What was done at every state, and what was observed at the first, the middle and the last one."""
    starts = np.concatenate([[0], ends[:-1]]).astype(np.int64)
    lasts = np.maximum(ends - 2, starts)  # the last row is no state, and some sources lack it
    done = _plain([steps[name] for name in sorted(steps) if _is(name, "action")], int(ends[-1]) if len(ends) else 0)
    places = np.stack([starts, (starts + lasts) // 2, lasts], axis=1)
    seen = _plain(observed(places.reshape(-1)), places.size).reshape(len(ends), -1)
    lanes = np.tile(np.array(_LANES, np.uint64), (len(ends), 1))
    numbers = np.arange(len(ends))
    _fold(done.view(np.uint64), starts, lasts + 1, lanes)
    _fold(seen.view(np.uint64), numbers, numbers + 1, lanes)
    return lanes.view(np.uint8).reshape(-1, KEY_BYTES)


@compiled()
def _fold(words: np.ndarray, starts: np.ndarray, stops: np.ndarray, lanes: np.ndarray) -> None:
    """Stir the rows [start, stop) of each episode, and how many they are, into its two lanes of 64 bits.

    Each word is added or xored, and the sum multiplied by an odd constant and shifted into itself, which loses nothing:
    one other word always gives another lane, and 128 bits tell a million episodes apart.
    """
    for number in range(len(starts)):
        one, two = lanes[number, 0], lanes[number, 1]
        for row in range(starts[number], stops[number]):
            for column in range(words.shape[1]):
                word = words[row, column]
                one = (one ^ word) * np.uint64(0x9E3779B97F4A7C15)
                one ^= one >> np.uint64(29)
                two = (two + word) * np.uint64(0xC2B2AE3D27D4EB4F)
                two ^= two >> np.uint64(31)
        length = np.uint64(stops[number] - starts[number])
        lanes[number, 0] = (one ^ length) * np.uint64(0x9E3779B97F4A7C15)
        lanes[number, 1] = (two + length) * np.uint64(0xC2B2AE3D27D4EB4F)


def _plain(arrays: list[Shaped[np.ndarray, "rows ..."]], rows: int) -> UInt8[np.ndarray, "rows bytes"]:
    """Rows as bytes that are the same for the same numbers in another type: as float32, or as int64 where whole."""
    with np.errstate(over="ignore", invalid="ignore"):  # what is too large for float32 is equal there, no more
        plain = [
            np.add(array, np.float32(0), dtype=np.float32, casting="same_kind")  # -0 is 0
            if array.dtype.kind == "f"
            else array.astype(np.int64)
            for array in arrays
        ]
    flat = [np.ascontiguousarray(array).reshape(rows, -1).view(np.uint8) for array in plain if array.size]
    width = sum(each.shape[1] for each in flat)
    if width % WORD or not flat:
        flat.append(np.zeros((rows, -width % WORD), np.uint8))
    return flat[0] if len(flat) == 1 else np.concatenate(flat, axis=1)


def _observations(arrays: Mapping[str, object]) -> list[str]:
    return sorted(name for name in arrays if _is(name, "observation"))


def _is(name: str, kind: str) -> bool:
    return name.split("/")[0] == kind
