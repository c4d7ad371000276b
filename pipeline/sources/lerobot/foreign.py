"""Episodes of LeRobot sets that others wrote: their columns by LeRobot's own conventions, and what these leave open."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from jaxtyping import Bool, Shaped

from pipeline.command import again
from pipeline.dataset.columns import without_absent
from pipeline.episode import INFO, UNKNOWN, Episode, with_last_row
from pipeline.errors import InvalidInput
from pipeline.keys import SideBySide
from pipeline.sources.lerobot.columns import column_numbers
from pipeline.sources.lerobot.names import (
    BASE,
    DISCOUNT,
    DONE,
    IS_LAST,
    REWARD,
    SUCCESS,
    TERMINATED,
    TRUNCATED,
)
from pipeline.sources.lerobot.names import (
    INFO as INFO_FILE,
)
from pipeline.sources.lerobot.pictures import LOSSY, PictureReader, picture_bytes
from pipeline.sources.lerobot.rows import episode_rows, facts_of
from pipeline.sources.lerobot.tree import Tree
from pipeline.sources.lerobot.videos import VideoReader
from pipeline.sources.quirks import Quirks
from pipeline.wording import few

OBSERVATION = "observation"
FLAGS = (TERMINATED, TRUNCATED, DONE, SUCCESS)
SECONDS = 1e-4
"""By so much a timestamp may differ from frame_index / fps, as LeRobot has it."""


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


class _Plan:
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
            elif kind in _DTYPES:
                self.numbers[column] = name
            else:
                quirks.note(
                    f"left_out_{_word(column)}",
                    f"The column {column} was left out: {kind} of shape {shape} is no array.",
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
            quirks.note(
                "lossy_videos", "Pictures were decoded from videos: they are not what the camera saw, bit for bit."
            )
        elif self.videos:
            quirks.note("videos_left_out", f"The videos {few(list(self.videos))} were left out.")

    def _names(self, skipped: Mapping[str, str]) -> dict[str, str]:
        """The array of each column that is one."""
        known = [name for name in self._features if name not in (*BASE, *FLAGS, *skipped)]
        seen = [name for name in known if name.split(".")[0] == OBSERVATION]
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
            else:
                name = f"{INFO}{column.removeprefix('info.').replace('.', '/')}"
            names[column] = places.place(name.strip("/"))
        return names


_DTYPES = {
    "bool",
    *(f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)),
    "float16",
    "float32",
    "float64",
}


def foreign_episodes(
    tree: Tree, rules: LeRobotRules, wanted: Sequence[int], pictures: PictureReader, quirks: Quirks
) -> Iterator[Episode]:
    """The wanted episodes, whose numbers ascend."""
    plan = _Plan(tree, rules, quirks)
    _note_columns(tree, plan, rules, quirks)
    videos = VideoReader(tree, list(plan.videos))
    with videos:
        for number, rows, facts in zip(
            wanted, episode_rows(tree, wanted, plan.columns), facts_of(tree, wanted), strict=True
        ):
            try:
                steps = _arrays(tree, plan, rows, pictures, quirks)
                steps |= {plan.videos[key]: videos.read(key, facts, len(rows)) for key in plan.videos}
                yield _episode(tree, plan, rules, rows, steps, facts, quirks)
            except InvalidInput as error:
                raise InvalidInput(f"{tree.root}, episode {number}: {error}") from error


def _arrays(
    tree: Tree, plan: _Plan, rows: pa.Table, pictures: PictureReader, quirks: Quirks
) -> dict[str, Shaped[np.ndarray, "n ..."]]:
    """The columns of an episode as arrays of its T rows."""
    steps: dict[str, np.ndarray] = {}
    for column, name in plan.numbers.items():
        shape, dtype = tree.features[column]["shape"], np.dtype(tree.features[column]["dtype"])
        flat = column_numbers(rows[column].combine_chunks(), column, dtype, int(np.prod(shape)))
        steps[name] = flat.reshape(len(flat), *_row_shape(name, shape, dtype))
    for column, name in plan.pictures.items():
        height, width, channels = _sizes(tree, column)
        steps[name] = pictures.read(rows[column], column, (height, width, channels))
        if channels == 1:
            steps[name] = steps[name][..., 0]
        if any(each.startswith(LOSSY) for each in picture_bytes(rows[column].slice(0, 1), column)):
            quirks.note("lossy_pictures", "Pictures are JPEG files: they are not what the camera saw, bit for bit.")
    if "timestamp" in tree.features:
        seconds = column_numbers(rows["timestamp"].combine_chunks(), "timestamp", np.dtype(np.float32), 1)[:, 0]
        if np.abs(seconds - np.arange(len(seconds)) / tree.fps).max() > SECONDS + 1e-6 * len(seconds):
            steps[f"{INFO}timestamp"] = seconds
            quirks.count("own_timestamps", "{count} episodes have timestamps that are not frame / fps; they are kept.")
    return steps


def _episode(
    tree: Tree,
    plan: _Plan,
    rules: LeRobotRules,
    rows: pa.Table,
    steps: dict[str, Shaped[np.ndarray, "n ..."]],
    facts: Mapping[str, Any],
    quirks: Quirks,
) -> Episode:
    flags = {name: _flag(rows, name) for name in FLAGS if name in tree.features}
    has_reward = "reward" in steps
    steps["reward"] = steps["reward"].astype(np.float64) if has_reward else np.zeros(len(rows))
    has_last = rules.last_row or _is_padded(steps, flags, quirks)
    terminated, truncated = _ends(flags, rules, quirks, len(rows))
    if rules.last_row and len(rows) < 2:
        raise InvalidInput("its one row cannot be its last observation: source.last_row=observation needs two.")
    if "discount" in steps:
        steps["discount"] = steps["discount"].astype(np.float64)
    else:
        steps["discount"] = np.ones(len(rows))
        if terminated:
            steps["discount"][-2 if rules.last_row else -1] = 0
    for name, values in flags.items():
        if values[:-1].any() and not (rules.last_row and not values[:-2].any()):
            steps[f"{INFO}{name.replace('.', '/')}"] = values
    if rules.last_row:
        for name in ("action", "reward", "discount"):
            steps[name] = steps[name].copy()
            steps[name][-1] = 0
    else:
        steps = {name: with_last_row(name, array) for name, array in steps.items()}
    del has_last
    return Episode(
        steps=without_absent(steps),
        seed=_seed(facts),
        terminated=terminated,
        truncated=truncated,
        success=int(flags[SUCCESS].any()) if SUCCESS in flags else UNKNOWN,
        mission=_mission(tree, rows, steps, quirks),
        end_reason="terminated" if terminated else "time_limit" if truncated else "source",
        has_final_observation=rules.last_row,
        has_final_reward=has_reward,
        info_texts=_texts(plan, rows, len(steps["reward"]) - 1),
    )


def _ends(
    flags: Mapping[str, Bool[np.ndarray, " n"]], rules: LeRobotRules, quirks: Quirks, length: int
) -> tuple[bool, bool]:
    """Whether an episode terminated, and whether it was truncated."""
    last = {name: bool(values[-2:].any() if rules.last_row else values[-1]) for name, values in flags.items()}
    inner = {name: values[: -2 if rules.last_row else -1].any() for name, values in flags.items()}
    for name in (TERMINATED, TRUNCATED, DONE):
        if inner.get(name):
            quirks.count(
                f"inner_{_word(name)}",
                f"{{count}} episodes have {name} before their last row; they were not cut there.",
            )
    if TERMINATED in flags:
        return last[TERMINATED], last.get(TRUNCATED, False)
    if DONE in flags and TRUNCATED in flags:
        return last[DONE] and not last[TRUNCATED], last[TRUNCATED]
    if DONE in flags and last[DONE]:
        return rules.done == "terminated", rules.done == "truncated"
    return False, last.get(TRUNCATED, False)


def _is_padded(
    steps: Mapping[str, Shaped[np.ndarray, "n ..."]], flags: Mapping[str, Bool[np.ndarray, " n"]], quirks: Quirks
) -> bool:
    """Whether the last two rows look like a last observation with the action and reward before it, once more."""
    done = flags.get(DONE)
    if done is None or len(done) < 2 or not done[-2:].all():
        return False
    same = all((steps[name][-1] == steps[name][-2]).all() for name in ("action", "reward"))
    quirks.count(
        "padded_last_rows",
        "{count} episodes end with two rows that are done, with one action and reward: the last may be an observation "
        "alone. If so: source.last_row=observation.",
        int(same),
    )
    return same


def _texts(plan: _Plan, rows: pa.Table, length: int) -> dict[str, list[str | None]]:
    """The columns of texts, as the texts of infos."""
    texts: dict[str, list[str | None]] = {}
    for column, name in plan.texts.items():
        if not (pa.types.is_string(rows[column].type) or pa.types.is_large_string(rows[column].type)):
            raise InvalidInput(f"{column} should hold texts, it holds {rows[column].type}.")
        values = rows[column].to_pylist()[:length]
        if any(each is not None for each in values):
            texts[name] = values
    return texts


def _mission(tree: Tree, rows: pa.Table, steps: dict[str, np.ndarray], quirks: Quirks) -> str:
    """The text of the task of row 0. Raises InvalidInput for a number that has none."""
    numbers = column_numbers(rows["task_index"].combine_chunks(), "task_index", np.dtype(np.int64), 1)[:, 0]
    if numbers.min() < 0 or numbers.max() >= len(tree.tasks):
        raise InvalidInput(
            f"task_index {numbers.max()} has no text in meta/tasks.parquet, which has {len(tree.tasks)}."
        )
    if (numbers != numbers[0]).any():
        quirks.count("changing_tasks", "The task changes within {count} episodes; the first one was taken.")
    return tree.tasks[int(numbers[0])]


def _seed(facts: Mapping[str, Any]) -> int:
    seed = facts.get("seed")
    return seed if type(seed) is int and -1 <= seed < 2**63 else UNKNOWN


def _flag(rows: pa.Table, name: str) -> Bool[np.ndarray, " n"]:
    values = column_numbers(rows[name].combine_chunks(), name, np.dtype(np.bool_), 1)
    return np.asarray(values[:, 0])


def _row_shape(name: str, shape: Sequence[int], dtype: np.dtype[Any]) -> tuple[int, ...]:
    """One number is a number, but for actions and observations of real numbers, which are vectors everywhere."""
    if list(shape) != [1]:
        return tuple(shape)
    is_vector = dtype.kind == "f" and (name == "action" or name.startswith(OBSERVATION))
    return (1,) if is_vector else ()


def _sizes(tree: Tree, column: str) -> tuple[int, int, int]:
    shape = tree.features[column]["shape"]
    if len(shape) != 3:
        raise InvalidInput(f"{column} should have height, width and channels; meta/info.json says {shape}.")
    names = tree.features[column].get("names")
    if isinstance(names, list) and names[:1] in (["channels"], ["channel"]):
        shape = [*shape[1:], shape[0]]
    return (shape[0], shape[1], shape[2])


def _note_columns(tree: Tree, plan: _Plan, rules: LeRobotRules, quirks: Quirks) -> None:
    if REWARD not in tree.features:
        quirks.note("no_rewards", f"There is no column {REWARD}: rewards are zeros.")
    if not {TERMINATED, TRUNCATED} & set(tree.features) and rules.done is None:
        quirks.note(
            "unknown_ends",
            f"The set does not say why episodes end. If {DONE} means it: source.done=terminated or truncated."
            if DONE in tree.features
            else "The set does not say why episodes end.",
        )
    if IS_LAST in plan.numbers and not rules.last_row:
        quirks.note(
            "last_rows", f"There is a column {IS_LAST}: with source.last_row=observation last rows are observations."
        )


def _word(column: str) -> str:
    word = "".join(each if each.isalnum() and each.isascii() else "_" for each in column.lower()).strip("_")
    return word or "column"
