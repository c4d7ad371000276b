"""LRAM's folders (ml-jku/LRAM): a file an episode, in a folder a task, beside JSON files of lengths and returns."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float64, Shaped

from pipeline.dataset.ends import implied_discounts, implied_reason
from pipeline.dataset.per_episode import with_once
from pipeline.domains.atari import ACTIONS as JOYSTICK
from pipeline.episode import SUMMARY, TEXTS, Episode, with_last_row
from pipeline.errors import InvalidEpisode, InvalidInput, unknown_name
from pipeline.exact import exactly
from pipeline.machine.files import read_json
from pipeline.sources.contract import Source
from pipeline.sources.files import files_identity, local_path
from pipeline.sources.flat import require_flags
from pipeline.sources.lram import names
from pipeline.sources.lram.reading import FileArrays, Trust, need, read_arrays
from pipeline.sources.provenance import made_from
from pipeline.sources.quirks import Quirk, Quirks
from pipeline.wording import few, how_many, json_words

PROVENANCE = "provenance.json"
WANTED = "a folder with 000000000.hdf5 (or .npz, .pkl) in it, or one with such folders, each of a task"
ONCE = (*(name for name in SUMMARY if name != "has_final_observation"), *TEXTS)
"""What `episode_facts.json` may say of an episode."""


class LramSource(Source):
    """Episodes of a folder as LRAM's buffer finds them: `.npz`, then `.hdf5`, then `.pkl`, each by name.

    A task's folder is `path` itself, or below it in the task's kebab name, `atari/` between them or not.

    Args:
        path: the folder.
        trust: a pickle runs the code that is in it; only True reads it.
        cache: where copies of what lies at a URL are kept; unset: the user's folder of caches.
    """

    name = "lram"

    def __init__(self, path: str, trust: bool = False, cache: str | None = None) -> None:
        self.path, self.cache = path, cache
        self.trust = Trust.FULL if trust else Trust.REFUSED
        self._quirks: dict[str, Quirks] = {}

    @staticmethod
    def of_own(path: Path) -> LramSource:
        """Of a folder that this project wrote: its pickles hold plain arrays, and nothing else is read from them."""
        source = LramSource(str(path))
        source.trust = Trust.PLAIN
        return source

    def identity(self, domain: str, task: str) -> Mapping[str, Any]:
        """Size and checksum of all files of the task's folder, and where an export of ours came from."""
        place = self._place(domain, task)
        known = made_from(_provenance(place))
        return {"source": self.name, **files_identity(place), **_carried(domain, known.get("made_from", {})), **known}

    def count(self, domain: str, task: str) -> int:
        """One a file."""
        return len(_files(self._place(domain, task)))

    def episodes(self, domain: str, task: str, start: int = 0) -> Iterator[Episode]:
        """As of `Source`. Raises InvalidInput for a file that is damaged, or is no episode of the same task."""
        place = self._place(domain, task)
        self._quirks[task] = quirks = Quirks()
        beside = _Beside(place)
        for path in _files(place)[start:]:
            arrays = read_arrays(path, self.trust)
            try:
                yield _episode(path, arrays, beside, quirks)
            except InvalidEpisode as error:
                raise InvalidInput(f"{path}: {error}") from error

    def quirks(self, domain: str, task: str) -> Iterable[Quirk]:
        """What the files said otherwise than their arrays, or besides them."""
        return self._quirks.get(task, ())

    def _place(self, domain: str, task: str) -> Path:
        place = local_path(self.path, WANTED, self.cache)
        if not place.is_dir():
            raise InvalidInput(f"source.path={self.path} is a file. Wanted: {WANTED}.")
        if _has_episodes(place):
            return place
        name = names.folder_name(domain, task)
        below = [*_folders(place), *(each for family in _folders(place) for each in _folders(family))]
        there = [each for each in below if _has_episodes(each)]
        for folder in there:
            if names.same_letters(folder.name) == names.same_letters(name):
                return folder
        if not there:
            raise InvalidInput(f"source.path={self.path} holds no episodes. Wanted: {WANTED}.")
        raise unknown_name(f"folder in {self.path}", name, [each.name for each in there])


class _Beside:
    """What the JSON files of a folder say of its episodes, by stem."""

    def __init__(self, place: Path) -> None:
        self.lengths = _table(place, names.LENGTHS)
        self.seeds = _table(place, names.SEEDS)
        facts = _table(place, names.FACTS)
        self.facts = {name: _mapping(facts, name) for name in ONCE}
        self.stored = _mapping(_provenance(place), names.STORED)

    def once(self, stem: str, ended: bool) -> dict[str, Any]:
        """What the episode says once. A value of another type than that of its name counts as none."""
        known: dict[str, Any] = {"terminated": ended, "end_reason": implied_reason(ended, False)}
        for name, values in (("seed", self.seeds), *self.facts.items()):
            if _is_of_type(value := values.get(stem), name):
                known[name] = value
        return known | {"has_final_observation": False}


def _episode(path: Path, arrays: FileArrays, beside: _Beside, quirks: Quirks) -> Episode:
    if names.STATES not in arrays and names.ENCODED in arrays:
        raise InvalidInput(
            f"{path} holds {names.ENCODED}, what a network made of its pictures, and not {names.STATES}. Take the "
            f"folder that it was encoded from."
        )
    need(path, arrays, (names.STATES, names.ACTIONS, names.REWARDS))
    length = _length(path, arrays)
    dones = np.ravel(arrays.get(names.DONES, np.zeros(1)))
    require_flags(dones, f"{path}: {names.DONES}")
    once = beside.once(path.stem, bool(dones[-1:].any()))
    _note_quirks(path, arrays, beside, quirks)
    steps = {
        "observation": _observation(path, arrays[names.STATES], beside.stored.get("observation")),
        "action": _as_stored(path, arrays[names.ACTIONS], beside.stored.get("action")),
        "reward": _reward(path, arrays[names.REWARDS]),
    }
    rows = {name: with_last_row(name, array) for name, array in steps.items()}
    return with_once({**rows, "discount": implied_discounts(length, bool(once["terminated"]))}, once)


def _length(path: Path, arrays: FileArrays) -> int:
    """Steps of an episode, of which all arrays but `dones` have as many."""
    lengths = {
        name: len(arrays[name]) if arrays[name].ndim else None
        for name in (names.STATES, names.ACTIONS, names.REWARDS, names.RETURNS_TO_GO)
        if name in arrays
    }
    length = lengths[names.REWARDS]
    if length is None or set(lengths.values()) != {length}:
        counts = ", ".join(f"{name} {'no axis' if each is None else each}" for name, each in lengths.items())
        raise InvalidInput(f"{path}: all arrays need the same number of steps. They have: {counts}.")
    if length == 0:
        raise InvalidInput(f"{path} holds an episode without a step. Move it away.")
    return length


def _observation(
    path: Path, states: Shaped[np.ndarray, "t ..."], stored: Mapping[str, Any] | None
) -> Shaped[np.ndarray, "t ..."]:
    """The states in the shape that they had in the store; of grey pictures of others, without the axis of channels."""
    if stored is not None:
        return _as_stored(path, states, stored)
    return states[:, 0] if _is_grey(states) else states


def _is_grey(states: Shaped[np.ndarray, "t ..."]) -> bool:
    """Whether states are grey pictures with a channel: (T, 1, h, w) uint8."""
    return states.dtype == np.uint8 and states.ndim == 4 and states.shape[1] == 1


def _as_stored(
    path: Path, array: Shaped[np.ndarray, "t ..."], stored: Mapping[str, Any] | None
) -> Shaped[np.ndarray, "t ..."]:
    """The array in the dtype and the shape of a row that `provenance.json` says."""
    if stored is None:
        return array
    try:
        dtype, row = np.dtype(stored["dtype"]), tuple(stored["shape"])
        shaped = array.reshape(len(array), *row)
    except (KeyError, TypeError, ValueError) as error:
        raise _other_rows(path, array, stored) from error
    exact = exactly(shaped, dtype)
    if exact is None:
        raise _other_rows(path, array, stored)
    return exact


def _other_rows(path: Path, array: Shaped[np.ndarray, "..."], stored: Mapping[str, Any]) -> InvalidInput:
    return InvalidInput(
        f"{path} holds rows of {array.dtype}{list(array.shape[1:])}, which are not the {stored} of {PROVENANCE} beside "
        f"it. Move that file away to read the folder as it is."
    )


def _reward(path: Path, rewards: Shaped[np.ndarray, "..."]) -> Shaped[np.ndarray, "t"]:
    exact = exactly(rewards, np.float64)
    if rewards.ndim != 1 or exact is None:
        raise InvalidInput(
            f"{path}: {names.REWARDS} should be a number a step that float64 holds; they are {rewards.dtype} of shape "
            f"{list(rewards.shape)}."
        )
    return exact


def _note_quirks(path: Path, arrays: FileArrays, beside: _Beside, quirks: Quirks) -> None:
    if more := sorted(arrays.keys() - names.ARRAYS):
        quirks.count(
            "unread_arrays",
            f"{{count}} arrays of other names were left out, such as {more[0]}.",
            len(more),
            rule="arrays of LRAM's names are read",
            dropped=len(more),
            unit="arrays",
        )
    rewards = arrays[names.REWARDS]
    if beside.lengths.get(path.stem, len(rewards)) != len(rewards):
        sentence = f"{names.LENGTHS} gives wrong lengths of {{count}} episodes."
        quirks.count("wrong_lengths", sentence, rule="the arrays say how long an episode is")
    if names.DONES not in arrays:
        sentence = "{count} files have no dones; they count as not terminated."
        quirks.count("no_terminals", sentence, rule="without dones no episode terminated")
    elif inside := int(np.count_nonzero(np.ravel(arrays[names.DONES])[:-1])):
        quirks.count(
            "ends_inside",
            "{count} files have a true dones before their last step; it ends nothing here.",
            rule="a file is an episode",
            dropped=inside,
            unit="flags",
        )
    if (kept := arrays.get(names.RETURNS_TO_GO)) is not None and not np.allclose(
        kept, returns_to_go(np.asarray(rewards, np.float64)), rtol=1e-3, atol=1e-3
    ):
        quirks.count(
            "wrong_returns_to_go",
            "{count} files have returns to go that are no sums of their rewards.",
            rule="they are sums of the rewards",
            dropped=1,
            unit="arrays",
        )


def returns_to_go(rewards: Float64[np.ndarray, "t"]) -> Float64[np.ndarray, "t"]:
    """The sum of the rewards from each step to the end.

    >>> returns_to_go(np.array([1.0, 0.5, 2.0]))
    array([3.5, 2.5, 2. ])
    """
    return np.cumsum(rewards[::-1])[::-1]


def _files(place: Path) -> list[Path]:
    """The episodes' files in the order of LRAM's buffer."""
    found = [path for suffix in names.SUFFIXES for path in _by_name(place.glob(f"[!.]*{suffix}"))]
    present = {path.stem for path in found}
    if missing := [stem for stem in _table(place, names.LENGTHS) if stem not in present]:
        raise InvalidInput(
            f"{place / names.LENGTHS} lists {how_many(len(missing), 'episodes')} that have no file: "
            f"{few(sorted(missing))}. Finish the copy, or move that file away to read the {len(found)} that are there."
        )
    order = _table(place, names.ORDER)
    if not order:
        return found
    if unlisted := [path.name for path in found if not isinstance(order.get(path.stem), int | float)]:
        raise InvalidInput(f"{place / names.ORDER} gives no number to {few(unlisted)}. Move it away to go by name.")
    return sorted(found, key=lambda path: order[path.stem])


def _by_name(paths: Iterable[Path]) -> list[Path]:
    """Files of one folder; to compare whole paths takes longer."""
    return sorted(paths, key=lambda path: path.name)


def _has_episodes(folder: Path) -> bool:
    return any(path.suffix in names.SUFFIXES and not path.name.startswith(".") for path in folder.iterdir())


def _folders(folder: Path) -> list[Path]:
    return sorted(each for each in folder.iterdir() if each.is_dir() and not each.name.startswith("."))


def _table(place: Path, name: str) -> dict[str, Any]:
    """A JSON object; nothing where the file is not there."""
    if not (place / name).exists():
        return {}
    found = read_json(place / name)
    if not isinstance(found, dict):
        raise InvalidInput(f"{place / name} should hold values by name; it holds {json_words(found)}.")
    return found


def _mapping(values: Mapping[str, Any] | None, name: str) -> dict[str, Any]:
    """An object inside another; empty where none is there."""
    found = (values or {}).get(name)
    return found if isinstance(found, dict) else {}


def _is_range(value: Any) -> bool:
    """Whether a JSON value is two numbers."""
    return isinstance(value, list) and len(value) == 2 and all(type(each) in (int, float) for each in value)


def _is_of_type(value: Any, name: str) -> bool:
    """Whether a JSON value is what an episode has under that name."""
    if name in TEXTS:
        return isinstance(value, str)
    if SUMMARY[name] is np.bool_:
        return isinstance(value, bool)
    least, most = _LIMITS[name]
    return type(value) is int and least <= value <= most


_LIMITS = {name: (np.iinfo(dtype).min, np.iinfo(dtype).max) for name, dtype in SUMMARY.items() if dtype is not np.bool_}
"""The least and the largest number that an episode may have under a name."""


def _provenance(place: Path) -> dict[str, Any] | None:
    return _table(place, PROVENANCE) or None


def _carried(domain: str, known: Mapping[str, Any]) -> dict[str, Any]:
    """What is still true of the numbers that an export of ours brought."""
    parameters = _mapping(known, "parameters")
    first = {**_mapping(parameters, "environment"), **_mapping(parameters, "source")}
    facts: dict[str, Any] = {}
    if _is_range(clipping := first.get("reward_clipping")):
        facts["reward_clipping"] = clipping
    if stack := _mapping(first, "frame_stack"):
        facts["frame_stack"] = stack
    if domain == "atari" and (places := names.joystick_places(first.get("actions"))):
        facts["actions"] = places
    if _mapping(known, "export").get("full_actions"):
        facts["actions"] = list(range(len(JOYSTICK)))
    return facts
