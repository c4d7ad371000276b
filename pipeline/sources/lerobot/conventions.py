"""Which column of a LeRobot set that others wrote becomes which array, by LeRobot's own conventions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pipeline.command import again
from pipeline.episode import INFO
from pipeline.errors import InvalidInput
from pipeline.keys import SideBySide
from pipeline.sources.lerobot.names import BASE, DISCOUNT, DONE, IS_LAST, REWARD, SUCCESS, TERMINATED, TRUNCATED
from pipeline.sources.lerobot.names import INFO as INFO_FILE
from pipeline.sources.lerobot.tree import Tree
from pipeline.sources.quirks import ZERO_REWARDS, Quirks
from pipeline.wording import few

OBSERVATION = "observation"
FLAGS = (TERMINATED, TRUNCATED, DONE, SUCCESS)
"""Columns of ends, as far as a set has them."""

NUMBERS = {f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)} | {
    *("bool", "float16", "float32", "float64")
}
"""dtypes of columns that become arrays as they are."""


@dataclass(frozen=True)
class LeRobotRules:
    """What the user says of what a set leaves open.

    Attributes:
        videos: `decode`, `skip`, or None: a set with videos is refused.
        done: what `next.done` alone means, `terminated` or `truncated`.
        last_row: the last row of each episode is its last observation.
    """

    videos: str | None
    done: str | None
    last_row: bool

    def identity(self, tree: Tree) -> dict[str, Any]:
        """The settings that change an episode of this set."""
        facts: dict[str, Any] = {"done": self.done} if self.done else {}
        facts |= {"last_row": OBSERVATION} if self.last_row else {}
        if any(feature["dtype"] == "video" for feature in tree.features.values()):
            facts |= {"videos": self.videos} | ({"lossy": "video"} if self.videos == "decode" else {})
        return facts


class LeRobotNames:
    """Which column of a set becomes which array.

    Attributes:
        numbers, pictures, videos, texts: columns -> names of arrays; of texts, names of infos.
    """

    def __init__(self, tree: Tree, rules: LeRobotRules, quirks: Quirks) -> None:
        self._tree, self._features = tree, tree.features
        self.numbers: dict[str, str] = {}
        self.pictures: dict[str, str] = {}
        self.videos: dict[str, str] = {}
        self.texts: dict[str, str] = {}
        if "action" not in self._features:
            raise InvalidInput(
                f"{tree.root / INFO_FILE} has no feature named action; it has {few(list(self._features), 20)}."
            )
        self._check_videos(rules, quirks)
        names = self._names(skipped=self.videos if rules.videos == "skip" else {})
        if rules.videos == "skip":
            self.videos = {}
        for column, name in names.items():
            kind, shape = self._features[column]["dtype"], self._features[column]["shape"]
            if kind in ("image", "video"):
                (self.pictures if kind == "image" else self.videos)[column] = name
            elif kind == "string" and shape == [1]:
                self.texts[column] = name.removeprefix(INFO)
            elif kind in NUMBERS:
                self.numbers[column] = name
            else:
                quirks.note(
                    "unread_arrays",
                    f"The column {column} was left out: {kind} of shape {shape} is no array.",
                    rule="columns are numbers, texts or pictures",
                    dropped=1,
                    unit="columns",
                )

    @property
    def columns(self) -> list[str]:
        """All columns that are read of the files of rows."""
        base = [name for name in BASE if name in self._features]
        flags = [name for name in FLAGS if name in self._features]
        return [*base, *flags, *self.numbers, *self.pictures, *self.texts]

    def _check_videos(self, rules: LeRobotRules, quirks: Quirks) -> None:
        self.videos = {name: "" for name, feature in self._features.items() if feature["dtype"] == "video"}
        if self.videos and rules.videos is None:
            raise InvalidInput(
                f"{few(list(self.videos))} of {self._tree.root} are videos, which are lossy pictures. Decode them: "
                f"{again(source__videos='decode')}\nOr leave them out: {again(source__videos='skip')}"
            )
        if self.videos and rules.videos == "decode":
            sentence = "Pictures were decoded from videos: they are not what the camera saw, bit for bit."
            quirks.note("lossy_pictures", sentence, rule="source.videos=decode")
        elif self.videos:
            quirks.note(
                "unread_arrays",
                f"The videos {few(list(self.videos))} were left out.",
                len(self.videos),
                rule="source.videos=skip",
                dropped=len(self.videos),
                unit="columns",
            )

    def _names(self, skipped: Mapping[str, str]) -> dict[str, str]:
        """The array of each column that is one."""
        known = [name for name in self._features if name not in (*BASE, *FLAGS, *skipped)]
        seen = [
            name for name in known if name.split(".")[0] == OBSERVATION and self._features[name]["dtype"] != "string"
        ]
        seen = seen or [name for name in known if self._features[name]["dtype"] in ("image", "video")]
        if not seen:
            raise InvalidInput(
                f"{self._tree.root / INFO_FILE} has no feature whose name begins with observation, and no picture"
                f"{' besides its videos' if skipped else ''}; it has {few(list(self._features), 20)}."
            )
        places = SideBySide()
        names = {column: column for column in ("action",)} | {REWARD: "reward", DISCOUNT: "discount"}
        names = {column: name for column, name in names.items() if column in known}
        for column in sorted(set(known) - set(names)):
            rest = column.removeprefix(f"{OBSERVATION}.").replace(".", "/")
            if column in seen:
                name = OBSERVATION if len(seen) == 1 else f"{OBSERVATION}/{rest}"
            elif column.startswith("info_present.") and f"info.{column.removeprefix('info_present.')}" in known:
                name = column.replace(".", "/")  # a mask of ours, in a set that LeRobot's own tools made of exports
            else:
                name = f"{INFO}{column.removeprefix('info.').replace('.', '/')}"
            names[column] = places.place(name.strip("/"))
        return names


def note_columns(tree: Tree, plan: LeRobotNames, rules: LeRobotRules, quirks: Quirks) -> None:
    """What the columns of a set leave open."""
    if REWARD not in tree.features:
        quirks.note("no_rewards", f"There is no column {REWARD}: rewards are zeros.", rule=ZERO_REWARDS)
    if not {TERMINATED, TRUNCATED} & set(tree.features) and rules.done is None:
        quirks.note(
            "no_terminals",
            f"The set does not say why episodes end. If {DONE} means it: source.done=terminated or truncated."
            if DONE in tree.features
            else "The set does not say why episodes end.",
            rule="source.done=null",
        )
    if IS_LAST in plan.numbers and not rules.last_row:
        quirks.note(
            "padded_last_rows",
            f"There is a column {IS_LAST}: with source.last_row=observation last rows are observations.",
            rule="source.last_row=null",
        )
