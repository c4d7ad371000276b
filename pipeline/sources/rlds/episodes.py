"""Records as episodes: those of other projects by the rules of RLDS, those of our exports exactly.

Row t holds what was seen, what was done there, and the reward and discount that followed.
Rules: https://github.com/google-research/rlds (README)
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import numpy as np
from jaxtyping import Bool, Float64, Shaped

from pipeline.dataset.columns import without_absent
from pipeline.dataset.ends import implied_discounts, implied_reason
from pipeline.dataset.per_episode import ONCE, with_once
from pipeline.episode import INFO, RESET, Episode, with_last_row
from pipeline.exact import exactly
from pipeline.observation import observation_names
from pipeline.sources.quirks import AS_DECODED, IMPLIED_DISCOUNTS, NO_STEP, ZERO_REWARDS, Quirks
from pipeline.sources.rlds.features import EpisodeFeatures, LeafKind, Path
from pipeline.sources.rlds.ours import EPISODE_ID, FIRST, LAST, RESET_THERE, TERMINAL
from pipeline.sources.rlds.record import RldsRecord
from pipeline.sources.rlds.wire import MalformedRecord

ACTION, REWARD, DISCOUNT, OBSERVATION, INVALID = "action", "reward", "discount", "observation", "invalid"

JOIN = "join"
"""`source.action`: all arrays of an action side by side."""

NO_INFO = (ACTION, REWARD, DISCOUNT, FIRST, LAST, TERMINAL)


class LastRow(StrEnum):
    """`source.last_row`: what the last row of an episode is."""

    DUMMY = "dummy"
    """The last observation; what stands there as action and reward is none (RLDS)."""
    VALID = "valid"
    """A whole step: the observation after it is missing."""


@dataclass(frozen=True)
class ForeignRules:
    """How the records of another project become episodes.

    Attributes:
        mission: the text, of the steps or of the episode, that is its mission; empty: none is.
        actions: the arrays that an action is made of, side by side.
        names: our names of the arrays of the steps, and of the episode, by their keys joined by `/`.
    """

    last_row: LastRow
    mission: str
    actions: Sequence[str]
    names: Mapping[str, str]
    once_names: Mapping[str, str]
    quirks: Quirks = field(default_factory=Quirks)

    @staticmethod
    def of(features: EpisodeFeatures, last_row: LastRow, mission: str, action: str, quirks: Quirks) -> ForeignRules:
        """The rules for records with these features."""
        observed = {n: leaf.path[1:] for n, leaf in features.steps.items() if leaf.path[0] == OBSERVATION}
        actions = chosen_actions(features, action)
        taken = {*observed, *NO_INFO, *actions}
        others = {n: leaf.path for n, leaf in features.steps.items() if n not in taken}
        names = _named(OBSERVATION, observed) | _named(INFO[:-1], others)
        once = {n: leaf.path for n, leaf in features.episode.items() if n != INVALID}
        return ForeignRules(last_row, mission, actions, names, _named("", once), quirks)

    def episode(self, record: RldsRecord) -> Episode | None:
        """The episode; None where it is left out, which is counted. Raises MalformedRecord."""
        if record.once.get(INVALID, np.False_).any():
            self.quirks.count(
                "invalid_episodes",
                "{count} episodes are marked as invalid and were left out.",
                rule=f"{INVALID} is true",
                dropped=1,
                unit="episodes",
            )
            return None
        if not self._is_whole(record):
            return None
        if record.rows - (self.last_row == LastRow.DUMMY) < 1:
            self.quirks.count(
                "empty_episodes",
                "{count} episodes have no step and were left out.",
                rule=NO_STEP,
                dropped=1,
                unit="episodes",
            )
            return None
        for name in record.lossy:
            self.quirks.count(
                "lossy_pictures",
                f"{{count}} episodes have {name} in JPEG, which is not what was seen; it is stored as decoded here.",
                rule=AS_DECODED,
            )
        terminated = self._terminated(record)
        steps, texts, mission = self._steps(record, terminated), self._texts(record), self._mission(record)
        rows = len(steps[REWARD])
        return Episode(
            steps=steps,
            terminated=terminated,
            truncated=not terminated,
            end_reason=implied_reason(terminated, not terminated),
            has_final_observation=self.last_row == LastRow.DUMMY,
            mission=mission,
            reset_info={self.once_names[name]: array for name, array in record.once.items() if name != INVALID},
            info_texts={name: each[: rows - 1] for name, each in texts.items()},
            reset_texts={self.once_names[n]: text for n, text in record.once_texts.items() if n != self.mission},
        )

    def _is_whole(self, record: RldsRecord) -> bool:
        """Whether the record is one episode from its first to its last row. Raises MalformedRecord for several."""
        first, last = (_flags(record, name) for name in (FIRST, LAST))
        if first is not None and first[1:].any():
            raise MalformedRecord(f"{FIRST} is set at row {1 + int(first[1:].argmax())}, inside the episode")
        if last is not None and last[:-1].any():
            raise MalformedRecord(f"{LAST} is set at row {int(last.argmax())} of {record.rows}, inside the episode")
        if (first is None or first[:1].all()) and (last is None or last[-1:].all()):
            return True
        self.quirks.count(
            "incomplete",
            f"{{count}} episodes have no {FIRST} or no {LAST} and were left out: they are cut off.",
            rule=f"whole from {FIRST} to {LAST}",
            dropped=1,
            unit="episodes",
        )
        return False

    def _terminated(self, record: RldsRecord) -> bool:
        terminal, discount = _flags(record, TERMINAL), record.steps.get(DISCOUNT)
        before = record.rows - 1 - (self.last_row == LastRow.DUMMY)
        is_zero = discount is not None and bool((discount[before] == 0).all())
        if terminal is None:
            sentence = f"There is no {TERMINAL}: where the last discount is 0, it terminated."
            self.quirks.note("no_terminals", sentence, rule="a last discount of 0 is terminal")
            return is_zero
        if terminal[:-1].any():
            self.quirks.count(
                "ends_inside",
                f"{{count}} episodes have {TERMINAL} before their last row; it says nothing.",
                rule=f"{TERMINAL} counts on the last row",
                dropped=int(np.count_nonzero(terminal[:-1])),
                unit="flags",
            )
        if discount is not None and bool(terminal[-1]) != is_zero:
            self.quirks.count(
                "contradicting_discounts",
                f"{{count}} episodes have a last discount that says something else than {TERMINAL}, which was taken.",
                rule=f"{TERMINAL} decides",
            )
        return bool(terminal[-1])

    def _steps(self, record: RldsRecord, terminated: bool) -> dict[str, Shaped[np.ndarray, "rows ..."]]:
        steps = {self.names[name]: array for name, array in record.steps.items() if name in self.names}
        steps[ACTION] = self._without_last(_joined([record.steps[name] for name in self.actions]), "an action")
        steps[REWARD] = self._reward(record)
        if self.last_row == LastRow.VALID:
            steps = {name: with_last_row(name, array) for name, array in steps.items()}
        steps[DISCOUNT] = self._discount(record, terminated, len(steps[REWARD]))
        return steps

    def _reward(self, record: RldsRecord) -> Float64[np.ndarray, "rows"]:
        if REWARD not in record.steps:
            self.quirks.note("no_rewards", "There are no rewards: they are 0.", rule=ZERO_REWARDS)
            return np.zeros(record.rows)
        return self._without_last(_numbers(record.steps[REWARD], REWARD), "a reward")

    def _discount(self, record: RldsRecord, terminated: bool, rows: int) -> Float64[np.ndarray, "rows"]:
        if DISCOUNT not in record.steps:
            sentence = "There are no discounts: they are 1, and 0 where an episode terminated."
            self.quirks.note("no_discounts", sentence, rule=IMPLIED_DISCOUNTS)
            return implied_discounts(rows - 1, terminated)
        discount = np.zeros(rows)
        discount[:-1] = _numbers(record.steps[DISCOUNT], DISCOUNT)[: rows - 1]
        return discount

    def _without_last(self, array: Shaped[np.ndarray, "rows ..."], what: str) -> Shaped[np.ndarray, "rows ..."]:
        """Zeros on the last row, where it is no step."""
        if self.last_row == LastRow.VALID or not array[-1].any():
            return array
        self.quirks.count(
            "last_row_values",
            f"{{count}} episodes have {what} other than 0 on the last row, where nothing is done; that was left out. "
            "source.last_row=valid takes that row for a step.",
            rule="source.last_row=dummy",
            dropped=1,
            unit="values",
        )
        return np.concatenate([array[:-1], np.zeros_like(array[-1:])])

    def _texts(self, record: RldsRecord) -> dict[str, list[str]]:
        return {
            self.names[name].removeprefix(INFO): texts
            for name, texts in record.step_texts.items()
            if name != self.mission or len(set(texts)) > 1
        }

    def _mission(self, record: RldsRecord) -> str:
        texts = record.step_texts.get(self.mission, [])
        if len(set(texts)) > 1:
            self.quirks.count(
                "varying_missions",
                "{count} episodes change their mission; the first one was taken.",
                rule="the first row names the mission",
                dropped=len(set(texts)) - 1,
                unit="missions",
            )
        return texts[0] if texts else record.once_texts.get(self.mission, "")


def chosen_actions(features: EpisodeFeatures, action: str) -> list[str]:
    """The arrays that an action is made of: the one that there is, the one of that name, or all with `join`."""
    every = sorted(n for n, leaf in features.steps.items() if leaf.path[0] == ACTION and leaf.kind == LeafKind.TENSOR)
    if action in ("", JOIN):
        return every
    return [name for name in every if name == f"{ACTION}/{action}"]


def is_ours(features: EpisodeFeatures) -> bool:
    """Whether these are the features of an export of this program."""
    return {*ONCE, EPISODE_ID} <= features.episode.keys() and {FIRST, LAST, TERMINAL} <= features.steps.keys()


def our_episode(record: RldsRecord) -> Episode:
    """The episode of a record that `pipeline.formats.rlds` wrote. Raises MalformedRecord."""
    steps = {name: array for name, array in record.steps.items() if name not in (FIRST, LAST, TERMINAL)}
    once = {**{name: array.item() for name, array in record.once.items() if name in ONCE}, **record.once_texts}
    resets = {
        name.removeprefix(RESET): array
        for name, array in record.once.items()
        if name.startswith(RESET) and record.once[f"{RESET_THERE}{name.removeprefix(RESET)}"]
    }
    return with_once(without_absent(steps), once, resets)


def _joined(arrays: Sequence[Shaped[np.ndarray, "rows ..."]]) -> Shaped[np.ndarray, "rows ..."]:
    """Arrays side by side, as vectors of the type that holds each of their numbers."""
    if len(arrays) == 1:
        return arrays[0]
    dtype = np.result_type(*arrays)
    each = [exactly(array.reshape(len(array), -1), dtype) for array in arrays]
    whole = [array for array in each if array is not None]
    if len(whole) < len(each):
        raise MalformedRecord(f"no type of numbers holds all of the action: {[str(array.dtype) for array in arrays]}")
    return np.concatenate(whole, axis=1)


def _flags(record: RldsRecord, name: str) -> Bool[np.ndarray, "rows"] | None:
    found = record.steps.get(name)
    if found is not None and found.ndim != 1:
        raise MalformedRecord(f"{name} should be one truth value a row, it is {list(found.shape[1:])}")
    return None if found is None else found != 0


def _numbers(array: Shaped[np.ndarray, "rows ..."], name: str) -> Float64[np.ndarray, "rows"]:
    """One number a row; an axis of one number is none."""
    wide = exactly(array, np.float64) if array.size == len(array) else None
    if wide is None:
        raise MalformedRecord(f"{name} should be one number a row, it is {array.dtype}{list(array.shape[1:])}")
    return wide.reshape(-1).copy()


def _named(before: str, paths: Mapping[str, Path]) -> dict[str, str]:
    """Our names, each behind `before/`, of what lies at these paths."""
    names: dict[Any, str] = observation_names(path for path in paths.values() if path)
    full = {name: names.get(path, "") for name, path in paths.items()}
    return {name: "/".join(part for part in (before, each) if part) for name, each in full.items()}
