"""Episodes of LeRobot sets that others wrote: their columns as they are, and ends as far as they say them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from jaxtyping import Bool, Shaped

from pipeline.dataset.columns import without_absent
from pipeline.dataset.ends import implied_discounts, implied_reason
from pipeline.episode import INFO, PRESENT, UNKNOWN, Episode, with_last_row
from pipeline.errors import InvalidInput
from pipeline.sources.lerobot.columns import column_numbers
from pipeline.sources.lerobot.conventions import (
    FLAGS,
    OBSERVATION,
    LeRobotNames,
    LeRobotRules,
    note_columns,
)
from pipeline.sources.lerobot.names import DONE, SUCCESS, TERMINATED, TRUNCATED
from pipeline.sources.lerobot.pictures import LOSSY, PictureReader, picture_bytes
from pipeline.sources.lerobot.rows import episode_rows, facts_of
from pipeline.sources.lerobot.tree import Tree, is_text
from pipeline.sources.lerobot.videos import VideoReader
from pipeline.sources.quirks import AS_DECODED, Quirks

SECONDS = 1e-4
"""By so much a timestamp may differ from frame_index / fps, as LeRobot has it."""


def foreign_episodes(
    tree: Tree, rules: LeRobotRules, wanted: Sequence[int], pictures: PictureReader, quirks: Quirks
) -> Iterator[Episode]:
    """The wanted episodes, whose numbers ascend."""
    plan = LeRobotNames(tree, rules, quirks)
    note_columns(tree, plan, rules, quirks)
    with VideoReader(tree, list(plan.videos)) as videos:
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
    tree: Tree, plan: LeRobotNames, rows: pa.Table, pictures: PictureReader, quirks: Quirks
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
            sentence = "Pictures are JPEG files: they are not what the camera saw, bit for bit."
            quirks.note("lossy_pictures", sentence, rule=AS_DECODED)
    if "timestamp" in tree.features:
        seconds = column_numbers(rows["timestamp"].combine_chunks(), "timestamp", np.dtype(np.float32), 1)[:, 0]
        late = np.abs(seconds - np.arange(len(seconds)) / tree.fps).max()
        if not late <= SECONDS + 1e-6 * len(seconds):  # float32 has no more digits
            steps[f"{INFO}timestamp"] = seconds
            sentence = "{count} episodes have timestamps that are not frame / fps; those are kept."
            quirks.count("own_timestamps", sentence, rule="they are kept as infos")
    return steps


def _episode(
    tree: Tree,
    plan: LeRobotNames,
    rules: LeRobotRules,
    rows: pa.Table,
    steps: dict[str, Shaped[np.ndarray, "n ..."]],
    facts: Mapping[str, Any],
    quirks: Quirks,
) -> Episode:
    """The episode of its rows; with `rules.last_row` the last of them is the last observation."""
    length = len(rows) - rules.last_row
    if not length:
        raise InvalidInput("its one row cannot be its last observation: source.last_row=observation needs two.")
    flags = {name: _flag(rows, name) for name in FLAGS if name in tree.features}
    has_reward = "reward" in steps
    steps["reward"] = steps["reward"].astype(np.float64) if has_reward else np.zeros(len(rows))
    if not rules.last_row:
        _note_padded(steps, flags, quirks)
    terminated, truncated = _ends(flags, length, rules, quirks)
    discounts = steps.get("discount", implied_discounts(length, terminated)[: len(rows)])
    steps["discount"] = discounts.astype(np.float64)
    for name, values in flags.items():
        if values[: length - 1].any():
            steps[f"{INFO}{name.replace('.', '/')}"] = values
    steps = {name: _with_end(name, array, rules) for name, array in steps.items()}
    return Episode(
        steps=without_absent(steps),
        seed=_seed(facts),
        terminated=terminated,
        truncated=truncated,
        success=int(flags[SUCCESS].any()) if SUCCESS in flags else UNKNOWN,
        mission=_mission(tree, rows, steps, quirks),
        end_reason=implied_reason(terminated, truncated),
        has_final_observation=rules.last_row,
        has_final_reward=has_reward,
        info_texts=_texts(plan, rows, length),
    )


def _with_end(name: str, array: Shaped[np.ndarray, "n ..."], rules: LeRobotRules) -> Shaped[np.ndarray, "rows ..."]:
    """T+1 rows; no action is taken on the last."""
    if not rules.last_row:
        return with_last_row(name, array)
    if name in ("action", "reward", "discount") or name.startswith(PRESENT):
        array = array.copy()
        array[-1] = 0
    return array


def _ends(
    flags: Mapping[str, Bool[np.ndarray, " n"]], length: int, rules: LeRobotRules, quirks: Quirks
) -> tuple[bool, bool]:
    """Whether an episode terminated, and whether it was truncated."""
    last = {name: bool(values[length - 1 :].any()) for name, values in flags.items()}
    for name in (TERMINATED, TRUNCATED, DONE):
        if name in flags and (inside := int(np.count_nonzero(flags[name][: length - 1]))):
            quirks.count(
                "ends_inside",
                f"{{count}} episodes have {name} before their last row; they were not cut there.",
                rule="the table of episodes says where they end",
                dropped=inside,
                unit="flags",
            )
    if TERMINATED in flags:
        return last[TERMINATED], last.get(TRUNCATED, False)
    if DONE in flags and TRUNCATED in flags:
        return last[DONE] and not last[TRUNCATED], last[TRUNCATED]
    if DONE in flags and last[DONE]:
        return rules.done == "terminated", rules.done == "truncated"
    return False, last.get(TRUNCATED, False)


def _note_padded(
    steps: Mapping[str, Shaped[np.ndarray, "n ..."]], flags: Mapping[str, Bool[np.ndarray, " n"]], quirks: Quirks
) -> None:
    """Note an end that looks like a last observation with the action and reward before it, once more."""
    done = flags.get(DONE)
    if done is None or len(done) < 2 or not done[-2:].all():
        return
    quirks.count(
        "padded_last_rows",
        "{count} episodes end with two rows that are done, with one action and reward: the last may be an observation "
        "alone. If so: source.last_row=observation.",
        int(all((steps[name][-1] == steps[name][-2]).all() for name in ("action", "reward"))),
        rule="source.last_row=null",
    )


def _texts(plan: LeRobotNames, rows: pa.Table, length: int) -> dict[str, list[str | None]]:
    """The columns of texts, as the texts of infos."""
    texts: dict[str, list[str | None]] = {}
    for column, name in plan.texts.items():
        if not is_text(rows[column].type):
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
        quirks.count(
            "varying_missions",
            "The task changes within {count} episodes; the first one was taken.",
            rule="the first row names the mission",
            dropped=len(np.unique(numbers)) - 1,
            unit="missions",
        )
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
