"""`format=interleaved`: one parquet file, a row for each episode: a title, then screens and actions in turns."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from jaxtyping import Int64

from pipeline.errors import InvalidInput
from pipeline.formats.aspects import Aspect
from pipeline.formats.contract import CannotHold, Format, Outgoing
from pipeline.formats.image_text.labels import Labels
from pipeline.formats.image_text.names import environment_name, title
from pipeline.formats.image_text.rows import picture_array, row_groups, write_rows, wrong_rows
from pipeline.formats.image_text.words import BECOMES
from pipeline.frames.store import PictureBlock
from pipeline.machine.files import human_bytes
from pipeline.wording import check_choice

FORMAT = 1

GROUP_ROWS = 32

ROW_BYTES = 2**30
"""Of the pictures of one row; parquet's readers take less than twice as much."""

MOST_FRAMES = 10**9
"""That a window may have; no episode is so long."""

PROFILES = ("readme", "script")

ENTRY = pa.struct([("type", pa.string()), ("has_loss", pa.int64()), ("text", pa.string()), ("image_index", pa.int64())])

SCHEMA = pa.schema(
    [
        ("inputs", pa.list_(ENTRY)),
        ("images", pa.list_(pa.binary())),
        ("images_front", pa.list_(pa.binary())),
        ("environment", pa.string()),
        ("episode", pa.string()),
        ("num_frames", pa.int64()),
        ("randomness", pa.float64()),
    ]
)

FIRST_FRAME = pa.field("first_frame", pa.int64())
"""Of a row that holds a window of its episode: which frame is its first."""


class InterleavedFormat(Format):
    """Rows of whole episodes, or of windows of them.

    Args:
        profile: `readme` opens a row with two texts, `script` with one.
        window: frames of a row; the last one of a row is the first of the next, so that no action is lost between. None
            for whole episodes.
        per_task: each task becomes a file of its own.
    """

    name = "interleaved"
    holds = frozenset({Aspect.MISSIONS})
    shows_frames = True
    suffixes = (".parquet",)

    def __init__(self, profile: str = "readme", window: int | None = None, per_task: bool = False) -> None:
        check_choice("format.profile", profile, PROFILES)
        is_number = isinstance(window, int) and not isinstance(window, bool)
        if window is not None and not (is_number and 2 <= window <= MOST_FRAMES):
            raise InvalidInput(
                f"format.window={window} must be a whole number of frames, at least 2: with one there is no action "
                f"between frames; and at most {MOST_FRAMES:,}. Leave it out for whole episodes."
            )
        self._profile, self._window, self.joins = profile, window, not per_task
        self._schema = SCHEMA if window is None else SCHEMA.append(FIRST_FRAME)

    def identity(self) -> Mapping[str, Any]:
        facts = {"profile": self._profile, "window": self._window, "per_task": not self.joins}
        return {"version": FORMAT, **facts}

    def require(self, data: Sequence[Outgoing]) -> None:
        for each in data:
            assert each.frames is not None
            sizes = each.frames.sizes(len(each)) / each.dataset.lengths  # of a picture, at most
            rows = each.dataset.lengths if self._window is None else np.minimum(each.dataset.lengths, self._window)
            if (large := float((sizes * rows).max(initial=0))) > ROW_BYTES:
                window = max(2, int(ROW_BYTES / 16 / float(sizes.max())))
                raise CannotHold(
                    f"A row of {each.domain}/{each.task} would hold {human_bytes(large)} of pictures, and readers of "
                    f"parquet take at most {human_bytes(ROW_BYTES)}. Cut the episodes into windows: "
                    f"format.window={window}"
                )

    def becomes(self) -> Mapping[Aspect, str]:
        return {**BECOMES, Aspect.ACTIONS: "texts, without the last of an episode"}

    def place(self, data: Sequence[Outgoing]) -> PurePosixPath:
        return PurePosixPath(f"{data[0].domain if self.joins else environment_name(data[0])}-interleaved.parquet")

    def write(self, data: Sequence[Outgoing], folder: Path) -> None:
        write_rows(folder / self.place(data), self._groups(data), self._schema, ["images", "images_front"], data)

    def wrong(self, data: Sequence[Outgoing], path: Path) -> Iterator[str]:
        return wrong_rows(path, self._groups(data), self._schema, _label)

    def _groups(self, data: Sequence[Outgoing]) -> Iterator[pa.Table]:
        return row_groups((table for each in data for table in self._tables(each)), GROUP_ROWS)

    def _tables(self, data: Outgoing) -> Iterator[tuple[pa.Table, Int64[np.ndarray, "rows"]]]:
        labels, missions = Labels(data), data.dataset.texts("mission")
        environment = title(data, labels.environment)
        for actions, block in data.drawn_blocks():
            cut, called = _cut(block, self._window), labels.block(actions, block)
            heads = [f"{environment} Environment (randomness={each.chance_words})" for each in called.episodes]
            heads = [f"{head}. Mission: {m}" if (m := missions[n]) else head
                     for n, head in zip(block.numbers, heads, strict=True)]  # fmt: skip
            names = [each.name for each in called.episodes]
            entries = _entries(cut, self._openings(cut, heads, names), pc.utf8_lower(called.clean))
            pictures, of_row = picture_array(block), pa.array(cut.episode)
            columns = {
                "inputs": entries,
                "images": pa.LargeListArray.from_arrays(cut.ends(), pictures.take(pa.array(cut.pictures()))),
                "images_front": _each_alone(pictures.take(pa.array(cut.first_picture))),
                "environment": pa.repeat(pa.scalar(labels.environment, pa.string()), len(cut)),
                "episode": called.names.take(of_row),
                "num_frames": pa.array(cut.frames),
                "randomness": pa.array([each.chance for each in called.episodes], pa.float64()).take(of_row),
                "first_frame": pa.array(cut.first_frame),
            }
            yield pa.table({each.name: columns[each.name] for each in self._schema}), cut.bytes(block)

    def _openings(self, cut: _Rows, heads: Sequence[str], episodes: Sequence[str]) -> list[list[str]]:
        """The texts before the first frame of each row."""
        rows = zip(cut.episode.tolist(), cut.frames.tolist(), strict=True)
        if self._profile == "script":
            return [[heads[episode]] for episode, _ in rows]
        return [[heads[e], f"Episode {episodes[e]}. Starting game with {frames} frames."] for e, frames in rows]


@dataclass(frozen=True)
class _Rows:
    """The rows that a block of episodes becomes: of each row its episode (a place in the block), the first of its
    frames, how many there are, and where its first picture and its first action lie in the block.
    """

    episode: Int64[np.ndarray, "rows"]
    first_frame: Int64[np.ndarray, "rows"]
    frames: Int64[np.ndarray, "rows"]
    first_picture: Int64[np.ndarray, "rows"]
    first_action: Int64[np.ndarray, "rows"]

    def __len__(self) -> int:
        return len(self.frames)

    def ends(self) -> pa.Array:
        """Where the pictures of each row begin, and where the last ones end."""
        return pa.array(np.concatenate([[0], np.cumsum(self.frames)]))

    def pictures(self) -> Int64[np.ndarray, "frames"]:
        """Which picture of the block each frame of the rows is."""
        return np.repeat(self.first_picture, self.frames) + _counted(self.frames)

    def bytes(self, block: PictureBlock) -> Int64[np.ndarray, "rows"]:
        """Of the pictures of each row."""
        bounds = block.bounds()
        return bounds[self.first_picture + self.frames] - bounds[self.first_picture]


def _cut(block: PictureBlock, window: int | None) -> _Rows:
    """Rows of `window` frames, of which each but the first begins with the last frame of the one before."""
    lengths = block.rows - 1
    step = (window or int(lengths.max(initial=2))) - 1
    counts = np.ones_like(lengths) if window is None else np.maximum(1, -(-(lengths - 1) // step))
    episode = np.repeat(np.arange(len(lengths)), counts)
    first = _counted(counts) * step
    frames = lengths[episode] if window is None else np.minimum(window, lengths[episode] - first)
    action = (np.cumsum(lengths) - lengths)[episode] + first
    return _Rows(episode, first, frames, action + episode, action)  # each earlier episode has one picture more


def _counted(counts: Int64[np.ndarray, "n"]) -> Int64[np.ndarray, "total"]:
    """0 to count - 1 for each count."""
    return np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)


def _entries(rows: _Rows, openings: Sequence[Sequence[str]], actions: pa.StringArray) -> pa.LargeListArray:
    """The entries of each row: its openings, then frames with the action after each but the last."""
    before = len(openings[0])
    counts = before + 2 * rows.frames - 1
    place = _counted(counts) - before
    frame, row = place // 2, np.repeat(np.arange(len(rows)), counts)
    is_image, is_opening = (place >= 0) & (place % 2 == 0), place < 0
    pool = pa.concat_arrays([pa.array([text for each in openings for text in each], pa.string()), actions])
    text = np.where(is_opening, row * before + place + before, len(rows) * before + rows.first_action[row] + frame)
    text[is_image] = 0
    fields = [
        pa.array(["text", "image_gen"], pa.string()).take(pa.array(is_image.astype(np.int64))),
        pa.array((is_image | (place == -1) & (before == 2)).astype(np.int64)),
        pool.take(pa.array(text, mask=is_image)),
        pa.array(frame, mask=~is_image),
    ]
    entries = pa.StructArray.from_arrays(fields, [each.name for each in ENTRY])
    return pa.LargeListArray.from_arrays(pa.array(np.concatenate([[0], np.cumsum(counts)])), entries)


def _each_alone(values: pa.Array) -> pa.LargeListArray:
    return pa.LargeListArray.from_arrays(pa.array(np.arange(len(values) + 1)), values)


def _label(table: pa.Table, row: int) -> str:
    return f"{table['episode'][row].as_py()} of {table['environment'][row].as_py()}"
