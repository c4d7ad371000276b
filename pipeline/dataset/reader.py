"""Reading a dataset: an ordered list of episodes in immutable parts, seen as episodes or as flat states."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import lru_cache
from itertools import chain
from pathlib import Path

import numpy as np

from pipeline.artifacts.artifact import Artifact
from pipeline.dataset.parts import ENDS, split_texts, unpack
from pipeline.digest import combine
from pipeline.episode import INFO, PRESENT, Episode
from pipeline.errors import InvalidInput
from pipeline.storage.choice import open_arrays
from pipeline.storage.contract import ReadableArray

PARTS = "parts"


class EpisodeDataset:
    """The first `episodes` episodes of a dataset (all of them when None).

    Flat state i is the i-th row that is not the last of its episode, in episode order.

    Attributes:
        lengths: (n,) int64, states of each episode.
        state_ends: (n,) int64, cumulative states.
    """

    def __init__(self, folder: Path, parts: list[dict[str, int | str]], episodes: int | None = None) -> None:
        self._folder = folder
        self._open = lru_cache(maxsize=4)(self._open_part)
        self._parts = parts
        total = sum(int(part["episodes"]) for part in parts)
        if episodes is not None and episodes > total:
            raise InvalidInput(f"{folder} holds {total} episodes, {episodes} were asked for.")
        self._count = total if episodes is None else episodes
        self._first = np.cumsum([0, *(int(part["episodes"]) for part in parts)])
        rows = np.concatenate([np.diff(self._ends(p), prepend=0) for p in self._used()] or [np.zeros(0, np.int64)])
        self.lengths = rows[: self._count] - 1
        self.state_ends = np.cumsum(self.lengths)

    @staticmethod
    def of(artifact: Artifact) -> EpisodeDataset:
        return EpisodeDataset(artifact.path, artifact.manifest.parts, artifact.episodes)

    def __len__(self) -> int:
        return self._count

    @property
    def states(self) -> int:
        return int(self.state_ends[-1]) if self._count else 0

    def digest(self, episodes: int | None = None) -> str:
        """Digest of the first `episodes` episodes, the same however they are stored and cut into parts."""
        return combine(bytes(row) for row in self.per_episode("digest")[: episodes or self._count])

    def per_episode(self, name: str) -> np.ndarray:
        """A once-per-episode array over all episodes: seed, success, return, digest, ..."""
        return np.concatenate([self._open(p)[f"episodes/{name}"][:] for p in self._used()])[: self._count]

    def texts(self, name: str) -> list[str]:
        """A once-per-episode text over all episodes: mission or end_reason."""
        parts = [self._open(part) for part in self._used()]
        split = (split_texts(part[f"texts/{name}/bytes"][:], part[f"texts/{name}/ends"][:]) for part in parts)
        return list(chain.from_iterable(split))[: self._count]

    def array_names(self) -> list[str]:
        """Names of the step arrays."""
        names = {name for part in self._used() for name in self._open(part) if name.startswith("steps/")}
        return sorted(name.removeprefix("steps/") for name in names)

    def spec(self, name: str) -> tuple[tuple[int, ...], np.dtype]:
        """Shape of one row and dtype of a step array. Raises KeyError where no episode has it."""
        for part in self._used():
            if (array := self._open(part).get(f"steps/{name}")) is not None:
                return tuple(array.shape[1:]), np.dtype(array.dtype)
        raise KeyError(f"{self._folder} has no array {name}; it has {', '.join(self.array_names())}")

    def __iter__(self) -> Iterator[Episode]:
        """All episodes in order, one part in memory at a time."""
        for part in self._used():
            arrays = {name: array[:] for name, array in self._open(part).items()}
            yield from unpack(arrays)[: self._count - int(self._first[part])]

    def __getitem__(self, index: int) -> Episode:
        """One episode, reading only its own rows."""
        if not 0 <= index < self._count:
            raise IndexError(f"episode {index} of {self._count}")
        part = int(np.searchsorted(self._first, index, "right")) - 1
        return unpack(_one(self._open(part), index - int(self._first[part])))[0]

    def state_rows(self, name: str, start: int, stop: int) -> np.ndarray:
        """Rows of a step array at the flat states [start, stop); zeros where an episode lacks that info."""
        shape, dtype = self.spec(name)
        out = np.empty((stop - start, *shape), dtype)
        filled = 0
        while filled < stop - start:
            block = self._block(name, start + filled, stop)
            out[filled : filled + len(block)] = block
            filled += len(block)
        return out

    def _block(self, name: str, start: int, stop: int) -> np.ndarray:
        """The states from `start` on that lie in the same part: one read, minus the last row of each episode."""
        episode = int(np.searchsorted(self.state_ends, start, "right"))
        part = int(np.searchsorted(self._first, episode, "right")) - 1
        last = int(min(self._first[part + 1], self._count))
        stop = int(min(stop, self.state_ends[last - 1]))
        # Each earlier episode has one row more than it has states.
        begin, end = start + episode, stop - 1 + int(np.searchsorted(self.state_ends, stop - 1, "right")) + 1
        offset = self._row_offset(part)
        arrays = self._open(part)
        array = arrays.get(f"steps/{name}")
        if array is None:  # an info that no episode of this part has, or the mask of one that all have at every step
            shape, dtype = self.spec(name)
            everywhere = name.startswith(PRESENT) and f"steps/{INFO}{name.removeprefix(PRESENT)}" in arrays
            return np.full((stop - start, *shape), everywhere, dtype)
        rows = array[begin - offset : end - offset]
        lasts = (self.state_ends + np.arange(self._count))[episode:last] - begin
        keep = np.ones(len(rows), np.bool_)
        keep[lasts[lasts < len(rows)]] = False
        return rows[keep]

    def _row_offset(self, part: int) -> int:
        first = int(self._first[part])
        return 0 if first == 0 else int(self.state_ends[first - 1]) + first

    def _used(self) -> range:
        return range(int(np.searchsorted(self._first, self._count, "left")))

    def _ends(self, part: int) -> np.ndarray:
        return self._open(part)[ENDS][:]

    def _open_part(self, part: int) -> Mapping[str, ReadableArray]:
        return open_arrays(self._folder / PARTS / str(self._parts[part]["name"]))


def _one(arrays: Mapping[str, ReadableArray], index: int) -> dict[str, np.ndarray]:
    """The arrays of a part that holds only its episode `index`."""
    out: dict[str, np.ndarray] = {}
    ends = {name: array[:] for name, array in arrays.items() if name.endswith("ends")}
    for name, array in arrays.items():
        if name.endswith("ends"):
            out[name] = np.diff(ends[name], prepend=0)[index : index + 1]
        elif name.startswith("episodes/"):
            out[name] = array[index : index + 1]
        else:
            by = ends[ENDS] if name.startswith("steps/") else ends[name.removesuffix("bytes") + "ends"]
            out[name] = array[int(by[index - 1]) if index else 0 : int(by[index])]
    return out
