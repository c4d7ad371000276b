"""The episodes of a dataset, or of a foreign one, as blocks: read once, some megabytes in memory at a time."""

from __future__ import annotations

import tempfile
from collections.abc import Generator, Iterable, Iterator
from contextlib import closing
from copy import copy
from pathlib import Path
from shutil import rmtree

import numpy as np

from pipeline.dataset.amount import Amount, Size
from pipeline.dataset.parts import ENDS, PART_EPISODES, READ_BYTES, pack, runs_of
from pipeline.dataset.reader import EpisodeDataset
from pipeline.doctor.block import EpisodeBlock
from pipeline.episode import Episode
from pipeline.errors import PipelineError
from pipeline.machine.ahead import ahead
from pipeline.sources.contract import BulkSource, Source
from pipeline.storage.choice import open_arrays
from pipeline.storage.contract import Storage

BLOCK_BYTES = 2 * READ_BYTES
"""Raw bytes of a block, of which two are in memory: one is seen, and one is read."""

BlockStream = Generator[EpisodeBlock, None, None]


def stored_blocks(dataset: EpisodeDataset) -> BlockStream:
    """The episodes of a dataset of ours; a thread beside reads the next block."""
    yield from ahead(_stored(copy(dataset)))  # the thread opens files of its own


def _stored(dataset: EpisodeDataset) -> Iterator[EpisodeBlock]:
    count = len(dataset)
    for part, (numbers, arrays) in enumerate(dataset.parts_between(0, count)):
        first = numbers.start
        for run in runs_of(arrays, 0, min(count - first, len(numbers)), BLOCK_BYTES):
            yield EpisodeBlock(first, part, run)
            first += len(run[ENDS])


def foreign_blocks(
    source: Source | BulkSource, domain: str, task: str, amount: Amount, storage: Storage, workers: int
) -> BlockStream:
    """The episodes of a foreign dataset, as its door reads them. Nothing of them is kept."""
    if isinstance(source, BulkSource):
        yield from _of_parts(source, domain, task, amount, storage, workers)
    else:
        yield from ahead(_packed(_wanted(source.episodes(domain, task), amount)))


def _wanted(episodes: Iterable[Episode], amount: Amount) -> Iterator[Episode]:
    """As many as are asked for."""
    count = states = 0
    for episode in episodes:
        if amount.met(Size(count, states)):
            return
        yield episode
        count, states = count + 1, states + episode.length


def _packed(episodes: Iterable[Episode]) -> Iterator[EpisodeBlock]:
    """BlockStream of about as many bytes as are read of a part at a time."""
    first, number, size, waiting = 0, 0, 0, list[Episode]()
    broken: PipelineError | None = None
    try:
        for episode in episodes:
            waiting.append(episode)
            size += episode.nbytes
            if size >= BLOCK_BYTES or len(waiting) >= PART_EPISODES:
                yield EpisodeBlock(first, number, pack(waiting))
                first, number, size, waiting = first + len(waiting), number + 1, 0, []
    except PipelineError as error:
        broken = error
    if waiting:  # what was read before a fault is looked at, too
        yield EpisodeBlock(first, number, pack(waiting))
    if broken:
        raise broken


def _of_parts(
    source: BulkSource, domain: str, task: str, amount: Amount, storage: Storage, workers: int
) -> Iterator[EpisodeBlock]:
    """What a source writes as parts lies in a temporary folder, a part at a time, until it was looked at."""
    have = Size()
    with tempfile.TemporaryDirectory(prefix="doctor-") as folder:
        scratch = Path(folder)
        with closing(source.parts(domain, task, scratch, storage, have, amount, workers)) as parts:
            for number, part in enumerate(parts):
                needed = int(np.count_nonzero(amount.needed(have, part.lengths)))
                first = have.episodes
                for run in runs_of(open_arrays(part.folder), 0, needed, BLOCK_BYTES):
                    yield EpisodeBlock(first, number, run)
                    first += len(run[ENDS])
                rmtree(part.folder)
                have = Size(first, have.states + int(part.lengths[:needed].sum()))
                if amount.met(have):
                    return
