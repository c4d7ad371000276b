"""Episodes out of the columns of the reader.

EnvLogger pairs each time step with the action that led to it, so row t takes the action, the reward and the discount
of time step t+1, and the observation of time step t. What was logged besides of time step t+1 came about by action t.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float64, Shaped

from pipeline.dataset.ends import implied_reason
from pipeline.episode import INFO, PRESENT, Episode, with_last_row
from pipeline.errors import InvalidInput
from pipeline.exact import exactly
from pipeline.keys import Keys, apart, key_names
from pipeline.observation import observation_names
from pipeline.sources.envlogger.stream import Frame, LoggedLeaf
from pipeline.sources.quirks import Quirks

ACTION, REWARD, DISCOUNT, OBSERVATION = "action", "reward", "discount", "observation"
CUSTOM, EPISODE = "custom", "episode"

Specs = Mapping[str, Any]
"""`environment_specs` of the log: what its environment said of its arrays."""


def episode_of(frame: Frame, specs: Specs, quirks: Quirks) -> Episode:
    """The episode of a frame of at least two time steps. Raises InvalidInput for what no episode can hold."""
    discount = _numbers(frame, DISCOUNT)
    ended = bool(frame.head["ended"])
    terminated = ended and discount[-1] == 0
    infos = _Infos(frame, quirks)
    return Episode(
        steps={
            **_observations(frame, specs),
            ACTION: with_last_row(ACTION, _actions(frame, specs, quirks)),
            REWARD: with_last_row(REWARD, _numbers(frame, REWARD)),
            DISCOUNT: with_last_row(DISCOUNT, discount),
            **infos.steps,
        },
        terminated=bool(terminated),
        truncated=bool(ended and not terminated),
        end_reason=implied_reason(bool(terminated), bool(ended and not terminated)),
        reset_info=infos.reset,
        info_texts=infos.texts,
        reset_texts=infos.reset_texts,
    )


def _of(frame: Frame, part: str) -> list[LoggedLeaf]:
    """The columns of a part of the steps."""
    return [column for column in frame.columns if column.keys[0] == part]


def _observations(frame: Frame, specs: Specs) -> dict[str, Shaped[np.ndarray, "rows ..."]]:
    columns = _of(frame, OBSERVATION)
    if not columns:
        raise InvalidInput("it has no observation")
    names = observation_names([column.keys[1:] for column in columns if column.keys[1:]])
    found = {}
    for column in columns:
        name = "/".join([OBSERVATION, *([names[column.keys[1:]]] if column.keys[1:] else [])])
        found[name] = _typed(column, specs, name)
    return found


def _actions(frame: Frame, specs: Specs, quirks: Quirks) -> Shaped[np.ndarray, "t ..."]:
    """The actions that led from each time step to the next. Those of several arrays are laid side by side."""
    columns = _of(frame, ACTION)
    if not columns:
        raise InvalidInput("it has no action")
    each = [_typed(column, specs, "/".join(map(str, column.keys)), after_first=True) for column in columns]
    if len(each) == 1:
        return each[0]
    if any(column.keys[1:] != (str(number),) for number, column in enumerate(columns)):
        quirks.note(
            "joined_actions",
            "An action is several arrays; they lie side by side, in the order of their names.",
            rule="an action is one array",
        )
    flat = [array.reshape(len(array), -1) for array in each]
    dtype = np.result_type(*flat)
    same = [exactly(array, dtype) for array in flat]
    whole = [array for array in same if array is not None]
    if len(whole) < len(flat):
        raise InvalidInput(f"no type of numbers holds all of the action: {[str(array.dtype) for array in flat]}")
    return np.concatenate(whole, axis=1)


def _typed(column: LoggedLeaf, specs: Specs, name: str, after_first: bool = False) -> Shaped[np.ndarray, "..."]:
    """The numbers of each time step, or of each after the first; whole numbers of Python in the spec's type."""
    values = _whole(column, name, after_first)
    if not column.python:
        return values
    spec: Any = specs.get(f"{column.keys[0]}_spec")
    for key in column.keys[1:]:
        spec = spec.get(key) if isinstance(spec, Mapping) and "shape" not in spec else spec
    try:
        wanted = np.dtype(spec["dtype"])
    except (TypeError, KeyError, ValueError):
        return values
    typed = exactly(values, wanted)
    return values if typed is None else typed


def _whole(column: LoggedLeaf, name: str, after_first: bool = False) -> Shaped[np.ndarray, "..."]:
    """The numbers of each time step, or of each after the first. Raises InvalidInput where one has none."""
    if column.values is None:
        raise InvalidInput(f"{name} must hold numbers; {column.unfit or 'it holds texts'}")
    needed = column.present[1:] if after_first else column.present
    if not needed.all():
        at = int(np.argmin(needed)) + after_first
        raise InvalidInput(f"{name} is missing at time step {at}")
    return column.values[1:] if after_first and column.present[0] else column.values


def _numbers(frame: Frame, name: str) -> Float64[np.ndarray, " t"]:
    """One number of each time step after the first. Raises InvalidInput."""
    columns = _of(frame, name)
    if not columns:
        raise InvalidInput(f"it has no {name}")
    values = _whole(columns[0], name, after_first=True)
    wide = exactly(values, np.float64) if values.size == len(values) and len(columns) == 1 else None
    if wide is None:
        raise InvalidInput(f"{name} should be one number a time step; it is {values.dtype}{list(values.shape[1:])}")
    return wide.reshape(-1)


class _Infos:
    """What was logged besides: of the steps, of the first time step, and of the whole episode.

    Attributes:
        steps, texts: of each step, as of an episode.
        reset, reset_texts: of the first time step, and behind `episode/` what was said of the whole episode.
    """

    def __init__(self, frame: Frame, quirks: Quirks) -> None:
        self.steps: dict[str, Shaped[np.ndarray, "rows ..."]] = {}
        self.texts: dict[str, list[str | None]] = {}
        self.reset: dict[str, Shaped[np.ndarray, "..."]] = {}
        self.reset_texts: dict[str, str] = {}
        custom = _of(frame, CUSTOM)
        for name, column in _named(custom, quirks):
            if not column.unfit:
                self._add(name, column)
        for name, column in _named(frame.once, quirks):
            if not column.unfit:
                self._add_once(f"{EPISODE}/{name}" if column.keys[1:] else EPISODE, column)

    def _add(self, name: str, column: LoggedLeaf) -> None:
        if column.present[0]:
            self._add_once(name, column)
        after = column.present[1:]
        if not after.any():
            return
        if column.texts is not None:
            self.texts[name] = list(column.texts[1:])
            return
        assert column.values is not None
        values = column.values[1:] if column.present[0] else column.values
        rows = np.zeros((len(after) + 1, *values.shape[1:]), values.dtype)
        rows[:-1][after] = values
        self.steps[f"{INFO}{name}"] = rows
        if not after.all():
            self.steps[f"{PRESENT}{name}"] = with_last_row(name, after)

    def _add_once(self, name: str, column: LoggedLeaf) -> None:
        if column.texts is not None:
            self.reset_texts[name] = column.texts[0] or ""
        elif column.values is not None:
            self.reset[name] = np.array(column.values[0])


def _named(columns: Sequence[LoggedLeaf], quirks: Quirks) -> list[tuple[str, LoggedLeaf]]:
    """Columns with the names of their arrays; counts what has no name, and what is no array and no text."""
    paths = dict.fromkeys(column.keys[1:] or (column.keys[0],) for column in columns)
    names = key_names(paths)
    places = apart(tuple(names.values()))
    found = []
    for column in columns:
        path: Keys = column.keys[1:] or (column.keys[0],)
        shown = "/".join(map(str, path))
        if column.unfit or path not in names:
            why = column.unfit or "its key has no name"
            sentence = f"{shown} of {{count}} episodes is not stored: {why}."
            quirks.count("unread_arrays", sentence, rule="numbers of one shape, or texts", dropped=1, unit="arrays")
        else:
            found.append((places[names[path]], column))
    return found
