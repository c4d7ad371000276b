"""D4RL HDF5: one file with flat arrays of T rows an episode, in which terminals and timeouts end the episodes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Int64, Shaped

from pipeline.command import again
from pipeline.dataset.ends import implied_reason
from pipeline.episode import INFO, Episode
from pipeline.errors import InvalidInput
from pipeline.sources.absent import unfilled
from pipeline.sources.contract import Source
from pipeline.sources.d4rl_file import D4rlRows, open_d4rl
from pipeline.sources.episode_table import PROVENANCE, EpisodeTable, note_stale
from pipeline.sources.files import file_of_task, files_identity
from pipeline.sources.flat import (
    Arrays,
    EpisodeBounds,
    as_vector,
    episodes_of,
    marked_rows,
    with_last_rows,
    without_lone_masks,
    zero_at,
)
from pipeline.sources.hdf5 import SUFFIXES
from pipeline.sources.provenance import made_from
from pipeline.sources.quirks import Quirk, Quirks
from pipeline.wording import check_choice, check_count

EPISODES = "metadata/episodes"
"""The group that says what the episodes of an export of ours say once."""

LAST_INFOS = "metadata/last_infos"
"""What the infos of an export of ours hold beside the last observations, where that is not nothing."""

FINAL = ("zero", "repeat", "drop")

WANTED = "a D4RL file, or a folder with a file TASK.hdf5 for each task"


class D4rlSource(Source):
    """Reads D4RL's files, and what `format=d4rl` writes.

    Args:
        path: the file, or a folder with `TASK.hdf5` for each task.
        max_episode_steps: where the file has no timeouts: after so many steps an episode ends.
        final_observation: what stands for the observation after an episode, where the file has none: `zero`, marked as
            missing; `repeat` the one before it; `drop` the last step, whose observation becomes the last one.
        incomplete: `drop` or `keep` the steps after the last end.
        cache: where copies of what lies at a URL are kept; unset: the user's folder of caches.
    """

    name = "d4rl"

    def __init__(
        self,
        path: str,
        max_episode_steps: int | None = None,
        final_observation: str = "zero",
        incomplete: str = "drop",
        cache: str | None = None,
    ) -> None:
        if max_episode_steps is not None:
            check_count("source.max_episode_steps", max_episode_steps)
        check_choice("source.final_observation", final_observation, FINAL)
        check_choice("source.incomplete", incomplete, ("drop", "keep"))
        self.path, self.max_episode_steps, self.cache = path, max_episode_steps, cache
        self.final_observation, self.incomplete = final_observation, incomplete
        self._quirks: dict[str, Quirks] = {}

    def identity(self, domain: str, task: str) -> Mapping[str, Any]:
        path = self._file(task)
        with open_d4rl(path) as rows:
            origin = made_from(rows.file.json(f"{EPISODES}/{PROVENANCE}"))
        return {
            "source": self.name,
            **files_identity(path),
            "max_episode_steps": self.max_episode_steps,
            "final_observation": self.final_observation,
            "incomplete": self.incomplete,
            **origin,
        }

    def count(self, domain: str, task: str) -> int:
        with open_d4rl(self._file(task)) as rows:
            return len(self._plan(rows, Quirks()).bounds)

    def episodes(self, domain: str, task: str, start: int = 0) -> Iterator[Episode]:
        self._quirks[task] = quirks = Quirks()
        with open_d4rl(self._file(task)) as rows:
            yield from self._plan(rows, quirks).episodes(start)

    def quirks(self, domain: str, task: str) -> Iterable[Quirk]:
        return self._quirks.get(task, ())

    def _file(self, task: str) -> Path:
        return file_of_task(self.path, task, SUFFIXES, WANTED, self.cache)

    def _plan(self, rows: D4rlRows, quirks: Quirks) -> _Plan:
        """Look at the names, the dimensions and the flags of a file."""
        bounds, complete = _bounds(rows, self.max_episode_steps, quirks)
        table = EpisodeTable(rows.file, EPISODES)
        ours = rows.has_next and not rows.is_chunked and bool(rows.file.json(f"{EPISODES}/{PROVENANCE}"))
        exact = ours and table.whole and table.agrees(bounds)
        if rows.file.below(EPISODES) and not exact:
            note_stale(rows.file, EPISODES, quirks)
        columns = without_lone_masks(rows.columns(exact, quirks))
        if exact:
            return _Plan(rows, columns, bounds, table, None, quirks)
        rule = self.final_observation if not rows.has_next else None
        return _Plan(
            rows, columns, _chosen(bounds, complete, self.incomplete == "keep", rule, quirks), None, rule, quirks
        )


@dataclass(frozen=True)
class _Plan:
    """Which arrays are read, and where the episodes lie in them.

    Attributes:
        columns: names of the datasets by our names of the step arrays.
        table: what the episodes of an export of ours say once; its rows are taken as they are.
        rule: what stands for last observations; None where the file has them.
    """

    rows: D4rlRows
    columns: dict[str, str]
    bounds: EpisodeBounds
    table: EpisodeTable | None
    rule: str | None
    quirks: Quirks = field(repr=False)

    def episodes(self, start: int) -> Iterator[Episode]:
        """From number `start` on."""
        row_bytes = sum(map(self.rows.row_bytes, self.columns.values())) * (2 if self.rows.has_next else 1)
        for first, last in self.bounds.windows(start, row_bytes):
            begin, end = int(self.bounds.starts[first]), int(self.bounds.stops[last - 1])
            read = {name: self.rows.read(path, begin, end) for name, path in self.columns.items()}
            arrays, places = with_last_rows(read, self.bounds, first, last)
            self._finish(arrays, places, first, last)
            yield from self._made(arrays, places, first, last)

    def _finish(self, arrays: Arrays, places: Int64[np.ndarray, " k+1"], first: int, last: int) -> None:
        """Fill the last rows: observations with what came after the last step, all else with zeros."""
        lasts = places[1:] - 1
        for name in arrays:
            if name.startswith("observation"):
                arrays[name] = self._observations(name, arrays[name], places, first, last)
            elif self.rule == "drop":
                arrays[name] = zero_at(arrays[name], lasts)
        arrays["reward"] = as_vector(arrays["reward"])
        if "discount" in arrays:
            return
        arrays["discount"] = np.ones(int(places[-1]))
        arrays["discount"][lasts] = 0
        arrays["discount"][lasts[self.bounds.terminated[first:last]] - 1] = 0

    def _observations(
        self,
        name: str,
        array: Shaped[np.ndarray, "rows ..."],
        places: Int64[np.ndarray, " k+1"],
        first: int,
        last: int,
    ) -> Shaped[np.ndarray, "rows ..."]:
        lasts = places[1:] - 1
        if self.rule == "repeat":
            array[lasts] = array[lasts - 1]
        if not self.rows.has_next:
            return array
        starts, stops = self.bounds.starts[first:last], self.bounds.stops[first:last]
        after = self.rows.read(self.rows.next_of(self.columns[name]), int(starts[0]), int(stops[-1]))
        array[lasts] = after[stops - 1 - starts[0]]
        successors = with_last_rows({name: after}, self.bounds, first, last)[0][name]
        inside = np.ones(len(array) - 1, np.bool_)
        inside[places[1:-1] - 1] = False  # between two episodes
        differ = (successors[:-1] != array[1:]) & (successors[:-1] == successors[:-1])  # NaN is met elsewhere
        odd = int((differ.reshape(len(differ), -1).any(axis=1) & inside).sum()) if differ.size else 0
        self.quirks.count(
            "differing_next_observations",
            "{count} steps have a next observation that is not the observation of the next row; the latter was taken.",
            odd,
            rule="the next row is what was seen next",
            dropped=odd,
            unit="observations",
        )
        return array

    def _made(self, arrays: Arrays, places: Int64[np.ndarray, " k+1"], first: int, last: int) -> Iterator[Episode]:
        bounds, numbers = self.bounds, np.arange(first, last)
        from_table = self.table.once(numbers) if self.table else None

        def once(i: int) -> tuple[Mapping[str, Any], Mapping[str, Shaped[np.ndarray, "..."]]]:
            if from_table:
                return from_table(i)
            ends = bool(bounds.terminated[first + i]), bool(bounds.truncated[first + i])
            own = {"terminated": ends[0], "truncated": ends[1], "end_reason": implied_reason(*ends)}
            return {**own, "has_final_observation": self.rule != "zero"}, {}

        def words(i: int) -> str:
            number = first + i
            return f"{self.rows.file.path}: episode {number} (from row {int(bounds.starts[number])})"

        made = episodes_of(arrays, places, once, words)
        if self.table is None:
            yield from made
            return
        infos = self.table.beside(LAST_INFOS, numbers)
        for i, episode in enumerate(made):
            for name, values in infos.items():
                info = episode.steps.get(f"{INFO}{name}")
                if info is not None and info.shape[1:] == values.shape[1:]:
                    info[-1] = values[i]
            yield unfilled(episode)


def _bounds(
    rows: D4rlRows, max_episode_steps: int | None, quirks: Quirks
) -> tuple[EpisodeBounds, Bool[np.ndarray, " n"]]:
    """All episodes, the steps after the last end among them, and which of them have an end."""
    terminals = _marked(rows, "terminals")
    if "timeouts" in rows:
        stops = np.union1d(terminals, _marked(rows, "timeouts")) + 1
    elif max_episode_steps is not None:
        stops = _cut(terminals + 1, rows.count, max_episode_steps)
        quirks.note(
            "inferred_ends",
            f"There are no timeouts; an episode ends after {max_episode_steps:,} steps.",
            rule=f"source.max_episode_steps={max_episode_steps}",
        )
    else:
        raise InvalidInput(
            f"{rows.file.path} has no timeouts: nothing says where an episode ends that did not terminate. Say after "
            f"how many steps it does, for gym's MuJoCo tasks 1000:\n{again(source__max_episode_steps=1000)}"
        )
    ended = np.ones(len(stops), np.bool_)
    if not len(stops) or stops[-1] < rows.count:
        stops, ended = np.append(stops, rows.count), np.append(ended, False)
    starts = np.concatenate([[0], stops[:-1]]).astype(np.int64)
    terminated = np.isin(stops - 1, terminals)
    return EpisodeBounds(starts, stops, np.ones(len(stops), np.bool_), terminated, ended & ~terminated), ended


def _marked(rows: D4rlRows, name: str) -> Int64[np.ndarray, " k"]:
    return marked_rows(partial(rows.read, name), rows.count, f"{rows.file.path}: {name}")


def _cut(ends: Int64[np.ndarray, " k"], rows: int, most: int) -> Int64[np.ndarray, " n"]:
    """Where episodes end: at `ends`, and after `most` steps, which are counted anew after each end."""
    begins = np.concatenate([[0], ends])
    pieces = -(-np.diff(np.append(begins, rows)) // most)
    within = np.arange(int(pieces.sum())) - np.repeat(np.cumsum(pieces) - pieces, pieces)
    stops = np.minimum(np.repeat(begins, pieces) + (within + 1) * most, np.repeat(np.append(ends, rows), pieces))
    tail = len(pieces) and pieces[-1] and (rows - int(begins[-1])) % most  # steps that lead to no end
    return stops[:-1] if tail else stops


def _chosen(
    bounds: EpisodeBounds, complete: Bool[np.ndarray, " n"], keep: bool, rule: str | None, quirks: Quirks
) -> EpisodeBounds:
    """The episodes that are read; what is left out is noted."""
    tail = int(bounds.lengths[~complete].sum())
    quirks.note(
        "incomplete",
        f"{{count}} steps after the last end {'were kept as an episode' if keep else 'were left out'}.",
        tail,
        rule=f"source.incomplete={'keep' if keep else 'drop'}",
        dropped=0 if keep else tail,
        unit="steps",
    )
    bounds = bounds.where(complete | keep)
    if rule is None:
        return bounds
    none = np.zeros(len(bounds), np.bool_)
    if rule == "drop":  # a log that simply stops, one step earlier
        bounds = replace(bounds, cut=none, terminated=none, truncated=none)
        empty = bounds.lengths < 1
        alone = int(empty.sum())
        quirks.note(
            "empty_episodes",
            "{count} episodes of one step were left out.",
            alone,
            rule="source.final_observation=drop",
            dropped=alone,
            unit="episodes",
        )
        bounds = bounds.where(~empty)
    words = {"zero": "marked as missing", "repeat": "the one before it again", "drop": "that of the last step, dropped"}
    quirks.note(
        "no_final_observations",
        f"The last observations of {{count}} episodes are not in the file: they are {words[rule]}.",
        len(bounds),
        rule=f"source.final_observation={rule}",
        dropped=len(bounds) if rule == "drop" else 0,
        unit="steps",
    )
    return bounds
