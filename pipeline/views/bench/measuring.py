"""How fast random windows are read: batches a second, warm and cold, what they cost in memory, and what a training step
waits for them.
"""

from __future__ import annotations

import gc
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.views.bench.readers import Draws, PlaceReader
from pipeline.views.bench.training import Trainer
from pipeline.views.loader import Loader

LoadedBatch = Mapping[str, Any]
"""Arrays or tensors (n, length, ...) by name."""


@dataclass(frozen=True)
class ViewFeed:
    """One of our views, which gives batches of windows without end.

    Attributes:
        name: of the reader; `words` say to people what it is.
        places: the files and folders that it reads; the first holds the data.
        states: how many states lie there.
        make: opens it anew.
        in_workers: whether it can be read in forked worker processes.
    """

    name: str
    words: str
    places: tuple[Path, ...]
    states: int
    make: Callable[[], Any] = field(repr=False)
    in_workers: bool = True

    def batches(self, size: int, workers: int) -> Iterator[LoadedBatch]:
        """Batches of `size` windows, read by so many worker processes, in this one where there are none."""
        view, start = self.make(), 0
        while not workers:
            yield view.batch(np.arange(start, start + size))
            start += size
        with closing(Loader(view, size, workers, context="fork")) as loader:
            while True:
                yield from loader


@dataclass(frozen=True)
class PlaceFeed:
    """A reader of windows at places that are drawn here; see `ViewFeed`."""

    name: str
    words: str
    places: tuple[Path, ...]
    states: int
    draws: Draws = field(repr=False)
    make: Callable[[], PlaceReader] = field(repr=False)
    in_workers: bool = True

    def batches(self, size: int, workers: int) -> Iterator[LoadedBatch]:
        """As those of `ViewFeed`."""
        reader, rng = self.make(), np.random.default_rng(0)
        while not workers:
            yield reader.read(*self.draws.random(rng, size))
        from torch.utils.data import DataLoader

        batches: Any = ReadBatches(reader, self.draws)
        places: Any = RandomBatches(size, len(self.draws))
        yield from DataLoader(batches, batch_sampler=places, num_workers=workers, collate_fn=_first)


Feed = ViewFeed | PlaceFeed


class ReadBatches:
    """A map-style dataset for torch over a reader."""

    def __init__(self, reader: PlaceReader, draws: Draws) -> None:
        self._reader, self._draws = reader, draws

    def __getitems__(self, places: list[int]) -> list[LoadedBatch]:
        """One batch."""
        return [self._reader.read(*self._draws.at(np.asarray(places)))]

    def __len__(self) -> int:
        return len(self._draws)


@dataclass(frozen=True)
class RandomBatches:
    """Endless batches of random places, for a loader."""

    size: int
    of: int

    def __iter__(self) -> Iterator[list[int]]:
        rng = np.random.default_rng(0)
        while True:
            yield rng.integers(self.of, size=self.size).tolist()


def _first(batches: list[LoadedBatch]) -> LoadedBatch:
    import torch

    return {name: torch.from_numpy(array) for name, array in batches[0].items()}


@dataclass(frozen=True)
class Loading:
    """What was measured of one reader.

    Attributes:
        name, words: of the reader.
        workers: processes that read.
        cache: `warm` or `cold`: whether the files lay in the page cache.
        windows: windows a second.
        nbytes: bytes of one window in a batch.
        stored: bytes on disk of one state, all its arrays together.
        memory: bytes that reading took, of this process and the workers, without the page cache; None where this system
            does not say.
        waiting: share of a training step in which it waited for its batch, 0 to 1; None where that was not measured.
    """

    name: str
    words: str
    workers: int
    cache: str
    windows: float
    nbytes: int
    stored: float
    memory: int | None = None
    waiting: float | None = None

    def as_json(self) -> dict[str, Any]:
        """For `figures.json`."""
        return asdict(self)


def measured(
    feed: Feed, size: int, workers: int, seconds: float, trainer: Trainer | None = None, stored: float | None = None
) -> Loading:
    """How fast a reader is with its files in the page cache, and what a training step waits for it."""
    gc.collect()
    before = held_memory()
    with closing(feed.batches(size, workers)) as batches:  # type: ignore[type-var]
        for _ in range(1 + 2 * workers):  # what workers have read ahead took no time here
            batch = next(batches)
        windows, spent, nbytes = _timed(batches, seconds)
        after = held_memory()
        waiting = trainer.waiting(batches, seconds, workers) if trainer else None
        del batch
    memory = None if before is None or after is None else max(after - before, 0)
    return Loading(
        feed.name, feed.words, workers, "warm", windows / spent, nbytes // size,
        stored_bytes(feed) if stored is None else stored, memory, waiting,
    )  # fmt: skip


def measured_cold(feed: Feed, size: int, seconds: float, length: int) -> Loading | None:
    """How fast a reader is in this process when nothing of its files is in the page cache: until it has read about half
    of them, or `seconds` are over. None where this system keeps them in memory.
    """
    gc.collect()  # what is still mapped stays
    if not drop_cached(feed.places):
        return None
    with closing(feed.batches(size, 0)) as batches:  # type: ignore[type-var]
        windows, spent, nbytes = _timed(batches, seconds, max(feed.states // length // 2, size))
    return Loading(feed.name, feed.words, 0, "cold", windows / spent, nbytes // size, stored_bytes(feed))


def _timed(batches: Iterator[LoadedBatch], seconds: float, most: float = float("inf")) -> tuple[int, float, int]:
    """Windows, the seconds that they took, and the bytes of a batch."""
    windows, nbytes, start = 0, 0, time.perf_counter()
    while windows < most and (not windows or time.perf_counter() - start < seconds):
        batch = next(batches)
        windows += len(next(iter(batch.values())))
        nbytes = nbytes or sum(each.nbytes for each in batch.values())
    return windows, time.perf_counter() - start, nbytes


def stored_bytes(feed: Feed) -> float:
    """Bytes on disk of one state."""
    return sum(path.stat().st_size for path in files_of(feed.places[:1])) / max(feed.states, 1)


def files_of(places: Sequence[Path]) -> list[Path]:
    """The files among them, and all files below the folders among them."""
    below = (place.rglob("*") if place.is_dir() else [place] for place in places)
    return [path for paths in below for path in paths if path.is_file()]


def drop_cached(places: Sequence[Path]) -> bool:
    """Drop files from the page cache; False where the largest of the first place stays, as on any system but Linux."""
    if not (hasattr(os, "posix_fadvise") and hasattr(os, "RWF_NOWAIT")):
        return False
    for path in files_of(places):
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
            os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_DONTNEED)
        finally:
            os.close(handle)
    return not _is_cached(max(files_of(places[:1]), key=lambda path: path.stat().st_size))


def _is_cached(path: Path) -> bool:
    """Whether the middle of a file can be read without waiting for the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.preadv(handle, [bytearray(1)], path.stat().st_size // 2, os.RWF_NOWAIT)
    except BlockingIOError:
        return False
    except OSError:  # this file system cannot tell: what was asked for is believed
        return False
    finally:
        os.close(handle)
    return True


def held_memory() -> int | None:
    """Bytes of memory of this process and its children, what they share counted once, without mapped files."""
    try:
        own = os.getpid()
        children = [
            text for task in Path("/proc/self/task").iterdir() for text in (task / "children").read_text().split()
        ]
        return sum(_private(Path(f"/proc/{pid}/smaps_rollup")) for pid in (own, *children))
    except OSError:  # another system than Linux, or a child that has just ended
        return None


def _private(path: Path) -> int:
    lines = (line.split() for line in path.read_text().splitlines())
    return 1024 * sum(int(words[1]) for words in lines if words[0] in ("Pss_Anon:", "Pss_Shmem:"))
