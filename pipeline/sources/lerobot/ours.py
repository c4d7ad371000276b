"""Episodes of our own exports, exactly as they left: by the table of arrays, each compared with its digest."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from jaxtyping import Num, Shaped

from pipeline.dataset.columns import without_absent
from pipeline.dataset.per_episode import ONCE, with_once
from pipeline.digest import combine
from pipeline.episode import Episode, with_last_row
from pipeline.errors import DamagedArtifact, InvalidInput
from pipeline.sources.absent import unfilled
from pipeline.sources.lerobot.columns import IMAGE, NOTHING, LeRobotColumn, picture_size
from pipeline.sources.lerobot.names import IS_LAST, LAST_ROWS, REPERTOIRE, RESET, ROW
from pipeline.sources.lerobot.pictures import PictureReader
from pipeline.sources.lerobot.rows import episode_rows, facts_of, last_rows
from pipeline.sources.lerobot.tree import Tree

FORMAT = 1
"""Of meta/repertoire.json."""

ZERO_AT_THE_END = ("action", "reward", "discount")
"""Arrays whose last row says nothing."""


@dataclass(frozen=True)
class OwnTable:
    """What meta/repertoire.json says.

    Attributes:
        columns: of each array.
        resets: reset infos, with the columns of meta/episodes that hold them.
        last_row: where last observations lie.
        content: digest over those of all episodes.
    """

    columns: Sequence[LeRobotColumn]
    resets: Sequence[LeRobotColumn]
    last_row: str
    episodes: int
    content: str

    def as_json(self) -> dict[str, Any]:
        """All of it, for the file."""
        return {
            "format": FORMAT,
            "episodes": self.episodes,
            "digest": self.content,
            "last_row": self.last_row,
            "arrays": [each.as_json() for each in self.columns],
            "resets": [each.as_json() for each in self.resets],
        }


def own_table(tree: Tree) -> OwnTable | None:
    """The table of a set that we wrote, None for others. Raises DamagedArtifact where it cannot be understood."""
    known = tree.repertoire
    if known is None:
        return None
    try:
        if known["format"] != FORMAT or known["last_row"] not in LAST_ROWS:
            raise ValueError(f"format {known['format']!r}, last_row {known['last_row']!r} are of another version")
        arrays, resets = ([LeRobotColumn.from_json(line) for line in known[key]] for key in ("arrays", "resets"))
        table = OwnTable(arrays, resets, known["last_row"], int(known["episodes"]), str(known["digest"]))
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise DamagedArtifact(
            f"{tree.root / REPERTOIRE} cannot be understood ({type(error).__name__}: {error}). Copy it again; without "
            f"it the set is read as one of somebody else."
        ) from error
    return table


def is_untouched(tree: Tree, table: OwnTable) -> bool:
    """Whether the episodes are those that were exported: LeRobot's own tools merge, leave out and split them."""
    if table.episodes != len(tree.episodes) or "digest" not in tree.episodes.column_names:
        return False
    try:
        return combine(bytes.fromhex(each) for each in tree.episodes["digest"].to_pylist()) == table.content
    except (ValueError, TypeError):
        return False


def own_episodes(tree: Tree, table: OwnTable, wanted: Sequence[int], pictures: PictureReader) -> Iterator[Episode]:
    """The wanted episodes, whose numbers ascend. Raises InvalidInput for one that is not what was exported."""
    held = [each for each in table.columns if each.kind != NOTHING]
    names = ["frame_index", "episode_index", "index", *(each.column for each in held)]
    names += [IS_LAST] if table.last_row == ROW else []
    at_end = ["episode_index", *(each.column for each in held if each.array not in ZERO_AT_THE_END)]
    rows, lasts = episode_rows(tree, wanted, names), last_rows(tree, wanted, at_end)
    for number, body, last, facts in zip(wanted, rows, lasts, facts_of(tree, wanted), strict=True):
        try:
            episode = _episode(table, body, last, facts, pictures)
        except InvalidInput as error:
            raise InvalidInput(f"{tree.root}, episode {number}: {error}") from error
        if episode.digest().hex() != facts["digest"]:
            raise InvalidInput(
                f"{tree.root}, episode {number}: its content is not what was exported: its digest is "
                f"{episode.digest().hex()[:12]}, meta/episodes says {facts['digest'][:12]}. A file was changed; copy "
                f"the set again."
            )
        yield episode


def _episode(
    table: OwnTable, body: pa.Table, last: pa.Table | None, facts: Mapping[str, Any], pictures: PictureReader
) -> Episode:
    """One episode of its rows, its last row and its line of meta/episodes."""
    length = len(body)
    if table.last_row == ROW and body[IS_LAST][length - 1].as_py():
        body, last, length = body.slice(0, length - 1), body.slice(length - 1), length - 1
    steps: dict[str, np.ndarray] = {}
    for each in table.columns:
        rows = _rows(each, body, pictures) if each.kind != NOTHING else np.zeros((length, *each.shape), each.dtype)
        steps[each.array] = with_last_row(each.array, rows)
        if each.kind != NOTHING and last is not None and each.array not in ZERO_AT_THE_END:
            steps[each.array][-1:] = _rows(each, last, pictures)
    once = {name: facts[name] for name in ONCE if facts.get(name) is not None}
    episode = with_once(without_absent(steps), once, _resets(table, facts))
    return unfilled(episode)


def _rows(column: LeRobotColumn, rows: pa.Table, pictures: PictureReader) -> Shaped[np.ndarray, "n ..."]:
    values = rows[column.column]
    if column.kind == IMAGE:
        size = (*picture_size(column.shape), column.channels)
        return column.from_pictures(pictures.read(values, column.column, size))
    return column.rows(values.combine_chunks())


def _resets(table: OwnTable, facts: Mapping[str, Any]) -> dict[str, Num[np.ndarray, "..."]]:
    """The reset infos that an episode has."""
    found = {}
    for each in table.resets:
        values = facts.get(f"{RESET}{each.array}")
        if values is not None:
            found[each.array] = np.asarray(values, each.dtype).reshape(each.shape)
    return found
