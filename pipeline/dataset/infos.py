"""Infos of an episode as arrays and texts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from jaxtyping import Num, Shaped

from pipeline.episode import INFO, PRESENT, RESET, with_last_row
from pipeline.exact import one_array
from pipeline.keys import ADDRESS, SHORTENED, Keys, flattened, key_names

NUMBERLESS = "it holds no numbers, or not of one shape and type"

InfoColumn = Sequence[Any] | Shaped[np.ndarray, "t ..."]
"""The values of an info at T steps: an array, or None where there is none."""

NO_UTF8 = "its text cannot be written as UTF-8"


@dataclass
class StackedInfos:
    """The infos of one episode.

    Attributes:
        steps: `info/<key>`, T+1 rows each with zeros in the last one. A key that only some steps have is zero at the
            others, and has a mask, `info_present/<key>`.
        texts: of each key that is a text at some step, the T texts; None at the other steps.
        reset, reset_texts: the info of the reset.
        notes: what is not stored, and why; which names are shortened.
    """

    steps: dict[str, Shaped[np.ndarray, "rows ..."]] = field(default_factory=dict)
    texts: dict[str, list[str | None]] = field(default_factory=dict)
    reset: dict[str, Num[np.ndarray, "..."]] = field(default_factory=dict)
    reset_texts: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def stack_infos(reset: Mapping[Any, Any], infos: Sequence[Mapping[Any, Any]]) -> StackedInfos:
    """The info of the reset and those of T steps. None says what a missing key says."""
    return stack_info_columns(reset, _columns(infos) if any(infos) else {})


def stack_info_columns(reset: Mapping[Any, Any], columns: Mapping[Keys, InfoColumn]) -> StackedInfos:
    """As `stack_infos`, of the T values at the end of each path; an array has a number at each step."""
    stacked = StackedInfos()
    if columns:
        _stack_steps(stacked, columns)
    if reset:
        _stack_reset(stacked, dict(flattened(reset)))
    stacked.notes = list(dict.fromkeys(stacked.notes))
    return stacked


def _columns(infos: Sequence[Mapping[Any, Any]]) -> dict[Keys, InfoColumn]:
    """Of each path that leads to a value at some step, the values of all steps; None at those without."""
    keys = infos[0].keys()
    if all(info.keys() == keys for info in infos):
        columns: dict[Keys, InfoColumn] = {(key,): [info[key] for info in infos] for key in keys}
        if not any(issubclass(kind, Mapping) for column in columns.values() for kind in set(map(type, column))):
            return columns
    flat = [dict(flattened(info)) if info else {} for info in infos]
    return {path: [info.get(path) for info in flat] for path in dict.fromkeys(path for info in flat for path in info)}


def _stack_steps(stacked: StackedInfos, columns: Mapping[Keys, InfoColumn]) -> None:
    names = key_names(columns)
    for keys, column in columns.items():
        if (name := _name(stacked, names, keys, INFO)) is None:
            continue
        if isinstance(column, np.ndarray):
            stacked.steps[f"{INFO}{name}"] = with_last_row(name, column)
            continue
        if any(issubclass(kind, str) for kind in set(map(type, column))):
            texts = [str(value) if isinstance(value, str) else None for value in column]
            if all(map(_is_utf8, texts)):
                stacked.texts[name] = texts
            else:
                stacked.notes.append(_not_stored(keys, NO_UTF8))
            column = [None if isinstance(value, str) else value for value in column]
            if column.count(None) == len(column):
                continue
        _stack_column(stacked, keys, name, column)


def _stack_column(stacked: StackedInfos, keys: Keys, name: str, column: Sequence[Any]) -> None:
    values = [value for value in column if value is not None]
    known = _numbers(values)
    if known is None:
        stacked.notes.append(_not_stored(keys, NUMBERLESS if values else "it is None at every step"))
        return
    rows = np.zeros((len(column) + 1, *known.shape[1:]), known.dtype)
    if len(values) == len(column):
        rows[:-1] = known
    else:
        present = np.asarray([value is not None for value in column])
        rows[:-1][present] = known
        stacked.steps[f"{PRESENT}{name}"] = with_last_row(name, present)
    stacked.steps[f"{INFO}{name}"] = rows


def _stack_reset(stacked: StackedInfos, flat: Mapping[Keys, Any]) -> None:
    names = key_names(flat)
    for keys, value in flat.items():
        if value is None or (name := _name(stacked, names, keys, RESET)) is None:
            continue
        if not isinstance(value, str):
            if (known := _numbers([value])) is not None:
                stacked.reset[name] = known[0]
                continue
        elif _is_utf8(value):
            stacked.reset_texts[name] = str(value)
            continue
        why = NO_UTF8 if isinstance(value, str) else NUMBERLESS
        stacked.notes.append(f"of the reset, {_not_stored(keys, why)}")


def _numbers(values: Sequence[Any]) -> Num[np.ndarray, "n ..."] | None:
    known = one_array(values) if values else None
    return None if known is None or known.dtype.kind == "c" else known


def _name(stacked: StackedInfos, names: Mapping[Keys, str], keys: Keys, prefix: str) -> str | None:
    """The name of an array, where there is one; adds a note where it is shortened or missing."""
    if (name := names.get(keys)) is None:
        stacked.notes.append(_not_stored(keys, "its key has no name"))
    elif SHORTENED in name:
        stacked.notes.append(f"the info {_shown(keys)} is stored as {prefix}{name}, because its name is too long")
    return name


def _not_stored(keys: Keys, why: str) -> str:
    return f"the info {_shown(keys)} is not stored: {why}"


def _shown(keys: Keys) -> str:
    """The keys as a warning names them; no two of an object that is new in each episode, so that it is told once."""
    return ADDRESS.sub("", "/".join(map(str, keys))).encode(errors="backslashreplace").decode()


def _is_utf8(text: str | None) -> bool:
    try:
        (text or "").encode()
    except UnicodeEncodeError:  # half of a character that takes two
        return False
    return True
