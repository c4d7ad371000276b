"""Kabuki HDF5 (once D4RL-V2): one file with flat arrays, T+1 rows an episode, aligned as state, action, reward.

Source: the specification is in docs/formats/kabuki.md.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Float64, Int64, Shaped

from pipeline.dataset.ends import implied_reason
from pipeline.episode import INFO, PRESENT, Episode
from pipeline.errors import InvalidInput
from pipeline.sources.absent import unfilled
from pipeline.sources.contract import Source
from pipeline.sources.episode_table import PROVENANCE, EpisodeTable, note_stale
from pipeline.sources.files import file_of_task, files_identity
from pipeline.sources.flat import (
    Arrays,
    EpisodeBounds,
    as_vector,
    episodes_of,
    in_blocks,
    marked_rows,
    with_last_rows,
    without_lone_masks,
    zero_at,
)
from pipeline.sources.hdf5 import SUFFIXES, Hdf5, column_of, infos_of, numbers_of, require_layout, same_rows
from pipeline.sources.provenance import made_from
from pipeline.sources.quirks import IMPLIED_DISCOUNTS, NO_STEP, Quirk, Quirks
from pipeline.wording import check_choice

OBSERVATION, ACTION, REWARD, DISCOUNT = "observation", "action", "reward", "discount"
FIRST, LAST, TERMINAL = "is_first", "is_last", "is_terminal"
STEP_METADATA, STEP_MASKS = "step_metadata", "step_metadata_present"
EPISODES = "episode_metadata"

MISSPELT = ("discounnts", "discounts")
"""What stands in the place of the discounts in files of the published converter: the first holds rewards."""

WANTED = "a Kabuki file, or a folder with a file TASK.hdf5 for each task"


class KabukiSource(Source):
    """Reads what Minari's predecessor proposed, and what `format=kabuki` writes.

    Args:
        path: the file, or a folder with `TASK.hdf5` for each task.
        incomplete: `drop` or `keep` episodes of which the beginning or the end is missing.
        cache: where copies of what lies at a URL are kept; unset: the user's folder of caches.
    """

    name = "kabuki"

    def __init__(self, path: str, incomplete: str = "drop", cache: str | None = None) -> None:
        check_choice("source.incomplete", incomplete, ("drop", "keep"))
        self.path, self.incomplete, self.cache = path, incomplete, cache
        self._quirks: dict[str, Quirks] = {}

    def identity(self, domain: str, task: str) -> Mapping[str, Any]:
        path = self._file(task)
        with Hdf5(path) as file:
            origin = made_from(file.json(f"{EPISODES}/{PROVENANCE}"))
        return {"source": self.name, **files_identity(path), "incomplete": self.incomplete, **origin}

    def count(self, domain: str, task: str) -> int:
        with Hdf5(self._file(task)) as file:
            return len(_Plan.of(file, self.incomplete == "keep", Quirks()).bounds)

    def episodes(self, domain: str, task: str, start: int = 0) -> Iterator[Episode]:
        self._quirks[task] = quirks = Quirks()
        with Hdf5(self._file(task)) as file:
            yield from _Plan.of(file, self.incomplete == "keep", quirks).episodes(start)

    def quirks(self, domain: str, task: str) -> Iterable[Quirk]:
        return self._quirks.get(task, ())

    def _file(self, task: str) -> Path:
        return file_of_task(self.path, task, SUFFIXES, WANTED, self.cache)


@dataclass(frozen=True)
class _Plan:
    """Which arrays are read, and where the episodes lie in them.

    Attributes:
        columns: paths of the datasets by our names of the step arrays; without the discounts where none are kept.
        numbers: of each episode among all that begin in the file, those that are left out included.
        table: what the episodes say once, where the file says it and it fits.
        exact: the file is an export of ours: its rows are taken as they are.
    """

    file: Hdf5
    columns: dict[str, str]
    bounds: EpisodeBounds
    numbers: Int64[np.ndarray, " n"]
    table: EpisodeTable | None
    exact: bool
    quirks: Quirks = field(repr=False)

    @staticmethod
    def of(file: Hdf5, keep: bool, quirks: Quirks) -> _Plan:
        """Look at the names, the dimensions and the flags of a file."""
        columns, rows = _standard(file)
        bounds, complete = _bounds(file, rows, quirks)
        table = EpisodeTable(file, EPISODES)
        fits = table.agrees(bounds)
        if file.below(EPISODES) and not fits:
            note_stale(file, EPISODES, quirks)
        ours = fits and table.whole and bool(file.json(f"{EPISODES}/{PROVENANCE}"))
        exact = ours and table.says("terminated", bounds.terminated)
        if (discount := _discount(file, rows, quirks)) is not None:
            columns[DISCOUNT] = discount
        used = {*columns.values(), FIRST, LAST, TERMINAL, *MISSPELT, *file.below(EPISODES)}
        columns |= infos_of(file, rows, used, lambda path: _info_name(path, exact), quirks)
        chosen = _chosen(bounds, complete, keep, quirks)
        numbers = np.flatnonzero(chosen)
        columns = without_lone_masks(columns)
        return _Plan(file, columns, bounds.where(chosen), numbers, table if fits else None, exact, quirks)

    def episodes(self, start: int) -> Iterator[Episode]:
        """From number `start` on."""
        for first, last in self.bounds.windows(start, sum(map(self.file.row_bytes, self.columns.values()))):
            begin, end = int(self.bounds.starts[first]), int(self.bounds.stops[last - 1])
            read = {name: self.file.read(path, begin, end) for name, path in self.columns.items()}
            arrays, places = with_last_rows(read, self.bounds, first, last)
            self._mend(arrays, places, first)
            yield from self._made(arrays, places, first, last)

    def _made(self, arrays: Arrays, places: Int64[np.ndarray, " k+1"], first: int, last: int) -> Iterator[Episode]:
        from_table = self.table.once(self.numbers[first:last]) if self.table else lambda i: ({}, {})
        bounds, exact = self.bounds, self.exact

        def once(i: int) -> tuple[dict[str, Any], Mapping[str, Shaped[np.ndarray, "..."]]]:
            known, resets = from_table(i)
            if exact:
                return dict(known), resets
            ends = bool(bounds.terminated[first + i]), bool(bounds.truncated[first + i])
            own = {"terminated": ends[0], "truncated": ends[1], "end_reason": implied_reason(*ends)}
            return {**known, **own, "has_final_observation": not bounds.cut[first + i]}, resets

        def words(i: int) -> str:
            number = first + i
            return f"{self.file.path}: episode {number} (from row {int(bounds.starts[number])})"

        made = episodes_of(arrays, places, once, words)
        yield from map(unfilled, made) if exact else made

    def _mend(self, arrays: Arrays, places: Int64[np.ndarray, " k+1"], first: int) -> None:
        """Zero what the last rows hold beside observations, and make the discounts say what the ends say."""
        lasts = places[1:] - 1
        for name in (ACTION, REWARD):
            values = arrays[name][lasts]
            odd = int(np.count_nonzero(values.reshape(len(lasts), -1).any(axis=1))) if values.size else 0
            self.quirks.count(
                "last_row_values",
                f"The last rows of {{count}} episodes hold {name}s, which say nothing.",
                odd,
                rule="a last row is an observation alone",
                dropped=odd,
                unit=f"{name}s",
            )
            arrays[name] = zero_at(arrays[name], lasts)
        arrays[REWARD] = as_vector(arrays[REWARD])
        discounts = arrays.get(DISCOUNT)
        arrays[DISCOUNT] = self._discounts(None if discounts is None else as_vector(discounts), places, first)

    def _discounts(
        self, given: Float64[np.ndarray, " rows"] | None, places: Int64[np.ndarray, " k+1"], first: int
    ) -> Float64[np.ndarray, " rows"]:
        lasts = places[1:] - 1
        terminated = self.bounds.terminated[first : first + len(lasts)]
        discounts = np.ones(int(places[-1])) if given is None else given
        discounts[lasts] = 0
        if self.exact:
            return discounts
        ends = discounts[lasts - 1]
        if given is not None:
            mended = int((terminated & (ends != 0)).sum())
            self.quirks.count(
                "contradicting_discounts",
                "{count} episodes are terminal, but their last discount was not 0; it is 0 now.",
                mended,
                rule=f"{TERMINAL} decides",
                dropped=mended,
                unit="discounts",
            )
            self.quirks.count(
                "contradicting_discounts",
                "{count} episodes are not terminal, but their last discount is 0; it was kept.",
                int((~terminated & (ends == 0)).sum()),
                rule=f"{TERMINAL} decides",
            )
        discounts[lasts[terminated] - 1] = 0
        return discounts


def _standard(file: Hdf5) -> tuple[dict[str, str], int]:
    """The datasets of observations, actions and rewards by our names, and how many rows they have."""
    require_layout(file, KabukiSource.name)
    observations = file.below(OBSERVATION)
    if not observations:
        numbers_of(file, OBSERVATION, "one observation a row")
    columns = {path: path for path in [*observations, ACTION, REWARD]}
    for path in columns:
        numbers_of(file, path, f"one {path.partition('/')[0]} a row")
    single = [name for name in (REWARD, DISCOUNT, FIRST, LAST, TERMINAL) if name in file]
    for name in single:
        column_of(file, name, f"one {name} a row")
    return columns, same_rows(file, list(dict.fromkeys([*columns, *single])))


def _info_name(path: str, exact: bool) -> str:
    """Our name of a dataset; only an export of ours has masks of infos."""
    group, _, name = path.partition("/")
    if exact and group == STEP_MASKS and name:
        return f"{PRESENT}{name}"
    return f"{INFO}{name if group == STEP_METADATA and name else path}"


def _discount(file: Hdf5, rows: int, quirks: Quirks) -> str | None:
    """The dataset of discounts, if there is one that can hold them."""
    if DISCOUNT in file:
        return DISCOUNT
    for name in MISSPELT:
        if name in file:
            usable = name != MISSPELT[0] and file.datasets[name].shape == (rows,) and file.is_numeric(name)
            if usable and _are_discounts(file, name, rows):
                quirks.note(
                    "misspelt_discounts",
                    f"The discounts were read from the dataset {name}.",
                    rule="numbers from 0 to 1, a row each",
                )
                return name
            sentence = f"{name} holds no discounts; they were made from the ends of the episodes."
            quirks.note("no_discounts", sentence, rule=IMPLIED_DISCOUNTS, dropped=1, unit="arrays")
            return None
    sentence = "There are no discounts; they were made from the ends of the episodes."
    quirks.note("no_discounts", sentence, rule=IMPLIED_DISCOUNTS)
    return None


def _are_discounts(file: Hdf5, name: str, rows: int) -> bool:
    return all(((each >= 0) & (each <= 1)).all() for each in in_blocks(partial(file.read, name), rows))


def _bounds(file: Hdf5, rows: int, quirks: Quirks) -> tuple[EpisodeBounds, Bool[np.ndarray, " n"]]:
    """All episodes that begin in a file, and which of them have both their beginning and their end."""
    flags = {
        name: marked_rows(partial(file.read, name), rows, f"{file.path}: {name}")
        for name in (FIRST, LAST, TERMINAL)
        if name in file
    }
    if FIRST not in flags and LAST not in flags:
        raise InvalidInput(f"{file.path} has neither {FIRST} nor {LAST}: nothing says where its episodes begin.")
    if FIRST not in flags:
        sentence = f"{FIRST} is missing; an episode begins after each {LAST}."
        quirks.note("inferred_ends", sentence, rule=f"{LAST} decides")
        flags[FIRST] = np.concatenate([[0], flags[LAST] + 1])
    if LAST not in flags:
        sentence = f"{LAST} is missing; an episode ends before each {FIRST}."
        quirks.note("inferred_ends", sentence, rule=f"{FIRST} decides")
        flags[LAST] = np.concatenate([flags[FIRST] - 1, [rows - 1]])
    starts = np.unique(np.concatenate([[0], flags[FIRST], flags[LAST] + 1]))
    starts = starts[(starts >= 0) & (starts < rows)]
    stops = np.concatenate([starts[1:], [rows]])
    begun, ended = np.isin(starts, flags[FIRST]), np.isin(stops - 1, flags[LAST])
    if TERMINAL in flags:
        terminated = ended & np.isin(stops - 1, flags[TERMINAL])
        inside = len(flags[TERMINAL]) - int(terminated.sum())
        quirks.note(
            "ends_inside",
            "{count} terminal rows are not the last of an episode: ignored.",
            inside,
            rule=f"{FIRST} and {LAST} decide",
            dropped=inside,
            unit="flags",
        )
    else:
        sentence = f"{TERMINAL} is missing; an episode is terminal where its last discount is 0."
        quirks.note("no_terminals", sentence, rule="a last discount of 0 is terminal")
        terminated = ended & _ends_at_zero(file, rows, stops, quirks)
    return EpisodeBounds(starts, stops, ~ended, terminated, ended & ~terminated), begun & ended


def _ends_at_zero(file: Hdf5, rows: int, stops: Int64[np.ndarray, " n"], quirks: Quirks) -> Bool[np.ndarray, " n"]:
    """Whether the discount of the last transition is 0, where there are discounts."""
    name = _discount(file, rows, quirks)
    if name is None:
        return np.zeros(len(stops), np.bool_)
    zeros = marked_rows(lambda start, stop: file.read(name, start, stop) == 0, rows, f"{file.path}: {name}")
    return np.isin(stops - 2, zeros)


def _chosen(
    bounds: EpisodeBounds, complete: Bool[np.ndarray, " n"], keep: bool, quirks: Quirks
) -> Bool[np.ndarray, " n"]:
    """Which of the episodes are read; those that are not are noted."""
    incomplete = int((~complete).sum())
    beginning = f"{{count}} episodes lack {FIRST} at their beginning or {LAST} at their end"
    quirks.note(
        "incomplete",
        f"{beginning}: they were {'kept' if keep else 'left out'}.",
        incomplete,
        rule=f"source.incomplete={'keep' if keep else 'drop'}",
        dropped=0 if keep else incomplete,
        unit="episodes",
    )
    chosen = complete | keep
    empty = chosen & (bounds.lengths < 1)
    no_step = int(empty.sum())
    quirks.note(
        "empty_episodes",
        "{count} episodes without a step were left out.",
        no_step,
        rule=NO_STEP,
        dropped=no_step,
        unit="episodes",
    )
    return chosen & ~empty
