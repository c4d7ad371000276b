"""Which rows of a JAT task make up which episode: from the attention mask, the rewards and REGENT's metadata files."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from jaxtyping import Bool, Float64, Int64

from pipeline.digest import short_hash
from pipeline.errors import InvalidInput
from pipeline.machine.files import is_plain_file
from pipeline.sources.jat.maps import BOUNDARIES, EPISODES_TO_ROWS, LENGTHS, ROWS_TO_EPISODES
from pipeline.sources.jat.rows import MASK, REWARDS, Block, RowFile, read_blocks
from pipeline.wording import first_line, json_words

AfterFullRow = Literal["reward", "stacks", "nothing"]

NUMBER = re.compile(r"0|[1-9][0-9]{0,14}")
"""The number of a row or an episode as a key of JSON; one of more digits is damage."""
MOST = 10**15
"""No row, episode or step has such a number; a larger one in a file is damage."""

REPAIR = "Use the metadata of this very dataset, or remove it: boundaries are then found from masks and rewards."


@dataclass(frozen=True)
class Metadata:
    """What files beside the rows say of episodes.

    Attributes:
        folder: where they lie.
        owner: (rows,) the episode of each row.
        lengths: steps of each episode, where known; an episode of none owns no row.
        lengths_at: what tells them.
        repair: what to do when it does not fit.
    """

    folder: Path
    owner: Int64[np.ndarray, "rows"]
    lengths: dict[int, int] | None
    lengths_at: Path
    repair: str = REPAIR

    @property
    def first_rows(self) -> Int64[np.ndarray, "boundaries"]:
        """(episodes + 1,) the first row of every episode, then the number of rows."""
        return np.concatenate([[0], np.flatnonzero(np.diff(self.owner)) + 1, [len(self.owner)]])

    @property
    def empty(self) -> int:
        """Episodes without a step."""
        return sum(steps == 0 for steps in (self.lengths or {}).values())

    def identity(self) -> dict[str, Any]:
        """JSON facts, equal for two sets of files that describe the same episodes."""
        first_rows = self.first_rows
        return {"rule": "metadata", "episodes": len(first_rows) - 1, "first_rows": short_hash(str(first_rows.tolist()))}


@dataclass(frozen=True)
class Layout:
    """Where the episodes of a task lie.

    Attributes:
        lengths: (rows,) int64, the real steps of each row.
        first_rows: (episodes + 1,) int64, the first row of each episode, then the number of rows.
        inferred: number of boundaries after a full row whose only evidence is a zero reward.
        undecided: (rows,) bool, the full rows whose stacks of frames must decide whether the episode goes on;
            boundaries after them are not in `first_rows`.
    """

    lengths: Int64[np.ndarray, "rows"]
    first_rows: Int64[np.ndarray, "boundaries"]
    inferred: int
    undecided: Bool[np.ndarray, "rows"]

    def real(self, block: Block, width: int) -> Bool[np.ndarray, "rows width"]:
        """(rows of the block, row width) bool: the steps that are not padding."""
        rows = len(next(iter(block.arrays.values())))
        return np.arange(width) < self.lengths[block.first_row : block.first_row + rows, None]


def read_layout(
    files: Sequence[RowFile], width: int, metadata: Metadata | None, after_full_row: AfterFullRow = "reward"
) -> Layout:
    """Find all episodes by one pass over masks and rewards, a few hundredths of the dataset's bytes.

    Raises InvalidInput where nothing tells (`after_full_row`, as `jat_kinds.Kind` has it).
    """
    parts = [_row_facts(block) for block in read_blocks(files, {MASK: (width,), REWARDS: (width,)})]
    lengths, first_rewards = (np.concatenate(part) for part in zip(*parts, strict=True))
    if metadata:
        _check_masks(files, lengths, width, metadata)
        layout = Layout(lengths, metadata.first_rows, 0, np.zeros(len(lengths), np.bool_))
    else:
        layout = _inferred(files, lengths, first_rewards, width, after_full_row)
    _check_first_rewards(files, layout, first_rewards)
    return layout


def read_metadata(folders: Sequence[Path], files: Sequence[RowFile], width: int) -> Metadata | None:
    """The episodes that REGENT's JSON files describe, from the first folder that has any; None without such files."""
    for folder in folders:
        stated = {name: load_map(folder / name) for name in BOUNDARIES if is_plain_file(folder / name)}
        if stated:
            return _metadata(folder, stated, sum(file.rows for file in files), width)
    return None


def _row_facts(block: Block) -> tuple[Int64[np.ndarray, "rows"], Float64[np.ndarray, "rows"]]:
    """Real steps (rows,) and first reward (rows,) of a block whose mask and rewards are sound."""
    mask = block.arrays[MASK]
    checks = {
        "holds values other than 0 and 1": ((mask != 0) & (mask != 1)).any(axis=1),
        "is all zeros, so the row has no real step": ~mask.any(axis=1),
        "has a real step after padding": (mask[:, 1:] > mask[:, :-1]).any(axis=1),
    }
    for what, bad in checks.items():
        if bad.any():
            raise InvalidInput(
                f"An {MASK} must be ones, then zeros. {block.place(int(np.argmax(bad)))}: it {what}. "
                f"The file is no tokenised JAT dataset or is damaged; download it again."
            )
    block.check_finite(REWARDS, mask != 0)
    return mask.sum(axis=1, dtype=np.int64), block.arrays[REWARDS][:, 0].astype(np.float64)


def _inferred(
    files: Sequence[RowFile],
    lengths: Int64[np.ndarray, "rows"],
    first_rewards: Float64[np.ndarray, "rows"],
    width: int,
    after_full_row: AfterFullRow,
) -> Layout:
    """A short row ends its episode, and a full one does not when the next row starts with another reward than 0.0."""
    full = lengths[:-1] == width
    open_ends = full & (first_rewards[1:] == 0.0)
    if after_full_row == "nothing" and open_ends.any():
        row = int(np.argmax(open_ends))
        raise InvalidInput(
            f"Nothing tells whether an episode goes on after {_place(files, row)}: it has no padding, and rewards are "
            f"mostly 0.0 in this task. Put REGENT's {LENGTHS} of the task beside its files; of BabyAI, the raw dataset "
            f"tells as well: source.raw=FOLDER, or source.raw=hub to download it."
        )
    by_reward = after_full_row == "reward"
    ends = np.flatnonzero(~full | open_ends if by_reward else ~full) + 1
    first_rows = np.concatenate([[0], ends, [len(lengths)]])
    undecided = np.append(open_ends & (not by_reward), False)
    return Layout(lengths, first_rows, int(np.count_nonzero(open_ends)) if by_reward else 0, undecided)


def _check_first_rewards(files: Sequence[RowFile], layout: Layout, first_rewards: Float64[np.ndarray, "rows"]) -> None:
    starts = layout.first_rows[:-1]
    bad = starts[first_rewards[starts] != 0.0]
    if len(bad):
        raise InvalidInput(
            f"JAT shifts rewards right by one, so an episode's first reward is 0.0. {_place(files, bad[0])}, the first "
            f"of its episode, starts with {first_rewards[bad[0]]}. Rewards of this file are not shifted, or rows or "
            f"metadata are not those of JAT; download the task again."
        )


def _check_masks(files: Sequence[RowFile], lengths: Int64[np.ndarray, "rows"], width: int, metadata: Metadata) -> None:
    first_rows = metadata.first_rows
    if len(metadata.owner) != len(lengths):
        raise InvalidInput(
            f"{metadata.folder} describes {len(metadata.owner)} rows of {width} steps, the parquet files hold "
            f"{len(lengths)}. {metadata.repair}"
        )
    goes_on = np.diff(metadata.owner, append=-1) == 0
    bad = np.flatnonzero(goes_on & (lengths < width))
    if len(bad):
        raise InvalidInput(
            f"Only the last row of an episode may be padded. {metadata.folder} says that episode "
            f"{metadata.owner[bad[0]]} goes on after {_place(files, bad[0])}, but that row has {lengths[bad[0]]} of "
            f"{width} real steps. {metadata.repair}"
        )
    if metadata.lengths is None:
        return
    stated = np.array([metadata.lengths[int(episode)] for episode in metadata.owner[first_rows[:-1]]])
    found = np.add.reduceat(lengths, first_rows[:-1])
    bad = np.flatnonzero(stated != found)
    if len(bad):
        row = first_rows[bad[0]]
        raise InvalidInput(
            f"{metadata.lengths_at} says that episode {metadata.owner[row]} has {stated[bad[0]]} steps; its rows, "
            f"from {_place(files, row)} on, have {found[bad[0]]} by their masks. {metadata.repair}"
        )


def _place(files: Sequence[RowFile], row: int | np.int64) -> str:
    return next(file for file in files if row < file.first_row + file.rows).place(int(row))


def load_map(path: Path) -> dict[int, Any]:
    """A JSON object whose keys are whole numbers, each once. Raises InvalidInput for anything else."""
    try:
        stated = json.loads(path.read_text(), object_pairs_hook=_each_once)
        if not isinstance(stated, dict):
            raise ValueError(f"it is {type(stated).__name__}")
        if (strange := next((key for key in stated if not NUMBER.fullmatch(key)), None)) is not None:
            raise ValueError(f"{strange[:40]!r} is no number from 0 on")
        return {int(key): value for key, value in stated.items()}
    except (ValueError, RecursionError, OSError) as error:
        raise InvalidInput(
            f"{path} must be a JSON object with numbers as keys; it cannot be read as one ({first_line(error)}). "
            f"{REPAIR}"
        ) from error


def _each_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found:
            raise ValueError(f"{name[:40]!r} stands there twice")
        found[name] = value
    return found


def _metadata(folder: Path, stated: dict[str, dict[int, Any]], rows: int, width: int) -> Metadata:
    lengths = None
    if LENGTHS in stated:
        steps = _integers(folder / LENGTHS, list(stated[LENGTHS].values()))
        lengths = dict(zip(stated[LENGTHS], steps.tolist(), strict=True))
    owners: dict[str, np.ndarray] = {}
    if ROWS_TO_EPISODES in stated:
        owners[ROWS_TO_EPISODES] = _by_row(folder / ROWS_TO_EPISODES, stated[ROWS_TO_EPISODES], rows)
    if EPISODES_TO_ROWS in stated:
        owners[EPISODES_TO_ROWS] = _by_episode(folder / EPISODES_TO_ROWS, stated[EPISODES_TO_ROWS], rows)
    if lengths is not None:
        owners[LENGTHS] = _by_length(folder / LENGTHS, lengths, rows, width)
    names = list(owners)
    owner = owners[names[0]]
    for name in names:
        _check_owner(folder / name, owners[name], owner, names[0], rows)
    return Metadata(folder, owner, lengths, folder / LENGTHS)


def _check_owner(
    path: Path, owner: Int64[np.ndarray, "n"], first: Int64[np.ndarray, "m"], first_name: str, rows: int
) -> None:
    if len(owner) != rows:
        raise InvalidInput(f"{path} describes {len(owner)} rows, the parquet files hold {rows}. {REPAIR}")
    if (backwards := np.flatnonzero(np.diff(owner) < 0)).size:
        row = int(backwards[0]) + 1
        raise InvalidInput(
            f"Rows of an episode follow one another, episodes ascend. {path} gives row {row} to episode {owner[row]} "
            f"after a row of episode {owner[row - 1]}. {REPAIR}"
        )
    if (differ := np.flatnonzero(owner != first)).size:
        row = int(differ[0])
        raise InvalidInput(
            f"The metadata files must agree. {path} gives row {row} to episode {owner[row]}, {first_name} to episode "
            f"{first[row]}. {REPAIR}"
        )


def _by_length(path: Path, lengths: dict[int, int], rows: int, width: int) -> Int64[np.ndarray, "n"]:
    episodes = sorted(lengths)
    filled = [-(-lengths[episode] // width) for episode in episodes]
    if sum(filled) != rows:  # before as many numbers are made as a damaged file claims
        raise InvalidInput(f"{path} describes {sum(filled)} rows, the parquet files hold {rows}. {REPAIR}")
    return np.repeat(np.array(episodes, np.int64), filled)


def _by_row(path: Path, stated: dict[int, Any], rows: int) -> Int64[np.ndarray, "n"]:
    if sorted(stated) != list(range(rows)):
        strange = min(set(stated) ^ set(range(rows)))
        raise InvalidInput(
            f"{path} must name rows 0 to {rows - 1}, those of the parquet files, once each. It has {len(stated)} rows; "
            f"row {strange} is {'not one of the files' if strange in stated else 'missing'}. {REPAIR}"
        )
    return _integers(path, [stated[row] for row in range(rows)])


def _by_episode(path: Path, stated: dict[int, Any], rows: int) -> Int64[np.ndarray, "n"]:
    if not all(isinstance(listed, list) for listed in stated.values()):
        raise InvalidInput(f"{path} must give each episode a list of rows. {REPAIR}")
    episodes = sorted(stated)
    listed = _integers(path, [row for episode in episodes for row in stated[episode]])
    if not np.array_equal(listed, np.arange(rows)):
        raise InvalidInput(
            f"{path} must name rows 0 to {rows - 1}, those of the parquet files, once each and ascending with the "
            f"episodes; it names {len(listed)}. {REPAIR}"
        )
    return np.repeat(np.array(episodes, np.int64), [len(stated[episode]) for episode in episodes])


def _integers(path: Path, values: list[Any]) -> Int64[np.ndarray, "n"]:
    strange = [value for value in values if type(value) is not int or not 0 <= value < MOST]
    if strange:
        words = json_words(strange[0])
        raise InvalidInput(f"{path} must hold whole numbers from 0 on; it holds {words}. {REPAIR}")
    return np.array(values, np.int64)
