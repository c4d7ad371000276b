"""What a check is shown: some whole episodes at a time, as flat arrays; and what is known before of all of them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple, Protocol

import numpy as np
from jaxtyping import Bool, Float64, Int64, Num, Shaped

from pipeline.dataset.columns import step_arrays
from pipeline.dataset.parts import ENDS, split_texts
from pipeline.doctor.findings import Finding
from pipeline.doctor.kernels import sums_of
from pipeline.domains.domain import Domain


@dataclass(frozen=True)
class Subject:
    """A dataset that is examined.

    Attributes:
        where: `toy/corner/scripted-v1`; of foreign data what the reader was given.
        domain, task, dataset: empty where they are not known.
        parameters: of its manifest; of foreign data what their reader says of them, under `source`.
        foreign: read by a door, and not stored here.
        simulator: the domain of the command, where it has this task.
        episodes: how many there are, where that is known.
        stitched: it, or a dataset that it was derived from, joins several datasets.
    """

    where: str
    domain: str = ""
    task: str = ""
    dataset: str = ""
    parameters: Mapping[str, Any] = field(default_factory=dict)
    foreign: bool = False
    simulator: Domain | None = None
    episodes: int | None = None
    stitched: bool = False

    @property
    def environment(self) -> Mapping[str, Any]:
        """What the manifest says of the simulator; empty where it says nothing."""
        return dict(self.parameters.get("environment") or {})


class Moments(NamedTuple):
    """Of each column of a vector, over some rows: how many, mean, squared distances from it, least and greatest.

    `others` is the sum of all numbers of the rows between them, finite only where each of those is.
    """

    rows: int
    mean: Float64[np.ndarray, " columns"]
    squares: Float64[np.ndarray, " columns"]
    least: Float64[np.ndarray, " columns"]
    most: Float64[np.ndarray, " columns"]
    others: float

    def joined(self, other: Moments) -> Moments:
        """Those of both together (Chan, Golub and LeVeque)."""
        count = self.rows + other.rows
        if not self.rows or not other.rows:
            return other if other.rows else self
        with np.errstate(invalid="ignore", over="ignore"):  # of numbers that are none
            away = other.mean - self.mean
            return Moments(
                count,
                self.mean + away * (other.rows / count),
                self.squares + other.squares + away**2 * (self.rows * other.rows / count),
                np.minimum(self.least, other.least),
                np.maximum(self.most, other.most),
                self.others + other.others,
            )

    @property
    def deviation(self) -> Float64[np.ndarray, " columns"]:
        """Standard deviation of each column."""
        return np.sqrt(self.squares / max(1, self.rows))


@dataclass(frozen=True)
class EpisodeBlock:
    """Some whole episodes that follow one another.

    Attributes:
        first: the number of its first episode.
        part: the number of the part that it lies in.
        arrays: as `pipeline.dataset.parts.pack` makes them.
    """

    first: int
    part: int
    arrays: Mapping[str, Shaped[np.ndarray, "..."]]

    @cached_property
    def ends(self) -> Int64[np.ndarray, " n"]:
        """Cumulative rows of its episodes."""
        return np.asarray(self.arrays[ENDS])

    @cached_property
    def starts(self) -> Int64[np.ndarray, " n"]:
        """The first row of each episode."""
        return np.concatenate([np.zeros(1, np.int64), self.ends[:-1]])

    @cached_property
    def lasts(self) -> Int64[np.ndarray, " n"]:
        """The last row of each episode, which is no state."""
        return self.ends - 1

    @cached_property
    def lengths(self) -> Int64[np.ndarray, " n"]:
        """States of each episode."""
        return self.ends - self.starts - 1

    @property
    def rows(self) -> int:
        """All of its rows."""
        return int(self.ends[-1]) if len(self.ends) else 0

    @cached_property
    def steps(self) -> dict[str, Shaped[np.ndarray, "rows ..."]]:
        """The step arrays, by their own names."""
        return {name: np.asarray(array) for name, array in step_arrays(self.arrays).items()}

    @cached_property
    def is_state(self) -> Bool[np.ndarray, " rows"]:
        """Which rows are not the last of their episode."""
        states = np.ones(self.rows, np.bool_)
        states[self.lasts] = False
        return states

    @cached_property
    def is_first(self) -> Bool[np.ndarray, " rows"]:
        """Which rows are the first of their episode."""
        firsts = np.zeros(self.rows, np.bool_)
        firsts[self.starts] = True
        return firsts

    @cached_property
    def is_seen(self) -> Bool[np.ndarray, " rows"]:
        """Which rows hold an observation: all but the last rows of episodes whose source dropped it."""
        seen = np.ones(self.rows, np.bool_)
        seen[self.lasts[~self.once("has_final_observation")]] = False
        return seen

    def once(self, name: str) -> Shaped[np.ndarray, "n ..."]:
        """A once-per-episode array: seed, terminated, truncated, success, return, digest, ..."""
        return np.asarray(self.arrays[f"episodes/{name}"])

    def texts(self, name: str) -> tuple[list[str], Int64[np.ndarray, " n"]]:
        """A once-per-episode text, mission or end_reason: the different ones, and of each episode which it has."""
        data, ends = np.asarray(self.arrays[f"texts/{name}/bytes"]), np.asarray(self.arrays[f"texts/{name}/ends"])
        if len(ends) and data.size == len(ends) * int(ends[0]):  # mostly all are the same, or empty
            first = data[: int(ends[0])]
            alike = np.array_equal(ends, ends[0] * np.arange(1, len(ends) + 1))
            if alike and (data.reshape(len(ends), -1) == first).all():
                return [bytes(first).decode()], np.zeros(len(ends), np.int64)
        numbers: dict[str, int] = {}
        places = [numbers.setdefault(text, len(numbers)) for text in split_texts(data, ends)]
        return list(numbers), np.asarray(places, np.int64)

    def has_text(self, name: str, wanted: str) -> Bool[np.ndarray, " n"]:
        """Which episodes have that text."""
        texts, places = self.texts(name)
        return places == (texts.index(wanted) if wanted in texts else -1)

    def place(self, row: int) -> tuple[int, int]:
        """The number of the episode that a row of the block belongs to, and which row of it that is."""
        episode = int(np.searchsorted(self.ends, row, "right"))
        return self.first + episode, row - int(self.starts[episode])

    def vectors(self, prefix: str) -> dict[str, Num[np.ndarray, "rows columns"]]:
        """The step arrays of that name, or below it (`observation/...`), each flattened to columns."""
        return {name: _flat(array) for name, array in self.steps.items() if name.split("/")[0] == prefix and array.size}

    def moments(self, name: str) -> Moments:
        """Of the columns of a step array over the block's states; computed once for all checks."""
        if name not in self._moments:
            self._moments[name] = moments_of(_flat(self.steps[name]), self.is_state)
        return self._moments[name]

    @cached_property
    def _moments(self) -> dict[str, Moments]:
        return {}


def _flat(array: Shaped[np.ndarray, "rows ..."]) -> Shaped[np.ndarray, "rows columns"]:
    return array.reshape(len(array), math.prod(array.shape[1:]))


def moments_of(rows: Num[np.ndarray, "rows columns"], use: Bool[np.ndarray, " rows"]) -> Moments:
    """Of each column over the rows that are used, in one pass over them."""
    count = int(np.count_nonzero(use))
    shift = rows[int(np.argmax(use))].astype(np.float64) if len(rows) else np.zeros(rows.shape[1])
    sums, squares, least, most, others = sums_of(rows, use, shift)
    with np.errstate(invalid="ignore", over="ignore"):
        mean, distances = shift + sums / max(1, count), squares - sums**2 / max(1, count)
    return Moments(count, mean, distances, least, most, others)


class Check(Protocol):
    """One examination of one dataset, which sees each of its blocks once, in order.

    Attributes:
        name: as in `stage.doctor.only=[NAME]`.
    """

    name: str

    def see(self, block: EpisodeBlock) -> None:
        """Look at the next block; keep only what does not grow with the dataset."""

    def findings(self) -> Iterable[Finding]:
        """What was found, once all blocks were seen."""

    def facts(self) -> Mapping[str, Any]:
        """What was measured and is no fault, as JSON."""
        return {}

    def unchecked(self) -> str:
        """What could not be looked at and why; empty where all was."""
        return ""
