"""One checkpoint to parts: its frames are decoded once, forwards, while finished parts are written on other cores.

Nothing of the checkpoint's seven gigabytes stays in memory but the parts under way. Its folder is whole or absent:
`job.json` is written last, and a later run that needs the same or less uses the folder as it is.
"""

from __future__ import annotations

import json
import logging
import shutil
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Executor, Future, wait
from dataclasses import dataclass, replace
from pathlib import Path
from queue import SimpleQueue
from typing import NamedTuple

import numpy as np
from jaxtyping import Int64, Shaped, UInt8

from pipeline.artifacts.whole import changed_in
from pipeline.dataset.bulk import StoredPart
from pipeline.dataset.parts import (
    FACTS,
    PART_BYTES,
    PART_EPISODES,
    Facts,
    save_part,
    unfinished,
    write_facts,
    write_part,
)
from pipeline.machine.files import FileTable, read_json, sync_tree, write_file
from pipeline.sources.dqn_replay.files import FRAME, LoggedArray
from pipeline.sources.dqn_replay.part import FRAME_BYTES, PADDING_ROWS, ROW_BYTES, PartBuilder, rows_needed
from pipeline.sources.dqn_replay.plan import Inside, Piece
from pipeline.sources.dqn_replay.shard import StepArrays, read_steps
from pipeline.storage.contract import Storage
from pipeline.wording import few

DONE = "job.json"
PIECE_ROWS = 1024
"""Frames of an episode's piece that are in memory at once."""

BUFFERS_BYTES = 256 * 2**20
"""Memory for the parts of one checkpoint that are under way."""

MOST_BUFFERS = 3
"""One is being filled while two are written."""

OBSERVATION = "steps/observation"

log = logging.getLogger(__name__)


class Numbered(NamedTuple):
    """A part, and how many of the checkpoint's episodes lie before it."""

    first: int
    part: StoredPart


class JobStopped(Exception):
    """Another checkpoint has failed, or the user has interrupted."""


@dataclass(frozen=True)
class Job:
    """What one job must read from one checkpoint.

    Attributes:
        files: its files by field.
        inside: the episodes that lie in it.
        first: how many episodes of the checkpoint lie before those.
        pieces: its share of episodes that lie in several checkpoints, ascending.
        through: the file is to be read to its end, where its checksum is.
    """

    number: int
    files: Mapping[str, Path]
    inside: Inside
    first: int
    pieces: tuple[Piece, ...]
    strip: bool
    through: bool

    @property
    def rows(self) -> int:
        """Rows that it takes."""
        return int(self.inside.slots.sum()) + sum(piece.stop - piece.start for piece in self.pieces)

    @property
    def facts(self) -> dict[str, str]:
        """What is said of each part that it makes."""
        return {"checkpoint": str(self.number)}


@dataclass(frozen=True)
class Tools:
    """What all jobs share.

    Attributes:
        writers: threads that write the frames of parts; the storage has threads of its own.
        finishers: threads that write the rest and flush it.
        advance: called with the number of rows that were read.
        stop: set when the others should end.
    """

    storage: Storage
    writers: Executor
    finishers: Executor
    advance: Callable[[int], None]
    stop: threading.Event


def run_job(job: Job, folder: Path, tools: Tools) -> list[Numbered]:
    """Make `folder` unless it is there, and give its parts. Raises InvalidInput, and JobStopped if asked.

    What an earlier run has left is read, and compared with its checksums.
    """
    if is_made(folder, job):
        if not (wrong := _damage(folder, job)):
            tools.advance(job.rows)
            return list(_parts_in(folder))
        log.warning("%s is damaged, and made again: %s", folder, few(wrong))
    if folder.exists():
        shutil.rmtree(folder)
    beside = unfinished(folder)
    shutil.rmtree(beside, ignore_errors=True)
    beside.mkdir(parents=True)
    steps = read_steps(job.files)
    with LoggedArray(job.files["observation"], np.uint8, FRAME) as frames:
        frames.expect(len(steps.action), job.files["action"])
        parts, pieces = _read(job, frames, steps, beside, tools)
        if job.through:
            frames.finish()
    record = {
        "first": job.first,
        "episodes": len(job.inside),
        "parts": [
            {"files": part.files, "lengths": part.lengths.tolist(), PADDING_ROWS: part.sums[PADDING_ROWS].tolist()}
            for part in parts
        ],
        "pieces": pieces,
    }
    write_file(beside / DONE, [json.dumps(record).encode()])
    sync_tree(beside)
    beside.rename(folder)
    before = np.cumsum([job.first, *(len(part.lengths) for part in parts)]).tolist()
    return [
        Numbered(first, replace(part, folder=folder / part.folder.name))
        for first, part in zip(before[:-1], parts, strict=True)
    ]


def _parts_in(folder: Path) -> Iterator[Numbered]:
    """The parts of a finished job."""
    record = read_json(folder / DONE)
    first = int(record["first"])
    for number, part in enumerate(record["parts"]):
        lengths, padding = (np.asarray(part[name], np.int64) for name in ("lengths", PADDING_ROWS))
        stored = StoredPart(folder / f"{number:04d}", part["files"], lengths, {PADDING_ROWS: padding})
        yield Numbered(first, stored)
        first += len(lengths)


def save_episodes(builder: PartBuilder, folder: Path, storage: Storage) -> StoredPart:
    """Write the builder's episodes as one part, durably."""
    part, arrays = builder.packed(folder)
    return replace(part, files=save_part(storage, folder, arrays))


def _finish(part: StoredPart, arrays: Mapping[str, Shaped[np.ndarray, "..."]], storage: Storage) -> StoredPart:
    """Write what is left of a part: many small arrays, and its facts. It is flushed with the checkpoint's others."""
    files = part.files | write_part(storage, part.folder, arrays)
    files |= write_facts(unfinished(part.folder), part.all_facts())
    unfinished(part.folder).rename(part.folder)
    return replace(part, files=files)


def piece_frames(folder: Path, piece: Piece) -> UInt8[np.ndarray, "n 84 84"]:
    """(n, 84, 84) uint8, memory mapped: the frames of a piece that a finished job has left."""
    return np.memmap(_piece_path(folder, piece), np.uint8, "r", shape=(piece.stop - piece.start, *FRAME))


def _piece_path(folder: Path, piece: Piece) -> Path:
    return folder / f"rows-{piece.start}-{piece.stop}.bin"


def is_made(folder: Path, job: Job) -> bool:
    """Whether an earlier run has left what this job would make; parts may have been adopted since."""
    if not (folder / DONE).is_file():
        return False
    record = read_json(folder / DONE)
    first, stop = int(record["first"]), int(record["first"]) + int(record["episodes"])
    if first > job.first or stop < job.first + len(job.inside):
        return False
    if any(not _piece_path(folder, piece).is_file() for piece in job.pieces):
        return False
    return all(part.folder.is_dir() for part in _parts_of(job, folder))


def _parts_of(job: Job, folder: Path) -> Iterator[StoredPart]:
    """Those parts of a finished folder that a job needs."""
    for begin, part in _parts_in(folder):
        if begin < job.first + len(job.inside) and begin + len(part.lengths) > job.first:
            yield part


def _damage(folder: Path, job: Job) -> list[str]:
    """What a job needs of a finished folder and is not as it was made. The facts of a part may have been renewed."""
    found = [
        f"{part.folder.name}/{wrong}"
        for part in _parts_of(job, folder)
        for wrong in changed_in(part.folder, {name: each for name, each in part.files.items() if name != FACTS})
    ]
    made = read_json(folder / DONE).get("pieces", {})
    return found + changed_in(
        folder, {name: made[name] for piece in job.pieces if (name := _piece_path(folder, piece).name) in made}
    )


def _read(
    job: Job, frames: LoggedArray, steps: StepArrays, folder: Path, tools: Tools
) -> tuple[list[StoredPart], FileTable]:
    """Go through the frames: pieces before the episodes, the episodes, pieces after them."""
    begin = int(job.inside.starts[0]) if len(job.inside) else 0
    at = 0
    pieces: FileTable = {}
    for piece in (piece for piece in job.pieces if piece.start < begin):
        pieces |= _save_piece(piece, frames, folder, tools)
        at = piece.stop
    with _Parts(tools, job.facts) as parts:
        if len(job.inside):
            frames.go_to(begin)
            _read_episodes(job, frames, steps, folder, tools, parts)
            at = int(job.inside.stops[-1])
        for piece in (piece for piece in job.pieces if piece.start >= max(begin, at)):
            pieces |= _save_piece(piece, frames, folder, tools)
        return parts.results(), pieces


def _read_episodes(job: Job, frames: LoggedArray, steps: StepArrays, folder: Path, tools: Tools, parts: _Parts) -> None:
    """Fill one buffer after the other with the episodes of a part, while those before are written."""
    inside, slots = job.inside, job.inside.slots
    cuts = list(_cuts(slots))
    buffers = _buffers(max(rows_needed(int(slots[a:b].sum()), b - a) for a, b in cuts))
    for number, (start, stop) in enumerate(cuts):
        builder = PartBuilder(buffers.get())
        for begin, end in zip(inside.starts[start:stop].tolist(), inside.stops[start:stop].tolist(), strict=True):
            if tools.stop.is_set():
                raise JobStopped
            builder.add(frames, steps.rows(begin, end), job.strip)
            tools.advance(end - begin)
        parts.submit(builder, folder / f"{number:04d}", buffers)


class _Parts:
    """Writes the parts of a job to disk, in order; a context manager that waits for every write before it ends."""

    def __init__(self, tools: Tools, facts: Facts) -> None:
        self._tools, self._facts = tools, facts
        self._written: list[Future[Future[StoredPart]]] = []

    def __enter__(self) -> _Parts:
        return self

    def __exit__(self, *_: object) -> None:
        for part in self._written:
            part.cancel()
        wait(self._written)
        wait([part.result() for part in self._written if not part.cancelled() and not part.exception()])

    def submit(self, builder: PartBuilder, folder: Path, buffers: SimpleQueue[UInt8[np.ndarray, "rows 84 84"]]) -> None:
        """Have a part written; its buffer comes back when it is. Raises what an earlier one has failed with."""
        for part in self._written:
            if part.done():
                part.result()
        self._written.append(self._tools.writers.submit(self._write, builder, folder, buffers))

    def results(self) -> list[StoredPart]:
        """The parts, once they are whole."""
        return [part.result().result() for part in self._written]

    def _write(
        self, builder: PartBuilder, folder: Path, buffers: SimpleQueue[UInt8[np.ndarray, "rows 84 84"]]
    ) -> Future[StoredPart]:
        try:
            part, arrays = builder.packed(folder)
            files = write_part(self._tools.storage, folder, {OBSERVATION: arrays.pop(OBSERVATION)})
        finally:
            buffers.put(builder.buffer)
        return self._tools.finishers.submit(
            _finish, replace(part, files=files, facts=self._facts), arrays, self._tools.storage
        )


def _buffers(rows: int) -> SimpleQueue[UInt8[np.ndarray, "rows 84 84"]]:
    """As many buffers of `rows` frames as fit into the memory that there is for them, at least one."""
    free: SimpleQueue[UInt8[np.ndarray, "rows 84 84"]] = SimpleQueue()
    for _ in range(min(MOST_BUFFERS, max(1, BUFFERS_BYTES // (rows * FRAME_BYTES)))):
        free.put(np.empty((rows, *FRAME), np.uint8))
    return free


def _cuts(slots: Int64[np.ndarray, "episodes"]) -> Iterator[tuple[int, int]]:
    """Where parts begin and end, in episodes: the rule of `pipeline.dataset.parts`, padding counted in.

    So cuts are known before a frame is read, and a part never spans two checkpoints.
    """
    sizes = (slots + 1) * ROW_BYTES
    start, size = 0, 0
    for stop, more in enumerate(sizes.tolist(), 1):
        size += more
        if size >= PART_BYTES or stop - start >= PART_EPISODES or stop == len(sizes):
            yield start, stop
            start, size = stop, 0


def _save_piece(piece: Piece, frames: LoggedArray, folder: Path, tools: Tools) -> FileTable:
    """Keep the frames of a piece in a file; returns its size and checksum."""
    frames.go_to(piece.start)
    path = _piece_path(folder, piece)
    return {path.name: write_file(path, _blocks_of(piece, frames, tools))}


def _blocks_of(piece: Piece, frames: LoggedArray, tools: Tools) -> Iterator[memoryview]:
    rows = piece.stop - piece.start
    block = np.empty((min(PIECE_ROWS, rows), *FRAME), np.uint8)
    for start in range(0, rows, PIECE_ROWS):
        if tools.stop.is_set():
            raise JobStopped
        part = block[: min(PIECE_ROWS, rows - start)]
        frames.read_into(part)
        yield part.reshape(-1).data
        tools.advance(len(part))
