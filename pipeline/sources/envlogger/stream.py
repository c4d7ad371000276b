"""What the reader in the side environment sends: frames, each a line of JSON and then the bytes of its arrays.

Kinds of frames: `metadata` (what the log says of itself), `episode`, `error`, and `end`, the last one. A column is one
leaf of the steps: `keys` lead to it, `dtype` and `shape` tell its numbers, row after row in memory's order, with a mask
of truth values before them where only some rows have it; or it has `texts`, or it is `unfit` for a reason.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, BinaryIO

import numpy as np
from jaxtyping import Bool, Shaped

from pipeline.errors import InvalidInput
from pipeline.exact import STORED_KINDS
from pipeline.keys import Keys

LONGEST_HEAD = 2**30
"""Bytes of a line of JSON; it holds the texts of an episode's infos."""


class BrokenStream(InvalidInput):
    """What came from the reader is no frame, or ends within one."""


@dataclass(frozen=True)
class LoggedLeaf:
    """One leaf of the steps of an episode.

    Attributes:
        keys: lead to it; the first is the part of a step that it belongs to.
        values: the rows that have numbers; None where it has none.
        present: which rows those are.
        texts: of each row, where it has texts.
        python: the numbers are Python's own whole numbers, which have no dtype.
        unfit: why it is neither numbers nor texts.
    """

    keys: Keys
    values: Shaped[np.ndarray, "present ..."] | None
    present: Bool[np.ndarray, " rows"]
    texts: Sequence[str | None] | None = None
    python: bool = False
    unfit: str = ""


@dataclass(frozen=True)
class Frame:
    """One message of the reader: columns of the steps, and of what is said once of an episode or of the log."""

    kind: str
    head: Mapping[str, Any]
    columns: Sequence[LoggedLeaf] = field(default_factory=list)
    once: Sequence[LoggedLeaf] = field(default_factory=list)


def frames(stream: BinaryIO) -> Iterator[Frame]:
    """All frames up to the last one, `end` or `error`. Raises BrokenStream where the stream ends before."""
    while True:
        frame = _frame(stream)
        yield frame
        if frame.kind in ("end", "error"):
            return


def _frame(stream: BinaryIO) -> Frame:
    line = stream.readline(LONGEST_HEAD)
    if not line.endswith(b"\n"):
        raise BrokenStream("it ends before its last frame")
    try:
        head = json.loads(line)
        kind, size = head["kind"], head["bytes"]
        data = _Block(_whole(stream, int(size)))
        if kind in ("end", "error"):
            return Frame(kind, head)
        rows = int(head["rows"])
        if not 0 <= rows <= len(line) + data.left:  # each row has a reward, at least
            raise BrokenStream(f"a frame of {data.left} bytes cannot have {rows} rows")
        columns = [_leaf(each, rows, data) for each in head["columns"]]
        if kind == "episode" and not {"ended", "shard", "counts"} <= head.keys():
            raise BrokenStream("an episode does not say how it ended, or where it is from")
        once = [_leaf(each, 1, data) for each in head["once"]]
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        if isinstance(error, BrokenStream):
            raise
        raise BrokenStream(f"a frame cannot be read: {error}") from error
    if data.left:
        raise BrokenStream(f"{data.left} bytes of a frame belong to no column")
    return Frame(str(kind), head, columns, once)


def _whole(stream: BinaryIO, size: int) -> bytes:
    data = stream.read(size) if size >= 0 else b""
    if len(data) != size:
        raise BrokenStream(f"it ends within a frame: {len(data)} of {size} bytes")
    return data


class _Block:
    """The bytes of a frame, taken from the front."""

    def __init__(self, data: bytes) -> None:
        self._data, self._at = data, 0

    @property
    def left(self) -> int:
        return len(self._data) - self._at

    def array(self, dtype: np.dtype[Any], shape: tuple[int, ...]) -> Shaped[np.ndarray, "..."]:
        count = math.prod(shape)
        if min(shape, default=0) < 0 or count * dtype.itemsize > self.left:
            raise BrokenStream(f"a column of {dtype}{list(shape)} is longer than its frame")
        array = np.frombuffer(self._data, dtype, count, self._at).reshape(shape)
        self._at += array.nbytes
        return array


def _leaf(head: Mapping[str, Any], rows: int, data: _Block) -> LoggedLeaf:
    keys = tuple(head["keys"])
    everywhere = np.ones(rows, np.bool_)
    if "unfit" in head:
        return LoggedLeaf(keys, None, everywhere, unfit=str(head["unfit"]))
    if "texts" in head:
        texts = head["texts"]
        if len(texts) != rows or not all(isinstance(each, str | None) for each in texts):
            raise BrokenStream(f"{len(texts)} texts are not one for each of {rows} rows")
        return LoggedLeaf(keys, None, np.array([each is not None for each in texts]), texts)
    dtype, shape = np.dtype(head["dtype"]), tuple(head["shape"])
    if dtype.kind not in STORED_KINDS or not shape or shape[0] > rows:
        raise BrokenStream(f"a column cannot be {dtype}{list(shape)} in {rows} rows")
    present = everywhere if shape[0] == rows else data.array(np.dtype(np.bool_), (rows,))
    if np.count_nonzero(present) != shape[0]:
        raise BrokenStream(f"a mask marks {np.count_nonzero(present)} rows of a column of {shape[0]}")
    return LoggedLeaf(keys, data.array(dtype, shape), present, python=bool(head.get("python")))
