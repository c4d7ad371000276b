"""What tells episodes apart: their digests, their trajectories apart from seed and file format, and their seeds."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from blake3 import blake3
from jaxtyping import Int, Int64, Shaped, UInt8

from pipeline.dataset.columns import STEPS, RowSpec, step_arrays
from pipeline.dataset.parts import ENDS
from pipeline.dataset.reader import EpisodeDataset
from pipeline.digest import DIGEST_BYTES
from pipeline.storage.contract import ReadableArray

KEY_BYTES = 16

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
    _, which, counts = np.unique(_as_one(prints), return_inverse=True, return_counts=True)
    several = np.flatnonzero(counts[which.reshape(-1)] > 1)
    ordered = several[np.argsort(which.reshape(-1)[several], kind="stable")]
    groups = np.split(ordered, np.flatnonzero(np.diff(which.reshape(-1)[ordered])) + 1) if len(ordered) else []
    yield from sorted(groups, key=lambda group: int(group[0]))


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
    keys = []
    for one, each in zip(_slices(done, starts, lasts + 1), _slices(seen, np.arange(len(seen))), strict=True):
        hasher = blake3(one)
        hasher.update(each)
        keys.append(hasher.digest(KEY_BYTES))
    return np.frombuffer(b"".join(keys), np.uint8).reshape(-1, KEY_BYTES)


def _slices(
    rows: UInt8[np.ndarray, "rows bytes"], starts: Int64[np.ndarray, " n"], stops: Int64[np.ndarray, " n"] | None = None
) -> Iterator[memoryview]:
    """The bytes of some rows, one slice after the other; of single ones where no stops are given."""
    width, data = rows.shape[1], np.ascontiguousarray(rows).reshape(-1).data
    ends = starts + 1 if stops is None else stops
    return (data[a:b] for a, b in zip((starts * width).tolist(), (ends * width).tolist(), strict=True))


def _plain(arrays: list[Shaped[np.ndarray, "rows ..."]], rows: int) -> UInt8[np.ndarray, "rows bytes"]:
    """Rows as bytes that are the same for the same numbers in another type: as float32, or as int64 where whole."""
    with np.errstate(over="ignore", invalid="ignore"):  # what is too large for float32 is equal there, no more
        plain = [
            (array.astype(np.float32) + np.float32(0)) if array.dtype.kind == "f" else array.astype(np.int64)
            for array in arrays
        ]
    flat = [np.ascontiguousarray(array).reshape(rows, -1).view(np.uint8) for array in plain if array.size]
    return np.concatenate(flat, axis=1) if flat else np.zeros((rows, 0), np.uint8)


def _observations(arrays: Mapping[str, object]) -> list[str]:
    return sorted(name for name in arrays if _is(name, "observation"))


def _is(name: str, kind: str) -> bool:
    return name.split("/")[0] == kind
