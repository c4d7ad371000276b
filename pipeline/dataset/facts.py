"""What is known of each episode of a dataset, by the names that a where-expression uses. Only what is asked is read."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Shaped

from pipeline.dataset.reader import EpisodeDataset
from pipeline.dataset.resets import ARRAYS, PRESENT
from pipeline.episode import RESET, SUMMARY, TEXTS
from pipeline.errors import unknown_name

NUMBER, TRUTH, TEXT = "a number", "true or false", "a text"

COMMON = 3
"""Of values that are no numbers, so many of the commonest are shown."""


@dataclass(frozen=True)
class FactColumn:
    """A value for each of n episodes, or one for all of them.

    Attributes:
        kind: `a number`, `true or false` or `a text`.
        values: int64 or float64, bool, or texts (dtype object).
        unknown: which episodes do not have it; None where all do. Their values say nothing.
    """

    kind: str
    values: Shaped[np.ndarray, "*n"]
    unknown: Bool[np.ndarray, "*n"] | None = None

    def known(self) -> Shaped[np.ndarray, " known"]:
        """The values of the episodes that have it."""
        values = np.atleast_1d(self.values)
        return values if self.unknown is None else values[~np.broadcast_to(self.unknown, values.shape)]


class EpisodeFacts:
    """The facts of a dataset's episodes, read when they are first asked for."""

    def __init__(self, dataset: EpisodeDataset) -> None:
        self._dataset = dataset
        self._read: dict[str, FactColumn] = {}
        once: dict[str, Callable[[], FactColumn]] = {
            "episode": lambda: column(np.arange(len(dataset))),
            "length": lambda: column(dataset.lengths),
            **{name: lambda name=name: column(dataset.per_episode(name)) for name in (*SUMMARY, "return")},  # type: ignore[misc]
            "source": lambda: column(_objects(dataset.datasets())),
            **{name: lambda name=name: column(_objects(dataset.texts(name))) for name in TEXTS},  # type: ignore[misc]
        }
        self._once = dict(sorted(once.items()))

    def __getitem__(self, name: str) -> FactColumn:
        """The fact of all n episodes. Raises UnknownName with the names that there are."""
        if name not in self._read:
            if name in self._once:
                self._read[name] = self._once[name]()
            elif name in (resets := self._resets()):
                self._read[name] = self._reset(resets[name])
            else:
                names = self.names()
                there = f"There are: {', '.join(names)}." if len(names) > 12 else ""
                raise unknown_name(f"fact of the episodes of {self._dataset.name}", name, names, there)
        return self._read[name]

    def names(self) -> list[str]:
        """All names."""
        return [*self._once, *self._resets()]

    def distribution(self, name: str) -> str:
        """How a fact is distributed, in words: `return: -3 to 12.5, half of them up to 4`."""
        fact = self[name]
        known = fact.known()
        missing = "" if fact.unknown is None else f"; {int(fact.unknown.sum()):,} episodes do not have it"
        if not len(known):
            return f"{name}: no episode has it"
        if fact.kind == NUMBER:
            low, middle, high = (f"{each:,.6g}" for each in (known.min(), np.median(known), known.max()))
            return f"{name}: {low} to {high}, half of them up to {middle}{missing}"
        counts = Counter(known.tolist()).most_common()
        common = ", ".join(f"{value!r} ({count:,})" for value, count in counts[:COMMON])
        return f"{name}: {common}{f' and {len(counts) - COMMON:,} more' if len(counts) > COMMON else ''}{missing}"

    def _resets(self) -> dict[str, str]:
        """`reset_info.NAME` of each info of a reset that is one number, and its array; a key may hold a dot itself."""
        arrays = sorted(name for name, row in self._dataset.reset_specs().items() if row.shape == ())
        return {name.replace("/", "."): name.removeprefix(RESET) for name in arrays}

    def _reset(self, name: str) -> FactColumn:
        values: list[np.ndarray] = []
        dtype = self._dataset.reset_specs()[f"{RESET}{name}"].dtype
        unknown: list[np.ndarray] = []
        for numbers, arrays in self._dataset.parts_between(0, len(self._dataset)):
            have = arrays.get(f"{ARRAYS}{name}")
            present = arrays.get(f"{PRESENT}{name}")
            values.append(np.zeros(len(numbers), dtype) if have is None else have[:])
            lacking = np.full(len(numbers), have is None)
            unknown.append(lacking if have is None or present is None else ~present[:])
        count = len(self._dataset)
        return column(np.concatenate(values)[:count], np.concatenate(unknown)[:count])


def column(values: Any, unknown: Bool[np.ndarray, " n"] | None = None) -> FactColumn:
    """Values as a column; where a real number is NaN, it is not known."""
    array = np.asarray(values)
    if array.dtype.kind == "f":
        array = array.astype(np.float64, copy=False)
        nan = np.isnan(array)
        unknown = nan if unknown is None else unknown | nan
    elif array.dtype.kind in "iu":
        fits = array.dtype != np.uint64 or not array.size or int(array.max()) <= np.iinfo(np.int64).max
        array = array.astype(np.int64 if fits else np.float64, copy=False)
    kind = {"b": TRUTH, "i": NUMBER, "f": NUMBER, "O": TEXT}[array.dtype.kind]
    return FactColumn(kind, array, unknown if unknown is not None and np.any(unknown) else None)


def _objects(texts: list[str]) -> Shaped[np.ndarray, " n"]:
    out = np.empty(len(texts), object)
    out[:] = texts
    return out
