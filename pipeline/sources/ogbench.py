"""OGBench's flat .npz: all rows of a split one after the other, `terminals` marks the last row of each episode."""

from __future__ import annotations

import heapq
import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from jaxtyping import Int64, Shaped

from pipeline.dataset.columns import without_absent
from pipeline.dataset.per_episode import with_once
from pipeline.episode import INFO, Episode
from pipeline.errors import InvalidInput
from pipeline.exact import STORED_KINDS, WIDEST, exactly
from pipeline.keys import key_names
from pipeline.machine.files import human_bytes
from pipeline.sources.absent import unfilled
from pipeline.sources.contract import Source
from pipeline.sources.files import files_identity, local_path
from pipeline.sources.npz import NpzReader, NpzRows
from pipeline.sources.ogbench_once import NUMBER, ONCE, OgbenchOnce
from pipeline.sources.provenance import made_from
from pipeline.sources.quirks import NO_STEP, ZERO_REWARDS, Quirk, Quirks
from pipeline.wording import check_choice, error_text, few, how_many

TRAIN, VALIDATION = SPLITS = ("train", "val")
VALIDATION_SUFFIX = "-val.npz"

OBSERVATIONS, ENDS = "observations", "terminals"
OURS = {"action": "actions", "reward": "rewards", "discount": "discounts"}
"""How the file spells step arrays of ours."""

_THEIRS = {theirs: ours for ours, theirs in OURS.items()}
_KEYS = f"{OBSERVATIONS}, actions and {ENDS}"

STATES = ("qpos", "qvel", "button_states")
"""Infos that `load_dataset` gives out where it is asked for them: they have no prefix."""

PROVENANCE = "provenance.json"
FORM = "form.json"
"""Marks a file of ours. It says which array of an episode lies in `observations`."""

DAMAGE = (ValueError, LookupError, TypeError, AttributeError)
"""What a text of a damaged file, and an episode that is none, raise."""

BLOCK = 2**23
"""Bytes of all arrays that are read at a time."""

MOST_EPISODE = 2**30
"""Bytes of the longest episode of a file that is not ours: an episode is in memory, several times over."""


def step_key(name: str, observation: str) -> str:
    """The name in the file of a step array of ours, where the array `observation` lies in `observations`."""
    if name == observation:
        return OBSERVATIONS
    info = name.removeprefix(INFO)
    return info if name.startswith(INFO) and info in STATES else OURS.get(name, name)


WANTED = "an .npz file of OGBench, or a folder with one and its -val.npz"


class OgbenchSource(Source):
    """Episodes of OGBench's files: those of `<name>.npz`, then those of `<name>-val.npz`.

    Files that this project wrote give back the very episodes, in the order that they had.

    Args:
        path: a file, or a folder with one dataset. Its other file lies beside it.
        split: `train` or `val` alone; unset: both.
        cache: where copies of what lies at a URL are kept; unset: the user's folder of caches.
    """

    name = "ogbench"

    def __init__(self, path: str, split: str | None = None, cache: str | None = None) -> None:
        if split is not None:
            check_choice("source.split", split, SPLITS)
        self.path, self.split, self.cache = str(path), split, cache
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
        beside = f"{PurePosixPath(self.path).name.removesuffix('.npz')}{VALIDATION_SUFFIX}"
        place = local_path(self.path, WANTED, self.cache, beside=[beside])
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
            if not self._is_ours:
                _require_room(file, list(self._names.values()), ends)
            numbers = file[NUMBER].all() if self._is_ours and NUMBER in file else None
        starts = np.concatenate([np.zeros(1, np.int64), ends])[:-1]
        kept = ends - starts > 1
        alone = int((~kept).sum())
        quirks.note(
            "empty_episodes",
            "{count} episodes have one row, and so no step; they were left out.",
            alone,
            rule=NO_STEP,
            dropped=alone,
            unit="episodes",
        )
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
            once = OgbenchOnce(file, len(self._ends), start) if self._is_ours else None
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
                quirks.note(
                    "unread_arrays",
                    f"{key} was left out: it is {array.dtype} of shape {array.shape}.",
                    rule="infos have a row of numbers for each step",
                    dropped=1,
                    unit="arrays",
                )
        if "reward" not in names:
            quirks.note("no_rewards", "The files hold no rewards; they are zeros here.", rule=ZERO_REWARDS)
        return names

    def _ours(self, key: str) -> str:
        """The name that we give an array of the file."""
        if key == OBSERVATIONS:
            return self._observation
        if key in _THEIRS and (self._is_ours or key != "discounts"):
            return _THEIRS[key]
        return key if self._is_ours and key not in STATES else f"{INFO}{key_names([(key,)])[(key,)]}"


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
        sentence = f"The last episode of {file.path.name} ends without a mark in {ENDS}."
        quirks.note("incomplete", sentence, rule="the end of a file ends its last episode")
        ends = np.append(ends, len(marks))
    return ends


def _require_room(file: NpzReader, names: Sequence[str], ends: Int64[np.ndarray, " n"]) -> None:
    """Raises InvalidInput where more would be in memory than a file is believed; reads no row."""
    arrays = [file[name] for name in names]
    for array in arrays:
        if array.is_by_column and (size := len(array) * array.row_bytes) > MOST_EPISODE:
            raise InvalidInput(
                f"{file.path}: {array.name} lies column by column, so that all of its {human_bytes(size)} would be in "
                f"memory at once. Save it row by row: numpy.ascontiguousarray({array.name})."
            )
    rows = np.diff(ends, prepend=0)
    longest = int(np.argmax(rows)) if len(rows) else 0
    if len(rows) and (size := int(rows[longest]) * sum(array.row_bytes for array in arrays)) > MOST_EPISODE:
        raise InvalidInput(
            f"{file.path}: episode {longest} would have {rows[longest]:,} rows, {human_bytes(size)}, which would be in "
            f"memory at once; at most {human_bytes(MOST_EPISODE)} are read. {ENDS} makes "
            f"{how_many(len(ends), 'episodes')} of all {ends[-1]:,} rows: mark the last row of each one there."
        )


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
