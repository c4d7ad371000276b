"""Which column of a LeRobot dataset holds which array: settled once for all tasks of an export."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from pipeline.command import again
from pipeline.dataset.columns import RowSpec, mask_of
from pipeline.dataset.reader import EpisodeDataset
from pipeline.episode import INFO, INFO_TEXTS, PRESENT, RESET, SUMMARY, TEXTS, UNKNOWN
from pipeline.errors import InvalidInput, unknown_name
from pipeline.formats.contract import CannotHold, Outgoing
from pipeline.sources.lerobot import names
from pipeline.sources.lerobot.columns import (
    IMAGE,
    NOTHING,
    NUMBERS,
    PAIRS,
    LeRobotColumn,
    is_lerobot_picture,
    number_feature,
    picture_channels,
)

OBSERVATION = "observation"
STATE = f"{OBSERVATION}.state"
FLAGS = {"terminated": names.TERMINATED, "truncated": names.TRUNCATED}
BLOCK = 2**16
"""States that are read at a time."""

DEFAULT_FPS = 30
METAWORLD_FPS = 80
ATARI_FPS = 60

FACT_TYPES: dict[str, pa.DataType] = {
    "episode_index": pa.int64(),
    "tasks": pa.list_(pa.string()),
    "length": pa.int64(),
    "data/chunk_index": pa.int64(),
    "data/file_index": pa.int64(),
    "dataset_from_index": pa.int64(),
    "dataset_to_index": pa.int64(),
    "meta/episodes/chunk_index": pa.int64(),
    "meta/episodes/file_index": pa.int64(),
    "env": pa.string(),
    "digest": pa.string(),
    "return": pa.float64(),
    "absent": pa.list_(pa.string()),
    **{name: pa.from_numpy_dtype(np.dtype(dtype)) for name, dtype in SUMMARY.items()},
    **dict.fromkeys((*TEXTS, INFO_TEXTS), pa.string()),
}
"""The columns of meta/episodes, but those of reset infos."""


@dataclass(frozen=True)
class LeRobotChoices:
    """What the user chose: the settings below `format`.

    Attributes:
        fps: rows a second; None: what the environment says.
        images: `auto`, `none`, or names of the arrays that are stored as pictures.
        rgb: the grey channel stands there three times.
        last_row: `beside`, `row` or `drop`.
    """

    fps: int | None
    images: str | tuple[str, ...]
    rgb: bool
    last_row: str


@dataclass(frozen=True)
class LeRobotPlan:
    """What an export is made of.

    Attributes:
        columns: of each array; of infos, those of all tasks together.
        resets: of reset infos, in meta/episodes.
        rows: of each array, as `beside` takes them.
        successes: some episode says whether it succeeded.
    """

    columns: Sequence[LeRobotColumn]
    resets: Sequence[LeRobotColumn]
    rows: Mapping[str, RowSpec]
    fps: int
    last_row: str
    successes: bool

    @property
    def flags(self) -> list[str]:
        """The columns of ends."""
        own = [*FLAGS.values(), names.DONE, *([names.SUCCESS] if self.successes else [])]
        return own + ([names.IS_LAST] if self.last_row == names.ROW else [])

    @property
    def features(self) -> dict[str, dict[str, Any]]:
        """The features of info.json, in the order of the columns."""
        arrays = {each.column: each.feature for each in self.columns if each.kind != NOTHING}
        flags = {name: number_feature(np.dtype(np.bool_), 1) for name in self.flags}
        base = {name: number_feature(np.dtype(dtype), 1) for name, dtype in names.BASE.items()}
        return arrays | flags | base

    @property
    def beside(self) -> list[LeRobotColumn]:
        """The columns of final/: arrays whose last row says something."""
        return [
            each for each in self.columns if each.kind != NOTHING and each.array not in ("action", "reward", "discount")
        ]


def planned(data: Sequence[Outgoing], choices: LeRobotChoices) -> LeRobotPlan:
    """Raises CannotHold where the tasks have other arrays, InvalidInput for settings that do not fit."""
    rows = _rows(data)
    images = _images(rows, choices.images)
    wide = {name for name, row in rows.items() if row.dtype == np.uint64 and _is_wide(data, name)}
    columns = [_column(name, row, rows, images, wide, choices.rgb) for name, row in rows.items()]
    datasets = [each.dataset for each in data]
    return LeRobotPlan(
        _apart(columns),
        _resets(datasets),
        rows,
        choices.fps or _fps(data),
        choices.last_row,
        any(bool((dataset.per_episode("success") != UNKNOWN).any()) for dataset in datasets),
    )


def _rows(data: Sequence[Outgoing]) -> dict[str, RowSpec]:
    """One row of each array, with infos that only some tasks have, and their masks."""
    first = data[0]
    rows = dict(first.rows)
    for each in data[1:]:
        own = each.rows
        for name in sorted({*rows, *own}):
            is_info = name.startswith((INFO, PRESENT))
            if rows.get(name) != own.get(name) and not (is_info and (name not in rows or name not in own)):
                have = [f"{name} {of[name]}" if name in of else f"no {name}" for of in (rows, own)]
                commands = "\n".join(f"  {again(task=one.task)}" for one in data)
                raise CannotHold(
                    f"One LeRobot dataset holds tasks of the same arrays alone. {first.task} has {have[0]}, "
                    f"{each.task} has {have[1]}. One dataset for each task:\n{commands}"
                )
        for name in [name for name in {*rows} ^ {*own} if name.startswith(INFO)]:
            rows[mask_of(name)] = RowSpec(np.dtype(np.bool_), ())
        rows |= {name: row for name, row in own.items() if name not in rows}
    return dict(sorted(rows.items()))


def _resets(datasets: Sequence[EpisodeDataset]) -> list[LeRobotColumn]:
    """Raises CannotHold where two tasks have a reset info in other shapes."""
    found: dict[str, RowSpec] = {}
    for dataset in datasets:
        for name, row in dataset.reset_specs().items():
            if found.setdefault(name, row) != row:
                raise CannotHold(f"{name} is {found[name]} in one task and {row} in another: export them one by one.")
    kinds = {name: NUMBERS if min(row.shape, default=1) else NOTHING for name, row in found.items()}
    return [
        LeRobotColumn(
            name.removeprefix(RESET), row.dtype, row.shape, name if kinds[name] == NUMBERS else "", kinds[name]
        )
        for name, row in found.items()
    ]


def _images(rows: Mapping[str, RowSpec], asked: str | tuple[str, ...]) -> set[str]:
    """The arrays that are stored as pictures."""
    if asked == "none":
        return set()
    if asked == "auto":
        return {name for name, row in rows.items() if _is_seen(name) and is_lerobot_picture(row.shape, row.dtype)}
    found = set()
    for name in asked:
        known = name if name in rows else f"{OBSERVATION}/{name}"
        if known not in rows:
            raise unknown_name("array in format.images", name, rows)
        if not is_lerobot_picture(rows[known].shape, rows[known].dtype, 1):
            raise InvalidInput(
                f"format.images: {name} is {rows[known]}; pictures are uint8 of height and width, with 1 or 3 channels "
                f"before or behind them."
            )
        found.add(known)
    return found


def _column(
    name: str, row: RowSpec, rows: Mapping[str, RowSpec], images: set[str], wide: set[str], rgb: bool
) -> LeRobotColumn:
    if not min(row.shape, default=1):
        return LeRobotColumn(name, row.dtype, row.shape, "", NOTHING)
    if name in images:
        channels = 3 if rgb else picture_channels(row.shape)
        rest = name.removeprefix(f"{OBSERVATION}/")
        column = f"{OBSERVATION}.image" if name == OBSERVATION else f"{OBSERVATION}.images.{_dotted(rest)}"
        return LeRobotColumn(name, row.dtype, row.shape, column, IMAGE, channels)
    column = _number_name(name, rows, images)
    return LeRobotColumn(name, row.dtype, row.shape, column, PAIRS if name in wide else NUMBERS)


def _number_name(name: str, rows: Mapping[str, RowSpec], images: set[str]) -> str:
    """The column of an array of numbers; none is called as LeRobot calls pictures or something else."""
    known = {"action": "action", "reward": names.REWARD, "discount": names.DISCOUNT, OBSERVATION: STATE}
    if name in known:
        return known[name]
    vectors = [each for each in rows if _is_seen(each) and each not in images and rows[each].dtype.kind == "f"]
    if vectors == [name]:
        return STATE
    top = name.split("/")[0]
    place = name if top in (OBSERVATION, "info", "info_present") else f"extra/{name}"
    return _dotted(place).replace("image", "img").replace("_is_pad", "_pad")


def _dotted(name: str) -> str:
    return name.replace(".", "_").replace("/", ".")


def _is_seen(name: str) -> bool:
    return name.split("/")[0] == OBSERVATION


def _apart(columns: Sequence[LeRobotColumn]) -> list[LeRobotColumn]:
    """With a number behind names that several arrays would have."""
    taken = {*names.BASE, *FLAGS.values(), names.DONE, names.SUCCESS, names.IS_LAST, "task", "subtask"}
    fixed = [each for each in columns if each.column in (STATE, "action", names.REWARD, names.DISCOUNT)]
    found = {}
    for each in [*fixed, *(each for each in columns if each not in fixed)]:
        column, number = each.column, 2
        while column and column in taken:
            column, number = f"{each.column}_{number}", number + 1
        taken.add(column)
        found[each.array] = LeRobotColumn(each.array, each.dtype, each.shape, column, each.kind, each.channels)
    return [found[each.array] for each in columns]


def _is_wide(data: Sequence[Outgoing], name: str) -> bool:
    """Whether an array of uint64 has numbers that int64 has not. Reads that array alone."""
    return any(
        name in each.dataset.array_names() and any(int(block.max()) >= 2**63 for block in _blocks(each.dataset, name))
        for each in data
    )


def _blocks(dataset: EpisodeDataset, name: str) -> Iterator[np.ndarray]:
    """All rows of an array, those of the ends last; none empty."""
    if not min(dataset.spec(name)[0], default=1):
        return
    for start in range(0, dataset.states, BLOCK):
        yield dataset.state_rows(name, start, min(start + BLOCK, dataset.states))
    for index, length in enumerate(dataset.lengths.tolist()):
        yield dataset.episode_rows(name, index, length, length + 1)


def _fps(data: Sequence[Outgoing]) -> int:
    """Decisions a second, as the environments say. Raises InvalidInput where they differ."""
    rates = sorted({_rate(each.provenance.get("parameters", {})) for each in data})
    if len(rates) > 1:
        raise InvalidInput(
            f"The tasks have {', '.join(map(str, rates))} decisions a second; one LeRobot dataset has one rate. Choose "
            f"it with format.fps, or export the tasks one by one."
        )
    return rates[0]


def _rate(parameters: Mapping[str, Any]) -> int:
    environment = parameters.get("environment")
    environment = environment if isinstance(environment, Mapping) else {}
    if environment.get("simulator") == "ale" and isinstance(environment.get("frame_skip"), int):
        return max(1, round(ATARI_FPS / environment["frame_skip"]))
    if environment.get("simulator") == "metaworld":
        return METAWORLD_FPS
    if isinstance(seconds := environment.get("dt"), int | float) and seconds > 0:
        return max(1, round(1 / seconds))
    return DEFAULT_FPS
