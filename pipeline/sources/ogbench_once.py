"""What an OGBench file of ours says once an episode: numbers, texts and the infos of resets."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
from jaxtyping import Int64, Shaped

from pipeline.episode import INFO_TEXTS, SUMMARY, TEXTS
from pipeline.errors import InvalidInput
from pipeline.sources.npz import NpzReader

ONCE, RESETS, RESETS_PRESENT = "episodes/", "episodes/reset_info/", "episodes/reset_info_present/"
NUMBER = f"{ONCE}number"
TEXT_NAMES = (*TEXTS, INFO_TEXTS)


class OgbenchOnce:
    """What a file of ours says once an episode, from episode `start` of `count` on."""

    def __init__(self, file: NpzReader, count: int, start: int) -> None:
        names = [name for name in file if name.startswith(ONCE) and name != NUMBER]
        self._path = file.path
        self._arrays = {name: file[name] for name in names if not name.endswith("/bytes")}
        if wrong := [name for name, array in self._arrays.items() if len(array) != count]:
            raise InvalidInput(f"{file.path} is damaged: {wrong[0]} should hold {count} episodes.")
        self._texts = {name: file[f"{ONCE}{name}/bytes"] for name in TEXT_NAMES if f"{ONCE}{name}/bytes" in names}
        needed = [_ends_of(name) for name in self._texts]
        needed += [n.replace(RESETS, RESETS_PRESENT, 1) for n in self._arrays if n.startswith(RESETS)]
        if missing := [name for name in needed if name not in self._arrays]:
            raise InvalidInput(f"{file.path} is damaged: it has no {missing[0]}.")
        self._at = dict.fromkeys(self._texts, 0)
        for name, bytes_ in self._texts.items():
            ends = self._arrays[_ends_of(name)].read(start)
            self._at[name] = int(ends[-1]) if start else 0
            bytes_.skip(self._at[name])
        for name, array in self._arrays.items():
            if not name.endswith("/ends"):
                array.skip(start)

    def read(self, count: int) -> list[tuple[dict[str, Any], dict[str, Shaped[np.ndarray, "..."]]]]:
        """For each of the next episodes what it says once, and the infos of its reset."""
        arrays = {name: array.read(count) for name, array in self._arrays.items()}
        texts = {name: self._split(name, arrays[_ends_of(name)]) for name in self._texts}
        numbers = {name: arrays[f"{ONCE}{name}"].tolist() for name in SUMMARY if f"{ONCE}{name}" in arrays}
        resets = {n.removeprefix(RESETS): arrays[n] for n in arrays if n.startswith(RESETS)}
        there = {name: arrays[f"{RESETS_PRESENT}{name}"] for name in resets}
        return [
            (
                {name: each[index] for name, each in (numbers | texts).items()},
                {name: each[index] for name, each in resets.items() if there[name][index]},
            )
            for index in range(count)
        ]

    def _split(self, name: str, ends: Int64[np.ndarray, " n"]) -> list[str]:
        starts = [self._at[name], *ends.tolist()]
        content = self._texts[name].read(starts[-1] - starts[0]).tobytes()
        self._at[name] = starts[-1]
        try:
            return [content[a - starts[0] : b - starts[0]].decode() for a, b in itertools.pairwise(starts)]
        except UnicodeDecodeError as error:
            raise InvalidInput(f"{self._path} is damaged: {name} is no UTF-8: {error}") from error


def _ends_of(text: str) -> str:
    return f"{ONCE}{text}/ends"
