"""A plan to parts: several checkpoints at once, their parts handed out in order, episodes between them put together."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from pipeline.dataset.amount import Amount, Size
from pipeline.dataset.bulk import StoredPart
from pipeline.sources.dqn_replay.files import FRAME
from pipeline.sources.dqn_replay.job import (
    MOST_BUFFERS,
    Job,
    Numbered,
    Tools,
    is_made,
    piece_frames,
    run_job,
    save_episodes,
)
from pipeline.sources.dqn_replay.limits import ALLOW_LAST, Limits, Quota, enough
from pipeline.sources.dqn_replay.part import PartBuilder, rows_needed
from pipeline.sources.dqn_replay.plan import Across, Inside, Piece, ReadingPlan, Unit
from pipeline.sources.dqn_replay.shard import PADDING, StepArrays, read_steps
from pipeline.storage.contract import Storage

DROPPED_ROWS = "dropped_rows"
"""Among the facts of a checkpoint's last part: rows that are not stored, of episodes that are not read whole."""

Running = Future[list[Numbered]]


@dataclass(frozen=True)
class Need:
    """A unit, and which of its episodes are to be read: [first, stop)."""

    unit: Unit
    first: int
    stop: int


@dataclass(frozen=True)
class Reading:
    """How a run is read.

    Attributes:
        files: by checkpoint and field.
        strip: leave padding out.
        stale: rows of checkpoints that are copies of the one before.
    """

    plan: ReadingPlan
    files: Mapping[int, Mapping[str, Path]]
    strip: bool
    limits: Limits
    stale: Mapping[int, int]


def needs(reading: Reading, start: Size, wanted: Amount) -> tuple[list[Need], bool]:
    """What must be read to add the `wanted` amount to what is stored. It is more than that only where the length of
    padding, still unknown, decides.

    Also returns whether this is certainly enough, whatever units may follow.
    """
    before, stored = (Size(), 0) if reading.limits.skips else (start, start.episodes)
    counted, transitions = before
    found: list[Need] = []
    passed = 0
    for unit in reading.plan.units:
        first = min(len(unit), max(0, stored - passed))
        passed += len(unit)
        slots = unit.slots[first:]
        shortest = np.maximum(1, slots - PADDING) if reading.strip else slots
        count = enough(reading.limits, counted, transitions, shortest)
        if not reading.limits.skips:
            count = min(count, enough(Limits(wanted.episodes), counted, transitions, shortest))
            count = min(count, enough(Limits(None, wanted.states, ALLOW_LAST), counted, transitions, shortest))
        if count:
            found.append(Need(unit, first, first + count))
        counted, transitions = counted + count, transitions + int(shortest[:count].sum())
        if count < len(slots):
            return found, True
    return found, False


def checkpoints_needed(found: Sequence[Need]) -> list[int]:
    """Checkpoints whose frames are read, in the order in which they are first needed."""
    numbers: dict[int, None] = {}
    for need in found:
        numbers |= dict.fromkeys(
            [p.shard for p in need.unit.pieces] if isinstance(need.unit, Across) else [need.unit.shard]
        )
    return list(numbers)


def make_parts(
    reading: Reading,
    found: Sequence[Need],
    start: Size,
    scratch: Path,
    storage: Storage,
    workers: int,
    advance: Callable[[int], None],
) -> Iterator[StoredPart]:
    """The parts of what is needed, in order. Raises InvalidInput for damaged files; finished checkpoints are kept."""
    scratch.mkdir(parents=True, exist_ok=True)
    quota = Quota(reading.limits) if reading.limits.skips else Quota(reading.limits, *start)
    to_pass = start.episodes if reading.limits.skips else 0
    with _running_jobs(jobs_for(reading, found), scratch, storage, workers, advance) as (running, tools):
        for need in found:
            for part in _parts_of(need, reading, running, scratch, tools):
                keep = quota.take(part.lengths)
                taken = np.cumsum(keep)
                keep &= taken > to_pass
                to_pass -= min(to_pass, int(taken[-1]))
                if keep.any():
                    yield part.only(keep, storage)
                if quota.full:
                    return


def make_checkpoints(
    jobs: Sequence[Job], scratch: Path, storage: Storage, workers: int, advance: Callable[[int], None]
) -> None:
    """Make what some jobs leave in `scratch`, for `make_parts` to find there. Raises InvalidInput for damaged files."""
    with _running_jobs(jobs, scratch, storage, workers, advance) as (running, _):
        for job in jobs:
            _wait(job.number, running)


def not_made(jobs: Sequence[Job], scratch: Path) -> list[Job]:
    """Those jobs that have left nothing in `scratch` that can be used."""
    return [job for job in jobs if not is_made(_folder(scratch, job.number), job)]


def jobs_for(reading: Reading, found: Sequence[Need]) -> list[Job]:
    """One job for each checkpoint of which something is needed, in the order in which they are first needed."""
    inside: dict[int, Need] = {}
    pieces: dict[int, set[Piece]] = {}
    for need in found:
        if isinstance(need.unit, Inside):
            inside[need.unit.shard] = need
        else:
            for piece in need.unit.pieces:
                pieces.setdefault(piece.shard, set()).add(piece)
    jobs = []
    for number in checkpoints_needed(found):
        unit = inside[number].unit if number in inside else None
        first, stop = (inside[number].first, inside[number].stop) if number in inside else (0, 0)
        none = np.zeros(0, np.int64)
        own = Inside(number, none, none)
        if isinstance(unit, Inside):
            own = Inside(number, unit.starts[first:stop], unit.stops[first:stop])
        jobs.append(
            Job(
                number,
                reading.files[number],
                own,
                first,
                tuple(sorted(pieces.get(number, ()))),
                reading.strip,
                through=unit is not None and stop == len(unit),
            )
        )
    return jobs


@contextmanager
def _running_jobs(
    jobs: Sequence[Job], scratch: Path, storage: Storage, workers: int, advance: Callable[[int], None]
) -> Iterator[tuple[dict[int, Running], Tools]]:
    """All jobs under way, `workers` at a time; leaving ends them."""
    lock, stop = threading.Lock(), threading.Event()

    def report(rows: int) -> None:
        with lock:
            advance(rows)

    with (
        ThreadPoolExecutor(workers, "finish") as finishers,
        ThreadPoolExecutor(workers * (MOST_BUFFERS - 1), "write") as writers,
        ThreadPoolExecutor(workers, "read") as readers,
    ):
        tools = Tools(storage, writers, finishers, report, stop)
        try:
            yield {job.number: readers.submit(run_job, job, _folder(scratch, job.number), tools) for job in jobs}, tools
        finally:
            stop.set()
            readers.shutdown(cancel_futures=True)


def _folder(scratch: Path, number: int) -> Path:
    return scratch / f"checkpoint-{number:03d}"


def _parts_of(
    need: Need, reading: Reading, running: Mapping[int, Running], scratch: Path, tools: Tools
) -> Iterator[StoredPart]:
    if isinstance(need.unit, Across):
        for piece in need.unit.pieces:
            _wait(piece.shard, running)
        yield _across(need.unit, reading, scratch, tools.storage)
        return
    number = need.unit.shard
    for begin, part in _wait(number, running):
        inside = (np.arange(len(part.lengths)) + begin >= need.first) & (
            np.arange(len(part.lengths)) + begin < need.stop
        )
        if inside.any():
            last = begin + len(part.lengths) == len(need.unit)  # then all of the checkpoint was gone through
            facts: dict[str, int | str] = {"checkpoint": str(number), **(_left_out(number, reading) if last else {})}
            yield replace(part, facts=facts).only(inside, tools.storage)


def _wait(number: int, running: Mapping[int, Running]) -> list[Numbered]:
    """The parts of a checkpoint, when it is read; the failure of any other ends the waiting."""
    while not running[number].done():
        wait([running[number]], timeout=1.0)
        for other in running.values():
            if other.done() and not other.cancelled() and other.exception():
                other.result()
    return running[number].result()


def _left_out(number: int, reading: Reading) -> dict[str, int]:
    """What of a checkpoint is not stored."""
    facts = {
        "dropped_fragments": sum(fragment.shard == number for fragment in reading.plan.dropped),
        DROPPED_ROWS: reading.plan.dropped_rows(number),
        "stale_rows": reading.stale.get(number, 0),
    }
    return {name: value for name, value in facts.items() if value}


def _across(unit: Across, reading: Reading, scratch: Path, storage: Storage) -> StoredPart:
    """The one part of an episode that lies in several checkpoints, from the pieces that their jobs left."""
    numbers = list(dict.fromkeys(piece.shard for piece in unit.pieces))
    folder = scratch / f"across-{unit.pieces[0].shard:03d}-{unit.pieces[0].start}"
    shutil.rmtree(folder, ignore_errors=True)
    builder = PartBuilder(np.empty((rows_needed(int(unit.slots[0]), 1), *FRAME), np.uint8))
    own = {number: read_steps(reading.files[number]) for number in numbers}
    rows = [own[piece.shard].rows(piece.start, piece.stop) for piece in unit.pieces]
    steps = StepArrays(*(np.concatenate(column) for column in zip(*rows, strict=True)))
    frames = _Pieces([piece_frames(_folder(scratch, piece.shard), piece) for piece in unit.pieces])
    builder.add(frames, steps, reading.strip and unit.may_be_padded, unit.extent)
    facts: dict[str, int | str] = {"checkpoint": "-".join(map(str, numbers))}
    facts |= {"stitched_episodes": 1} if len(numbers) > 1 else {"kept_fragments": 1} if unit.extent != "whole" else {}
    return replace(save_episodes(builder, folder, storage), facts=facts)


class _Pieces:
    """Frames of several pieces, one after the other."""

    def __init__(self, arrays: list[UInt8[np.ndarray, "_ 84 84"]]) -> None:
        self._arrays = arrays
        self._at = 0

    def read_into(self, out: UInt8[np.ndarray, "n 84 84"]) -> None:
        filled = 0
        while filled < len(out):
            array = self._arrays[0][self._at : self._at + len(out) - filled]
            out[filled : filled + len(array)] = array
            filled += len(array)
            self._at += len(array)
            if self._at == len(self._arrays[0]):
                self._arrays.pop(0)
                self._at = 0
