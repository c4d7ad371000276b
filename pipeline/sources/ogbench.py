"""OGBench's flat .npz: all rows of a split one after the other, `terminals` marks the last row of each episode."""

from __future__ import annotations

import heapq
import itertools
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int64, Shaped

from pipeline.dataset.columns import without_absent
from pipeline.dataset.per_episode import with_once
from pipeline.episode import INFO, INFO_TEXTS, SUMMARY, TEXTS, Episode
from pipeline.errors import InvalidInput
from pipeline.exact import STORED_KINDS, WIDEST, exactly
from pipeline.keys import key_names
from pipeline.sources.absent import unfilled
from pipeline.sources.contract import Source
from pipeline.sources.files import files_identity, local_path
from pipeline.sources.npz import NpzReader, NpzRows
from pipeline.sources.provenance import made_from
from pipeline.sources.quirks import Quirk, Quirks
from pipeline.wording import check_choice, error_text, few

TRAIN, VALIDATION = SPLITS = ("train", "val")
VALIDATION_SUFFIX = "-val.npz"

OBSERVATIONS, ENDS = "observations", "terminals"
OURS = {"action": "actions", "reward": "rewards", "discount": "discounts"}
"""How the file spells step arrays of ours."""

_THEIRS = {theirs: ours for ours, theirs in OURS.items()}
_KEYS = f"{OBSERVATIONS}, actions and {ENDS}"

STATES = ("qpos", "qvel", "button_states")
"""Infos that `load_dataset` gives out where it is asked for them: they have no prefix."""

ONCE, RESET, RESET_PRESENT = "episodes/", "episodes/reset_info/", "episodes/reset_info_present/"
NUMBER = f"{ONCE}number"
TEXT_NAMES = (*TEXTS, INFO_TEXTS)
PROVENANCE = "provenance.json"
FORM = "form.json"
"""Marks a file of ours. It says which array of an episode lies in `observations`."""

DAMAGE = (ValueError, LookupError, TypeError, AttributeError)
"""What a text of a damaged file, and an episode that is none, raise."""

BLOCK = 2**23
"""Bytes of all arrays that are read at a time."""


def step_key(name: str, observation: str) -> str:
    """The name in the file of a step array of ours, where the array `observation` lies in `observations`."""
    if name == observation:
        return OBSERVATIONS
    info = name.removeprefix(INFO)
    return info if name.startswith(INFO) and info in STATES else OURS.get(name, name)


class OgbenchSource(Source):
    """Episodes of OGBench's files: those of `<name>.npz`, then those of `<name>-val.npz`.

    Files that this project wrote give back the very episodes, in the order that they had.

    Args:
        path: a file, or a folder with one dataset. Its other file lies beside it.
        split: `train` or `val` alone; unset: both.
    """

    name = "ogbench"

    def __init__(self, path: str, split: str | None = None) -> None:
        if split is not None:
            check_choice("source.split", split, SPLITS)
        self.path, self.split = str(path), split
        self._quirks = Quirks()

    def identity(self, domain: str, task: str) -> dict[str, Any]:
        places = self._places()
        with NpzReader(next(iter(places.values()))) as file:
            provenance = _json(file, PROVENANCE) if file.file(FORM) else None
        files = {split: files_identity(place) for split, place in places.items()}
        return {"source": self.name, "splits": files, **made_from(provenance, whole=self.split is None)}

    def count(self, domain: str, task: str) -> int:
        """Number of episodes in both files."""
        return sum(len(_Split(place, Quirks()).numbers) for place in self._places().values())

    def episodes(self, domain: str, task: str, start: int = 0) -> Iterator[Episode]:
        quirks = self._quirks = Quirks()
        splits = [_Split(place, quirks) for place in self._places().values()]
        before = 0
        for split in splits:  # what has no numbers is numbered as it comes
            split.number_from(before)
            before += len(split.numbers)
        order = sorted(number for split in splits for number in split.numbers)
        if len(set(order)) != len(order):
            raise InvalidInput(
                f"{self.path}: its files hold episodes of the same number, so they do not belong together."
            )
        first = order[start] if start < len(order) else before
        streams = [split.episodes(int(np.searchsorted(split.numbers, first))) for split in splits]
        for _, episode in heapq.merge(*streams, key=lambda each: each[0]):
            yield episode

    def quirks(self, domain: str, task: str) -> Iterable[Quirk]:
        return self._quirks

    def _places(self) -> dict[str, Path]:
        """The files by split."""
        place = local_path(self.path, "an .npz file of OGBench, or a folder with one and its -val.npz")
        train = _in_folder(place) if place.is_dir() else place
        if train.name.endswith(VALIDATION_SUFFIX):
            places = {VALIDATION: train}
        else:
            validation = train.with_name(train.name.removesuffix(".npz") + VALIDATION_SUFFIX)
            places = {TRAIN: train} | ({VALIDATION: validation} if validation.is_file() else {})
        if self.split is None:
            return places
        if self.split not in places:
            raise InvalidInput(
                f"source.split={self.split}: {self.path} has only {', '.join(map(str, places.values()))}."
            )
        return {self.split: places[self.split]}


class _Split:
    """One file.

    Attributes:
        numbers: of its episodes, ascending: which they are in the whole dataset.
    """

    numbers: Int64[np.ndarray, " n"]

    def __init__(self, path: Path, quirks: Quirks) -> None:
        self._path = path
        with NpzReader(path) as file:
            form = _json(file, FORM)
            self._is_ours, self._observation = form is not None, str((form or {}).get(OBSERVATIONS, "observation"))
            ends = _ends(file, quirks)
            self._names = self._step_names(file, int(ends[-1]) if len(ends) else 0, quirks)
            numbers = file[NUMBER].all() if self._is_ours and NUMBER in file else None
        starts = np.concatenate([np.zeros(1, np.int64), ends])[:-1]
        kept = ends - starts > 1
        alone = int((~kept).sum())
        quirks.note("single_rows", "{count} episodes have one row, and so no step; they were left out.", alone)
        self._starts, self._ends = starts[kept], ends[kept]
        self._is_numbered = numbers is not None
        self.numbers = np.arange(len(self._ends)) if numbers is None else numbers.astype(np.int64)
        if len(self.numbers) != len(self._ends) or (np.diff(self.numbers) <= 0).any():
            raise InvalidInput(f"{path} is damaged: {NUMBER} should rise by episode, and terminals end as many.")

    def number_from(self, before: int) -> None:
        """Its episodes come after `before` others, where the file does not say."""
        if not self._is_numbered:
            self.numbers = self.numbers + before

    def episodes(self, start: int) -> Iterator[tuple[int, Episode]]:
        """The episodes from its own number `start` on, each with its number in the whole."""
        with NpzReader(self._path) as file:
            arrays = {name: file[key] for name, key in self._names.items()}
            once = _Once(file, len(self._ends), start) if self._is_ours else None
            most, at = BLOCK // max(1, sum(array.row_bytes for array in arrays.values())), 0
            while start < len(self._ends):
                first = int(self._starts[start])
                stop = max(start + 1, int(np.searchsorted(self._ends, first + most, "right")))
                for array in arrays.values():
                    array.skip(first - at)
                at = int(self._ends[stop - 1])
                block = {name: array.read(at - first) for name, array in arrays.items()}
                facts = once.read(stop - start) if once else []
                for index in range(start, stop):
                    rows = slice(int(self._starts[index]) - first, int(self._ends[index]) - first)
                    steps = {name: array[rows] for name, array in block.items()}
                    try:
                        episode = _own(steps, *facts[index - start]) if once else _plain(steps)
                    except DAMAGE as error:
                        raise InvalidInput(f"{self._path}, episode {index}: {_words(error)}") from error
                    yield int(self.numbers[index]), episode
                start = stop

    def _step_names(self, file: NpzReader, rows: int, quirks: Quirks) -> dict[str, str]:
        """The names of the file's step arrays by ours."""
        keys = [key for key in file if key != ENDS and not (self._is_ours and key.startswith(ONCE))]
        if missing := [key for key in (OBSERVATIONS, "actions") if key not in keys]:
            raise InvalidInput(f"{self._path} has no {missing[0]}. OGBench's files have {_KEYS}; it has {few(keys)}.")
        names = {}
        for key in keys:
            array, name = file[key], self._ours(key)
            fits = array.shape[:1] == (rows,) and _is_stored(array)
            if fits:
                names[name] = key
            elif self._is_ours or not name.startswith(INFO):
                raise InvalidInput(
                    f"{self._path}: {key} should be numbers of {rows:,} rows, as terminals has them; it is "
                    f"{array.dtype} of shape {array.shape}."
                )
            else:
                quirks.note("left_out", f"{key} was left out: it is {array.dtype} of shape {array.shape}.")
        if "reward" not in names:
            quirks.note("no_rewards", "The files hold no rewards; they are zeros here.")
        return names

    def _ours(self, key: str) -> str:
        """The name that we give an array of the file."""
        if key == OBSERVATIONS:
            return self._observation
        if key in _THEIRS and (self._is_ours or key != "discounts"):
            return _THEIRS[key]
        return key if self._is_ours and key not in STATES else f"{INFO}{key_names([(key,)])[(key,)]}"


class _Once:
    """What a file of ours says once an episode, from episode `start` of `count` on."""

    def __init__(self, file: NpzReader, count: int, start: int) -> None:
        names = [name for name in file if name.startswith(ONCE) and name != NUMBER]
        self._path = file.path
        self._arrays = {name: file[name] for name in names if not name.endswith("/bytes")}
        if wrong := [name for name, array in self._arrays.items() if len(array) != count]:
            raise InvalidInput(f"{file.path} is damaged: {wrong[0]} should hold {count} episodes.")
        self._texts = {name: file[f"{ONCE}{name}/bytes"] for name in TEXT_NAMES if f"{ONCE}{name}/bytes" in names}
        needed = [_ends_of(name) for name in self._texts]
        needed += [n.replace(RESET, RESET_PRESENT, 1) for n in self._arrays if n.startswith(RESET)]
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
        resets = {n.removeprefix(RESET): arrays[n] for n in arrays if n.startswith(RESET)}
        there = {name: arrays[f"{RESET_PRESENT}{name}"] for name in resets}
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


def _own(
    steps: dict[str, Shaped[np.ndarray, "rows ..."]],
    once: dict[str, Any],
    resets: dict[str, Shaped[np.ndarray, "..."]],
) -> Episode:
    """An episode of a file of ours."""
    return unfilled(with_once(without_absent(steps), once, resets))


def _plain(steps: dict[str, Shaped[np.ndarray, "rows ..."]]) -> Episode:
    """An episode of a file that is not ours: the action of its last row led to nothing that was kept."""
    rows = len(steps["action"])
    steps["action"] = steps["action"].copy()
    steps["action"][-1] = 0
    reward = exactly(steps.get("reward", np.zeros(rows)), np.float64)
    if reward is None:
        raise InvalidInput("rewards should be numbers that float64 holds.")
    steps["reward"] = reward.copy()
    steps["reward"][-1] = 0
    steps["discount"] = np.ones(rows)
    steps["discount"][-1] = 0
    return Episode(steps=steps)


def _ends(file: NpzReader, quirks: Quirks) -> Int64[np.ndarray, " n"]:
    """After which row each episode ends."""
    if ENDS not in file:
        raise InvalidInput(f"{file.path} has no {ENDS}. OGBench's files have {_KEYS}; it has {few(list(file))}.")
    marks = file[ENDS]
    if len(marks.shape) != 1 or not _is_stored(marks):
        raise InvalidInput(
            f"{file.path}: {ENDS} should be one number a row; it is {marks.dtype} of shape {marks.shape}."
        )
    found = [np.zeros(0, np.int64)]
    for start in range(0, len(marks), BLOCK):
        block = marks.read(min(BLOCK, len(marks) - start))
        if (other := (block != 0) & (block != 1)).any():
            row = start + int(np.argmax(other))
            raise InvalidInput(f"{file.path}: {ENDS} should be 0 or 1; it is {block[row - start]} at row {row}.")
        found.append(np.flatnonzero(block) + start + 1)
    ends = np.concatenate(found)
    if len(marks) and (not len(ends) or ends[-1] < len(marks)):
        quirks.note("open_end", f"The last episode of {file.path.name} ends without a mark in {ENDS}.")
        ends = np.append(ends, len(marks))
    return ends


def _in_folder(folder: Path) -> Path:
    """The only file for training in a folder, or else its only one for validation."""
    files = sorted(folder.glob("[!.]*.npz"))
    train = [file for file in files if not file.name.endswith(VALIDATION_SUFFIX)] or files
    if len(train) != 1:
        inside = [f"{each.name}/" for each in sorted(folder.glob("[!.]*")) if each.is_dir()]  # as an export lays them
        found = few([file.name for file in train] or inside) or "none"
        raise InvalidInput(f"source.path={folder} should hold one dataset of OGBench, as NAME.npz; it holds {found}.")
    return train[0]


def _json(file: NpzReader, name: str) -> dict[str, Any] | None:
    """A JSON object inside a file."""
    if (content := file.file(name)) is None:
        return None
    try:
        found = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise InvalidInput(f"{file.path}: {name} cannot be read as JSON: {error}") from error
    if not isinstance(found, dict):
        raise InvalidInput(f"{file.path}: {name} should be a JSON object.")
    return found


def _words(error: Exception) -> str:
    return str(error) if isinstance(error, InvalidInput) else f"it is damaged: {error_text(error)}"


def _is_stored(array: NpzRows) -> bool:
    return array.dtype.kind in STORED_KINDS and array.dtype.itemsize <= WIDEST


def _ends_of(text: str) -> str:
    return f"{ONCE}{text}/ends"
