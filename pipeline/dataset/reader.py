"""Reading a dataset: an ordered list of episodes in immutable parts, seen as episodes or as flat states."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator, Mapping, Sequence
from copy import copy
from dataclasses import replace
from functools import cached_property, partial
from itertools import chain, count
from pathlib import Path
from typing import Any, SupportsIndex, overload

import numpy as np
from jaxtyping import Int64, Shaped

from pipeline.artifacts.artifact import EPISODES, Artifact, Part, artifact_at
from pipeline.artifacts.store import artifact_in_place
from pipeline.dataset.columns import STEPS, RowSpec, absent, listed, mask_of, step_arrays
from pipeline.dataset.ends import own_discounts
from pipeline.dataset.episode_slice import EpisodeSlice, no_episode
from pipeline.dataset.index import DatasetIndex
from pipeline.dataset.indexing import index_of
from pipeline.dataset.open_parts import MANY_PARTS, OpenParts, index_of_first, indexed_parts, open_parts_of
from pipeline.dataset.parts import runs_of, some_of, split_texts, unpack
from pipeline.dataset.resets import reset_specs
from pipeline.dataset.shares import own_shares
from pipeline.digest import combine
from pipeline.episode import INFO, INFO_TEXTS, SUMMARY, TEXTS, Episode
from pipeline.errors import InvalidInput, unknown_name
from pipeline.machine.ahead import ahead
from pipeline.storage.choice import without_suffix
from pipeline.storage.contract import ReadableArray
from pipeline.wording import how_many

PER_EPISODE = (*SUMMARY, "return", "digest")
"""What `EpisodeDataset.per_episode` knows."""


class EpisodeDataset:
    """The first `episodes` episodes of a dataset (all of them when None), as a sequence of `Episode`.

    `dataset[0]`, `dataset[-1]` and iteration read episodes, `dataset[10:20]` is a sequence that reads them when it is
    asked; `state_rows` reads windows. Flat state i is the i-th row that is not the last of its episode, in episode
    order.

    It can be sent to other processes, such as the workers of a torch `DataLoader`: each opens the files for itself.
    What is read never changes: parts are immutable, and a dataset that grows is opened again to see more.

    Attributes:
        lengths: states of each episode.
        state_ends: cumulative states.

    Raises InvalidInput where more episodes are asked for than there are, and for a folder that holds no dataset;
    DamagedArtifact where files of the parts that hold them are not what the manifest lists.
    """

    lengths: Int64[np.ndarray, " n"]
    state_ends: Int64[np.ndarray, " n"]
    _artifact: Artifact | None = None
    _index: DatasetIndex | None = None

    def __init__(
        self,
        folder: str | Path,
        parts: Sequence[Part] | None = None,
        episodes: int | None = None,
        artifact: Artifact | None = None,
    ) -> None:
        if parts is None:  # as the folder's manifest lists them
            artifact = artifact or artifact_at(folder, EPISODES)
        stored = open_parts_of(artifact) if artifact else OpenParts(own_shares(Path(folder), list(parts or ())))
        if episodes is not None and episodes > stored.episodes:
            raise InvalidInput(f"{folder} holds {how_many(stored.episodes, 'episodes')}, {episodes} were asked for.")
        self._begin(artifact.path if artifact else Path(folder), stored.episodes if episodes is None else episodes)
        self._artifact, self._parts = artifact, stored
        if artifact is not None and not artifact.is_derived:  # of a derived one, the shares are known to be whole
            if len(stored.shares) <= MANY_PARTS:
                artifact.require_whole(artifact.groups(self._count))
            self._index = index_of_first(artifact, stored, self._count)
        self._count_states(self._index.lengths if self._index else stored.lengths(self._count))

    def _begin(self, folder: Path, count: int) -> None:
        self._folder, self._count = folder, count
        self._digests: dict[int, str] = {}

    def _count_states(self, lengths: Int64[np.ndarray, " n"]) -> None:
        self.lengths, self.state_ends = lengths, np.cumsum(lengths)

    @staticmethod
    def indexed(index: DatasetIndex) -> EpisodeDataset:
        """The dataset of an index, which is known at once: each part is checked when it is opened.

        Its `artifact` reads the manifest, which may be long, when it is asked for.
        """
        dataset = EpisodeDataset.__new__(EpisodeDataset)
        dataset._begin(index.folder, len(index))
        dataset._index = index
        dataset._count_states(index.lengths)
        return dataset

    @staticmethod
    def of(artifact: Artifact) -> EpisodeDataset:
        """The dataset of an artifact, limited to the episodes that were asked for."""
        artifact_at(artifact, EPISODES)
        return EpisodeDataset(artifact.path, None, artifact.episodes, artifact)

    def first(self, episodes: int) -> EpisodeDataset:
        """Its first `episodes` as a dataset. Raises InvalidInput where there are fewer."""
        if self._artifact is None and self._index:
            return EpisodeDataset.indexed(self._index.first(episodes))
        shares = [share.part for share in self._parts.shares] if self._artifact is None else None
        return EpisodeDataset(self._folder, shares, episodes, self._artifact)

    @property
    def artifact(self) -> Artifact | None:
        """Where it is from; None where it was opened without a manifest."""
        if self._artifact is None and self._index is not None:
            self._artifact = replace(artifact_in_place(self._folder), episodes=self._count)
        return self._artifact

    @property
    def index(self) -> DatasetIndex | None:
        """Where its episodes lie; None where it was opened without a manifest."""
        if self._index is None and self._artifact is not None:
            self._index = index_of(self._artifact).first(self._count)
        return self._index

    @property
    def name(self) -> str:
        """`domain/task/dataset`, as `Workspace` opens it; the folder where it was opened without a manifest."""
        if self._index:
            return self._index.name
        return f"{self.artifact.manifest.task}/{self.artifact.manifest.version}" if self.artifact else str(self._folder)

    @property
    def states(self) -> int:
        """All states."""
        return int(self.state_ends[-1]) if self._count else 0

    def digest(self, episodes: int | None = None) -> str:
        """Digest of the first `episodes` episodes, the same however they are stored and cut into parts."""
        count = episodes or self._count
        if self._index:
            return self._index.digest(count)
        if count not in self._digests:
            self._digests[count] = combine([self.per_episode("digest")[:count].tobytes()])
        return self._digests[count]

    def per_episode(self, name: str) -> Shaped[np.ndarray, "n ..."]:
        """A once-per-episode array over all episodes: seed, success, return, digest, ... Raises UnknownName."""
        if name not in PER_EPISODE:
            raise unknown_name("once-per-episode array", name, PER_EPISODE)
        if self._index:
            return self._index.once(name).copy()
        return np.concatenate([self._open(p)[f"episodes/{name}"][:] for p in self._used()])[: self._count]

    def texts(self, name: str) -> list[str]:
        """A once-per-episode text over all episodes: mission or end_reason. Raises UnknownName."""
        if name not in TEXTS:
            raise unknown_name("once-per-episode text", name, TEXTS)
        parts = [self._open(part) for part in self._used()]
        split = (split_texts(part[f"texts/{name}/bytes"][:], part[f"texts/{name}/ends"][:]) for part in parts)
        return list(chain.from_iterable(split))[: self._count]

    def datasets(self) -> list[str]:
        """Of each episode, the name of the dataset that it lies in: this one, or one that this one refers to."""
        names = ((without_suffix(share.folder.parents[1].name), share.episodes) for share in self._parts.shares)
        return [name for name, episodes in names for _ in range(episodes)][: self._count]

    def array_names(self) -> list[str]:
        """Names of the step arrays."""
        if self._index:
            return sorted(self._index.stored)
        return sorted({name for part in self._used() for name in step_arrays(self._open(part))})

    def reset_specs(self) -> dict[str, RowSpec]:
        """`reset_info/<name>`, and its dtype and shape, of each array that the reset of some episode has."""
        return {name: row for part in reversed(self._used()) for name, row in reset_specs(self._open(part)).items()}

    def rows(self) -> dict[str, RowSpec]:
        """One row of each step array that any episode has, by name: what a form must hold that keeps them all together.

        Among them is a mask for each info that only some steps have; `beside` gives an episode in these arrays.
        """
        if self._index:
            return dict(self._index.specs)
        parts = [step_arrays(self._open(part)) for part in self._used()]
        rows = {name: RowSpec.of(array) for part in reversed(parts) for name, array in part.items()}
        for name in [name for name in rows if name.startswith(INFO) and any(name not in part for part in parts)]:
            rows[mask_of(name)] = RowSpec(np.dtype(np.bool_), ())
        return dict(sorted(rows.items()))

    def has_info_texts(self) -> bool:
        """Whether an info of some episode is a text."""
        return any(f"texts/{INFO_TEXTS}/ends" in self._open(part) for part in self._used())

    @cached_property
    def has_own_discounts(self) -> bool:
        """Whether some discount is another than the end of its episode implies; reads all of them, once."""
        return own_discounts(partial(self.state_rows, "discount"), self.state_ends, self.per_episode("terminated"))

    def spec(self, name: str) -> tuple[tuple[int, ...], np.dtype[Any]]:
        """Shape of one row and dtype of a step array. Raises UnknownName, a KeyError, where no episode has it."""
        row = self._row(name)
        return row.shape, row.dtype

    def state_rows(self, name: str, start: int, stop: int) -> Shaped[np.ndarray, "states ..."]:
        """Rows of a step array at the flat states [start, stop); zeros where an episode lacks that info.

        Raises IndexError unless 0 <= start <= stop <= states, UnknownName where no episode has the array.
        """
        if not 0 <= start <= stop <= self.states:
            raise IndexError(f"states {start} to {stop} of {self.name}, which has the states 0 to {self.states}")
        row = self._row(name)
        out = np.empty((stop - start, *row.shape), row.dtype)
        filled = 0
        while filled < stop - start:
            block = self._block(name, start + filled, stop)
            out[filled : filled + len(block)] = block
            filled += len(block)
        return out

    def episode_rows(self, name: str, index: int, start: int, stop: int) -> Shaped[np.ndarray, "rows ..."]:
        """Rows [start, stop) of a step array of one episode, counted from its first to its last, which is no state.

        Raises IndexError for rows that the episode does not have, UnknownName where no episode has the array.
        """
        rows = int(self.lengths[index]) + 1
        if not (0 <= index < self._count and 0 <= start <= stop <= rows):
            raise IndexError(
                f"rows {start} to {stop} of episode {index} of {self.name}, which has the rows 0 to {rows}"
            )
        row = self._row(name)
        part = int(np.searchsorted(self._parts.firsts, index, "right")) - 1
        arrays = self._open(part)
        if (array := arrays.get(f"{STEPS}{name}")) is None:
            block = absent(name, row, step_arrays(arrays), stop - start)
            block[rows - 1 - start :] = 0  # no step is made at the last row
            return block
        first = int(self.state_ends[index] - self.lengths[index]) + index - self._row_offset(part)
        return array[first + start : first + stop]

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[Episode]:
        """All episodes in order, some megabytes in memory at a time."""
        return self._between(0, self._count)

    @overload
    def __getitem__(self, index: SupportsIndex) -> Episode: ...
    @overload
    def __getitem__(self, index: slice) -> EpisodeSlice: ...
    def __getitem__(self, index: SupportsIndex | slice) -> Episode | EpisodeSlice:
        """One episode, of which only its own rows are read; for a slice, a sequence that reads each when asked for it.

        Raises IndexError beyond the first or last episode.
        """
        if isinstance(index, slice):
            return EpisodeSlice(self, range(self._count)[index])
        number = operator.index(index)
        if not -self._count <= number < self._count:
            raise no_episode(number, self.name, self._count)
        number %= self._count
        part = int(np.searchsorted(self._parts.firsts, number, "right")) - 1
        return unpack(some_of(self._open(part), of_part := number - int(self._parts.firsts[part]), of_part + 1))[0]

    __contains__ = None  # a TypeError; otherwise `in` reads all episodes and answers False

    def __repr__(self) -> str:
        arrays = listed({name: self._row(name) for name in self.array_names()})
        size = f"{how_many(self._count, 'episodes')}, {how_many(self.states, 'states')}"
        return f"EpisodeDataset({self.name}: {size}; {arrays})"

    def __getstate__(self) -> dict[str, Any]:
        """Without the open files: each process opens its own."""
        own = {name: each for name, each in self.__dict__.items() if name != "_parts"}
        return own if self._artifact is None and self._index else {**own, "_index": None, "_parts": copy(self._parts)}

    def parts_between(self, start: int, stop: int) -> Iterator[tuple[range, Mapping[str, ReadableArray]]]:
        """The parts that hold the episodes [start, stop): the numbers of each one's episodes, and its arrays.

        For readers of whole parts; what the arrays are, `pipeline.dataset.parts.pack` says.
        """
        for part in self._used():
            first, last = (int(self._parts.firsts[each]) for each in (part, part + 1))
            if start < last and first < stop:
                yield range(first, last), self._open(part)

    def read_ahead(self, start: int = 0) -> Iterator[Episode]:
        """As iteration, from episode `start` on, while a thread beside reads some megabytes of the next episodes."""
        own = copy(self)  # the thread opens files of its own
        return chain.from_iterable(map(unpack, ahead(own._runs(start, self._count))))

    def prepared_ahead(self, start: int, prepare: Callable[[int, Episode], Episode]) -> Iterator[Episode]:
        """As `read_ahead`, of what that thread makes of each: `prepare` takes its number and itself."""
        numbers = count(start)
        runs = map(unpack, copy(self)._runs(start, self._count))
        return chain.from_iterable(ahead([prepare(next(numbers), each) for each in run] for run in runs))

    def _between(self, start: int, stop: int) -> Iterator[Episode]:
        """The episodes [start, stop), some megabytes in memory at a time."""
        return chain.from_iterable(map(unpack, self._runs(start, stop)))

    def _runs(self, start: int, stop: int) -> Iterator[dict[str, Shaped[np.ndarray, "..."]]]:
        for numbers, stored in self.parts_between(start, stop):
            yield from runs_of(stored, max(start - numbers.start, 0), min(stop - numbers.start, len(numbers)))

    def _block(self, name: str, start: int, stop: int) -> Shaped[np.ndarray, "states ..."]:
        """The states from `start` on that lie in the same part: one read, minus the last row of each episode."""
        episode = int(np.searchsorted(self.state_ends, start, "right"))
        part = int(np.searchsorted(self._parts.firsts, episode, "right")) - 1
        last = int(min(self._parts.firsts[part + 1], self._count))
        stop = int(min(stop, self.state_ends[last - 1]))
        # Each earlier episode has one row more than it has states.
        begin, end = start + episode, stop - 1 + int(np.searchsorted(self.state_ends, stop - 1, "right")) + 1
        offset = self._row_offset(part)
        arrays = self._open(part)
        if (array := arrays.get(f"{STEPS}{name}")) is None:
            return absent(name, self._row(name), step_arrays(arrays), stop - start)
        rows = array[begin - offset : end - offset]
        lasts = (self.state_ends + np.arange(self._count))[episode:last] - begin
        keep = np.ones(len(rows), np.bool_)
        keep[lasts[lasts < len(rows)]] = False
        return rows[keep]

    def _row(self, name: str) -> RowSpec:
        if self._index and name in self._index.stored:
            return self._index.stored[name]
        for part in self._used() if self._index is None else ():
            if (array := self._open(part).get(f"{STEPS}{name}")) is not None:
                return RowSpec.of(array)
        once = {**dict.fromkeys(PER_EPISODE, "per_episode"), **dict.fromkeys(TEXTS, "texts")}.get(name)
        hint = f"It is kept once an episode: {once}({name!r})." if once else ""
        raise unknown_name(f"array of {self.name}", name, self.array_names(), hint)

    def _row_offset(self, part: int) -> int:
        first = int(self._parts.firsts[part])
        return 0 if first == 0 else int(self.state_ends[first - 1]) + first

    def _used(self) -> range:
        return self._parts.used(self._count)

    def _open(self, part: int) -> Mapping[str, ReadableArray]:
        return self._parts.open(part)

    @cached_property
    def _parts(self) -> OpenParts:
        return indexed_parts(self._index) if self._index else OpenParts([])
