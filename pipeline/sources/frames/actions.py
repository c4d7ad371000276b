"""Texts of actions as numbers: `8: DOWNRIGHT`, `LEFT`, `[[11]]`, `[0.25, -1]`."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np
from jaxtyping import Shaped

from pipeline.domains.atari import ACTIONS as JOYSTICK
from pipeline.domains.atari import minimal_actions
from pipeline.errors import InvalidInput
from pipeline.sources.quirks import Quirks

NOBODY_KNOWS = "UNKNOWN"
"""What a sampler writes behind a number beyond its names."""

NO_ACTION = -1
"""The number of an action whose text says none."""

MOST_NAMES = 4096
"""So many different names are kept to find out what the numbers mean."""

_NUMBERED = re.compile(r"(\d{1,18}):(\s*)(.*)", re.DOTALL)
_PRINTED = re.compile(r"\[[\[\]\s,\deE.+-]*\]")
_NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?")


@dataclass(frozen=True)
class ActionText:
    """What one text says: a number, a name, or both; or the printed numbers of an array.

    Attributes:
        tight: nothing stands between the colon and the name, so that the whole text is taken for the name.
    """

    number: int | None = None
    name: str = ""
    printed: tuple[str, ...] = ()
    tight: bool = False


@lru_cache(maxsize=2**14)
def parsed_action(text: str) -> ActionText:
    """What a text says."""
    text = text.strip()
    if numbered := _NUMBERED.fullmatch(text):
        return ActionText(int(numbered[1]), numbered[3].strip(), tight=bool(numbered[3] and not numbered[2]))
    if _PRINTED.fullmatch(text) and (printed := _NUMBER.findall(text)):
        alone = len(printed) == 1 and re.fullmatch(r"\d{1,18}", printed[0])
        return ActionText(int(printed[0])) if alone else ActionText(printed=tuple(printed))
    if re.fullmatch(r"\d{1,18}", text):
        return ActionText(int(text))
    return ActionText(name=text)


@dataclass
class ActionsSeen:
    """What the texts of a task say together: the largest number with a name and without, names by their numbers, names
    without a number, and of how many printed numbers an array is.
    """

    most: int = -1
    bare: int = -1
    names: dict[int, set[str]] = field(default_factory=dict)
    words: set[str] = field(default_factory=set)
    widths: set[int] = field(default_factory=set)

    def see(self, text: str) -> None:
        """Take in one text."""
        found = parsed_action(text)
        self.widths.add(len(found.printed))
        if found.number is not None and not found.name:
            self.bare = max(self.bare, found.number)
        elif found.number is not None:
            if found.name != NOBODY_KNOWS and len(self.names) < MOST_NAMES:
                self.most = max(self.most, found.number)
                self.names.setdefault(found.number, set()).add(found.name)
        elif found.name and len(self.words) < MOST_NAMES:
            self.words.add(found.name)


class ActionReader:
    """The actions of one task as numbers.

    Attributes:
        stated: what the numbers mean, as a manifest says it: places among Atari's 18 actions, or names; None where
            nobody knows.
    """

    def __init__(self, domain: str, task: str, seen: ActionsSeen, where: str) -> None:
        self._where = where
        self._width = max(seen.widths, default=0)
        if len(seen.widths) > 1:
            raise InvalidInput(
                f"The actions in {where} are of several kinds: some are printed arrays of {self._width} numbers, "
                f"others are not. Keep episodes of one kind there."
            )
        self.stated: list[int] | list[str] | None = None
        self._names: list[str] = []
        if self._width == 0:
            self._name_numbers(domain, task, seen)
        self._by_name = {name.upper(): number for number, name in enumerate(self._names)}

    def _name_numbers(self, domain: str, task: str, seen: ActionsSeen) -> None:
        """What the numbers mean: of an Atari game its own set, or all 18; else what the texts themselves say."""
        if domain == "atari":
            sets = [list(minimal_actions(task)), list(range(len(JOYSTICK)))]
            fits = [_fit([JOYSTICK[place] for place in places], seen) for places in sets]
            places = sets[fits.index(max(fits))]
            self._names = [JOYSTICK[place] for place in places]
            self.stated = places if max(fits) >= 0 else None
        elif seen.names and seen.most < MOST_NAMES:
            own = [seen.names.get(number, set()) for number in range(seen.most + 1)]
            if all(len(names) == 1 for names in own):
                self.stated = self._names = [min(names) for names in own]

    def read(self, texts: Sequence[str], quirks: Quirks) -> Shaped[np.ndarray, "t ..."]:
        """The actions of T texts: (T,) int64, or (T, k) float64 of printed arrays; what is odd is counted."""
        found = [parsed_action(text) for text in texts]
        if self._width:
            return np.array([each.printed for each in found], np.float64).reshape(len(found), self._width)
        numbers = [self._by_name.get(each.name.upper(), NO_ACTION) if each.number is None else each.number
                   for each in found]  # fmt: skip
        alone = [number for each, number in zip(found, numbers, strict=True) if each.number is None]
        quirks.count(
            "no_number",
            "{count} actions are names without a number, which was found by the name.",
            len(alone) - alone.count(NO_ACTION),
            rule="the game's own names of actions",
        )
        quirks.count(
            "unknown_actions",
            f"{{count}} actions are words that name no action here; they are {NO_ACTION}, and their texts stay.",
            alone.count(NO_ACTION),
            rule="the number of an unknown word is none",
        )
        quirks.count(
            "other_names",
            "{count} actions have another name than their number has here; the numbers count, the texts stay.",
            sum(self._is_misnamed(each) for each in found),
            rule="numbers count before names",
        )
        quirks.count(
            "no_white_space",
            "{count} actions have no white space behind their number; the whole text is taken for the name.",
            sum(each.tight for each in found),
            rule="a number ends at white space",
        )
        return np.array(numbers, np.int64)

    def _is_misnamed(self, action: ActionText) -> bool:
        if not self._names or action.number is None or action.name in ("", NOBODY_KNOWS):
            return False
        return self._by_name.get(action.name.upper()) != action.number


def _fit(names: Sequence[str], seen: ActionsSeen) -> int:
    """How many more texts agree with a set of actions than contradict it."""
    pairs = [(number, each.upper()) for number, own in seen.names.items() for each in own]
    agreeing = sum(names[number : number + 1] == [name] for number, name in pairs)
    words = {word.upper() for word in seen.words} & set(JOYSTICK)
    return agreeing - (len(pairs) - agreeing) - (seen.bare >= len(names)) - len(words - set(names))
