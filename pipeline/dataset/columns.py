"""Which step arrays the episodes of a dataset have, so that each new one can be packed with those before it.

Observations, actions, rewards and discounts are the same in all episodes. Infos come and go.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Container, Iterable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol, TypeVar

import numpy as np
from jaxtyping import Shaped

from pipeline.episode import INFO, PRESENT, RESET, Episode
from pipeline.errors import InvalidEpisode
from pipeline.exact import exactly
from pipeline.keys import SideBySide, name_among

STEPS = "steps/"
"""Prefix of the step arrays among the arrays of a part."""


class Described(Protocol):
    """Anything with a dtype and a shape: an array in memory or on disk."""

    @property
    def shape(self) -> tuple[int, ...]: ...

    @property
    def dtype(self) -> np.dtype[Any]: ...


AnyArray = TypeVar("AnyArray", bound=Described)


class RowSpec(NamedTuple):
    """dtype and shape of one row of a step array."""

    dtype: np.dtype[Any]
    shape: tuple[int, ...]

    @staticmethod
    def of(array: Described) -> RowSpec:
        """The row of an array whose leading axis is steps; the order of its bytes says nothing."""
        dtype = np.dtype(array.dtype)
        dtype = dtype if dtype.isnative else dtype.newbyteorder("=")
        return RowSpec(dtype, tuple(array.shape[1:]))

    @property
    def nbytes(self) -> int:
        """Bytes of one row."""
        return self.dtype.itemsize * math.prod(self.shape)

    def __str__(self) -> str:
        return f"{self.dtype}{list(self.shape)}"


class Columns:
    """The step arrays that are known so far: the first episode settles all but the infos, which come and go.

    An info keeps the dtype and shape that it had when it first came; a simulator may say 0 in one episode and 0.5 in
    the next. It may be a number in one and a mapping in the next, too: the second gets another name, as
    `pipeline.keys.SideBySide` says.

    Attributes:
        notes: what had to be left out.
    """

    def __init__(self) -> None:
        self._shared: dict[str, RowSpec] = {}
        self._infos: dict[str, RowSpec] = {}
        self._names = SideBySide()
        self._in_place: set[tuple[tuple[str, ...], ...]] = set()  # names of episodes that keep all of them
        self._as_known: set[tuple[Any, ...]] = set()  # rows of episodes that need no change
        self.notes: list[str] = []

    def learn(self, rows: Mapping[str, RowSpec]) -> None:
        """Take the step arrays of a part that is in the dataset, or joins it. Raises InvalidEpisode as `check`."""
        self._agree(rows)
        self.keep_names(rows)
        for name, row in rows.items():
            if name.startswith((INFO, RESET)):
                self._infos.setdefault(name, row)

    def keep_names(self, names: Iterable[str]) -> None:
        """Arrays that come have these names where they can: the dataset that is made again has them."""
        for name in names:
            self._names.keep(name)

    def dtypes(self, names: Iterable[str]) -> dict[str, np.dtype[Any]]:
        """Those of the arrays that all episodes share, as far as they are known and among the names."""
        places = {name: name_among(self._names, name) for name in names}
        return {name: self._shared[place].dtype for name, place in places.items() if place in self._shared}

    def knows(self, rows: tuple[Any, ...]) -> bool:
        """Whether an episode with these rows, as `rows_of` gives them, needs no change."""
        return rows in self._as_known

    def check(self, episode: Episode) -> None:
        """Raises InvalidEpisode where the episode has other arrays than those before it, infos aside."""
        if rows_of(episode) in self._as_known:
            return
        self._agree(row_specs(self._named(episode, self._names.copy()).steps))

    def conform(self, episode: Episode, number: int) -> Episode:
        """Episode `number` as it can be stored: with its infos in the known dtypes and shapes.

        An info that has other values in the known dtype is left out. Raises InvalidEpisode as `check`.
        """
        if (rows := rows_of(episode)) in self._as_known:
            return episode
        own, given, named = _names_of(episode), episode, self._named(episode, names := self._names.copy())
        self._agree(row_specs(named.steps))
        self._names = names
        if named is episode:
            self._in_place.add(own)
        episode = named
        changed: dict[str, np.ndarray | None] = {}
        for name, array in _infos(episode).items():
            have = RowSpec.of(array)
            known = self._infos.setdefault(name, have)
            if have == known:
                continue
            if have.shape == known.shape and (fitting := exactly(array, known.dtype)) is not None:
                changed[name] = fitting
                continue
            changed[name] = changed[mask_of(name)] = None
            self.notes.append(
                f"{name} of episode {number} is {have}, which does not fit {known} of earlier episodes; "
                f"it was left out there"
            )
        if changed:
            return _with_infos(episode, changed)
        if named is given:
            self._as_known.add(rows)
        return episode

    def _named(self, episode: Episode, names: SideBySide) -> Episode:
        """The episode with its arrays under names that can lie beside the known ones; `names` learns the new ones."""
        if _names_of(episode) in self._in_place:  # what has a place keeps it
            return episode
        own = sorted(name for name in episode.steps if not name.startswith(PRESENT))
        own += sorted(f"{RESET}{name}" for name in episode.reset_info)
        known = {n: n if n.startswith((INFO, RESET)) else name_among(self._names, n) for n in own}
        places = {name: names.place(place) for name, place in known.items()}
        places |= {
            mask_of(name): mask_of(places[name])
            for name in own
            if name.startswith(INFO) and mask_of(name) in episode.steps
        }
        if all(name == place for name, place in places.items()):
            return episode
        reset = {places[f"{RESET}{name}"].removeprefix(RESET): each for name, each in episode.reset_info.items()}
        steps = {places[name]: array for name, array in episode.steps.items()}
        return dataclasses.replace(episode, steps=steps, reset_info=reset)

    def _agree(self, rows: Mapping[str, RowSpec]) -> None:
        shared = {name: row for name, row in rows.items() if not name.startswith((INFO, PRESENT, RESET))}
        self._shared = self._shared or shared
        if shared != self._shared:
            raise InvalidEpisode(
                f"Episodes of one dataset need the same arrays. This one has {listed(shared)}; those before it have "
                f"{listed(self._shared)}. Use another dataset name for another environment."
            )


def step_arrays(arrays: Mapping[str, AnyArray]) -> dict[str, AnyArray]:
    """The step arrays among the arrays of a part, by their own names."""
    return {name.removeprefix(STEPS): arrays[name] for name in arrays if name.startswith(STEPS)}


def row_specs(steps: Mapping[str, Described]) -> dict[str, RowSpec]:
    """One row of each step array."""
    return {name: RowSpec.of(array) for name, array in steps.items()}


def listed(rows: Mapping[str, RowSpec]) -> str:
    """`action float32[4], observation float64[39]`, by name."""
    return ", ".join(f"{name} {row}" for name, row in sorted(rows.items()))


def _names_of(episode: Episode) -> tuple[tuple[str, ...], ...]:
    return tuple(episode.steps), tuple(episode.reset_info)


def rows_of(episode: Episode) -> tuple[Any, ...]:
    """Name, dtype and shape of one row of each array of an episode, as quickly as they can be had."""
    steps = [(name, array.dtype, array.shape[1:]) for name, array in episode.steps.items()]
    reset = episode.reset_info
    return (*steps, *((RESET, name, array.dtype, array.shape) for name, array in reset.items())) if reset else (*steps,)


def _infos(episode: Episode) -> dict[str, Shaped[np.ndarray, "_ ..."]]:
    """`info/<key>` of T+1 rows and `reset_info/<key>` of one."""
    steps = {name: array for name, array in episode.steps.items() if name.startswith(INFO)}
    return steps | {f"{RESET}{name}": array[np.newaxis] for name, array in episode.reset_info.items()}


def _with_infos(episode: Episode, changed: Mapping[str, Shaped[np.ndarray, "_ ..."] | None]) -> Episode:
    """The episode with other infos under some of their names, and without those that are None."""
    reset = {f"{RESET}{name}": array[np.newaxis] for name, array in episode.reset_info.items()}
    now = {name: array for name, array in {**episode.steps, **reset, **changed}.items() if array is not None}
    return dataclasses.replace(
        episode,
        steps={name: array for name, array in now.items() if not name.startswith(RESET)},
        reset_info={name.removeprefix(RESET): array[0] for name, array in now.items() if name.startswith(RESET)},
    )


def mask_of(info: str) -> str:
    """The name of the mask of `info/<key>`: at which steps it was there."""
    return PRESENT + info.removeprefix(INFO)


def with_same_arrays(episodes: Sequence[Episode]) -> list[dict[str, Shaped[np.ndarray, "_ ..."]]]:
    """The step arrays of each episode, by name; each episode gets the infos and masks that any of them has.

    An added info is zeros, its mask False at every step. Raises InvalidEpisode where other arrays differ.
    """
    infos = {name: RowSpec.of(a) for e in episodes for name, a in e.steps.items() if name.startswith(INFO)}
    masked = {name for name in infos if any(name not in e.steps or mask_of(name) in e.steps for e in episodes)}
    same = [_with_masked(episode, {name: infos[name] for name in masked}) for episode in episodes]
    first = row_specs(same[0])
    for number, steps in enumerate(same):
        if (rows := row_specs(steps)) != first:
            raise InvalidEpisode(
                f"Episodes of one dataset need the same arrays. Episode {number} of this part has {listed(rows)}, "
                f"the first has {listed(first)}."
            )
    return same


def beside(episode: Episode, rows: Mapping[str, RowSpec]) -> dict[str, Shaped[np.ndarray, "rows ..."]]:
    """An episode in the arrays that all episodes of its dataset have together (`EpisodeDataset.rows`), by name.

    Zeros stand for an info that it lacks, and its mask is False. `without_absent` takes them away again.
    """
    masked = {name: row for name, row in rows.items() if name.startswith(INFO) and mask_of(name) in rows}
    return _with_masked(episode, masked)


def _with_masked(episode: Episode, infos: Mapping[str, RowSpec]) -> dict[str, Shaped[np.ndarray, "rows ..."]]:
    """The step arrays of an episode, to which these infos and their masks are added where they are missing."""
    steps = dict(episode.steps)
    for name, row in infos.items():
        there = name in steps
        steps.setdefault(mask_of(name), (np.arange(episode.rows) < episode.length) & there)
        steps.setdefault(name, np.zeros((episode.rows, *row.shape), row.dtype))
    return dict(sorted(steps.items()))


def without_absent(steps: Mapping[str, Shaped[np.ndarray, "rows ..."]]) -> dict[str, Shaped[np.ndarray, "rows ..."]]:
    """The step arrays as the episode was recorded: without absent infos and masks that are the same at all steps.

    The inverse of what `with_same_arrays` adds.
    """
    own = dict(steps)
    for mask in [name for name in steps if name.startswith(PRESENT)]:
        present = steps[mask][:-1]
        if not present.any():
            del own[INFO + mask.removeprefix(PRESENT)]
        if present.all() or not present.any():
            del own[mask]
    return own


def absent(name: str, row: RowSpec, there: Container[str], count: int) -> Shaped[np.ndarray, "count ..."]:
    """`count` states of an info or mask `name` that a part lacks; `there` holds the names of its step arrays.

    Zeros for an info. A mask is missing where no episode has the info, or where all have it at every step.
    """
    everywhere = name.startswith(PRESENT) and INFO + name.removeprefix(PRESENT) in there
    return np.full((count, *row.shape), everywhere, row.dtype)
