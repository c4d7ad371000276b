"""What a reader of a log sends, written by hand."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.errors import InvalidInput
from pipeline.machine.files import is_plain_file
from pipeline.sources.envlogger.episodes import episode_of
from pipeline.sources.envlogger.stream import Frame, frames
from pipeline.sources.quirks import Quirks

Block = tuple[dict[str, Any], bytes]

END: Block = ({"kind": "end", "counts": {}}, b"")


def numbers(keys: list[str], values: Any, dtype: str, present: list[bool] | None = None, **more: Any) -> Block:
    """A column of numbers, little-endian, row after row."""
    array = np.array(values, dtype)
    mask = b"" if present is None else bytes(map(int, present))
    return {"keys": keys, "dtype": dtype, "shape": list(array.shape), **more}, mask + array.tobytes()


def texts(keys: list[str], values: list[str | None]) -> Block:
    return {"keys": keys, "texts": values}, b""


def unfit(keys: list[str], why: str) -> Block:
    return {"keys": keys, "unfit": why}, b""


def episode(rows: int, columns: list[Block], once: list[Block] = (), **more: Any) -> Block:  # type: ignore[assignment]
    """A frame with these columns; whole, unless said otherwise."""
    head = {"kind": "episode", "shard": "20260101T000000000000", "rows": rows, "begun": True, "ended": True}
    head |= {"columns": [each for each, _ in columns], "once": [each for each, _ in once], "counts": {}, **more}
    return head, b"".join(data for _, data in (*columns, *once))


def steps(discounts: tuple[float, ...] = (1.0, 1.0, 0.0)) -> list[Block]:
    """Four time steps as EnvLogger logs them: what led to one stands beside it, and nothing beside the first."""
    after = [False, True, True, True]
    return [
        numbers(["observation"], [[0, 0], [1, 1], [2, 2], [3, 3]], "<f4"),
        numbers(["action"], [10, 20, 30], "<i8", after, python=True),
        numbers(["reward"], [0.25, 0.5, 0.75], "<f8", after),
        numbers(["discount"], discounts, "<f8", after),
        numbers(["step_type"], [0, 1, 1, 2], "<i8"),
    ]


def stream(*blocks: Block) -> io.BytesIO:
    """The bytes of some frames."""
    return io.BytesIO(b"".join(json.dumps(h | {"bytes": len(data)}).encode() + b"\n" + data for h, data in blocks))


def sent(*blocks: Block) -> list[Frame]:
    """What is understood of them, and of the end after them."""
    return list(frames(stream(*blocks, END)))[:-1]


FRAMES = "frames.bin"


def write_sent(folder: Path) -> None:
    """Two episodes with every kind of column, and the end, as a file: real logs need the package."""
    more = [
        numbers(["custom", "energy"], [9, 1, 2, 3], "<i8"),
        numbers(["custom", "late"], [5.5], "<f8", [False, False, False, True]),
        texts(["custom", "word"], ["start", "go", None, "stop"]),
        unfit(["custom", "raw"], "it holds bytes"),
    ]
    whole = stream(episode(4, steps()), episode(4, [*steps(), *more], [numbers(["episode"], [1], "|u1")]), END)
    (folder / FRAMES).write_bytes(whole.read())


def read_sent(folder: Path) -> None:
    """Read all episodes of such a file."""
    if not is_plain_file(folder / FRAMES):
        raise InvalidInput("no reader sends that")
    for frame in frames(io.BytesIO((folder / FRAMES).read_bytes())):
        if frame.kind == "episode":
            episode_of(frame, {}, Quirks()).digest()


def log_folder(folder: Path) -> Path:
    """A folder that looks like a log, with files that no Riegeli reader would take."""
    (folder / "20260101T000000000000").mkdir(parents=True)
    (folder / "metadata.riegeli").write_bytes(b"not a log")
    for name in ("steps", "step_offsets", "episode_metadata", "episode_index"):
        (folder / "20260101T000000000000" / f"{name}.riegeli").write_bytes(b"not a log")
    return folder
