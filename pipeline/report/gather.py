"""Gathering what a page shows: its figures, read in blocks."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from functools import partial

import numpy as np
from jaxtyping import Shaped

from pipeline.dataset.reader import EpisodeDataset
from pipeline.dataset.rewards import reward_clipping
from pipeline.domains.actions import action_names
from pipeline.machine.progress import progress
from pipeline.report.actions import actions_of
from pipeline.report.curves import curves_of
from pipeline.report.figures import BINS, Diagnosis, Figures, Match, Place
from pipeline.report.neighbours import lookups_of, search_of
from pipeline.report.pictures import film_of
from pipeline.report.ranges import Range, range_of
from pipeline.report.sources import PageSources
from pipeline.report.tallies import tally
from pipeline.report.videos import shown_episodes
from pipeline.storage.choice import open_arrays
from pipeline.storage.contract import ReadableArray

STRIP = 10
"""Pictures of the typical episode."""
BLOCK_BYTES = 16 * 2**20
"""Of the rows of an array that are in memory at a time."""


def figures_of(sources: PageSources, diagnosis: Diagnosis | None = None) -> Figures:
    """The figures of the page, read in blocks. `diagnosis` is what the doctor says, where it was asked."""
    dataset = sources.dataset
    parameters = sources.artifact.manifest.parameters
    ends = dataset.texts("end_reason")
    _, filmed, _ = film_of(sources)
    shape, dtype = dataset.spec("action")
    return Figures(
        digest=dataset.digest(),
        returns=tuple(dataset.per_episode("return").tolist()),
        lengths=tuple(dataset.lengths.tolist()),
        success=tuple(dataset.per_episode("success").tolist()),
        end_reasons={name: ends.count(name) for name in sorted(set(ends))},
        actions=actions_of(shape, dtype, partial(_blocks, dataset, "action"), action_names(parameters)),
        rewards=tally(partial(_blocks, dataset, "reward"), BINS, without_zeros=True),
        reward_clipping=reward_clipping(parameters),
        curves=curves_of(dataset),
        ranges=tuple(_ranges(sources)),
        strip=strip_of(dataset),
        filmed=filmed,
        videos=shown_episodes(dataset, filmed) if filmed else (),
        search=search_of(sources.retrieved, sources.distances) if sources.retrieved else None,
        diagnosis=diagnosis,
    )


def places_of(sources: PageSources) -> list[Place | Match]:
    """Every row of which the page shows a picture; reads little."""
    places: list[Place | Match] = [*strip_of(sources.dataset)]
    for lookup in lookups_of(sources.retrieved) if sources.retrieved else ():
        places += [lookup.query, *lookup.matches]
    return places


def strip_of(dataset: EpisodeDataset) -> tuple[Place, ...]:
    """Evenly spaced rows, first and last included, of the episode with the median return (the lower one of two).

    Where the source dropped the last observation, the row before it is the last.
    """
    returns = dataset.per_episode("return")
    episode = int(np.argsort(returns, kind="stable")[(len(returns) - 1) // 2])
    last = int(dataset.lengths[episode]) - (not dataset.per_episode("has_final_observation")[episode])
    return tuple(Place(episode, int(row)) for row in np.unique(np.linspace(0, last, STRIP).round().astype(np.int64)))


def _ranges(sources: PageSources) -> Iterator[Range]:
    """Of each array of the observations, and of their embeddings."""
    dataset = sources.dataset
    names = [name for name in dataset.array_names() if name.split("/")[0] == "observation"]
    label = f"{sources.artifact.manifest.task}: ranges"
    with progress("report", label, "states", dataset.states * len(names)) as advance:
        for name in names:
            yield range_of(name, *dataset.spec(name), _counted(_blocks(dataset, name), advance))
    if sources.vectors:
        array = open_arrays(sources.vectors.arrays)["embeddings"]
        yield range_of("embeddings", tuple(array.shape[1:]), np.dtype(array.dtype), _array_blocks(array))


def _blocks(dataset: EpisodeDataset, name: str) -> Iterator[Shaped[np.ndarray, "n ..."]]:
    """A step array at all states, in blocks."""
    shape, dtype = dataset.spec(name)
    step = _rows_of_a_block(shape, dtype)
    for start in range(0, dataset.states, step):
        yield dataset.state_rows(name, start, min(start + step, dataset.states))


def _array_blocks(array: ReadableArray) -> Iterator[Shaped[np.ndarray, "n ..."]]:
    step = _rows_of_a_block(tuple(array.shape[1:]), np.dtype(array.dtype))
    for start in range(0, len(array), step):
        yield array[start : start + step]


def _rows_of_a_block(shape: tuple[int, ...], dtype: np.dtype) -> int:
    return max(1, BLOCK_BYTES // (max(1, math.prod(shape)) * dtype.itemsize))


def _counted(
    blocks: Iterator[Shaped[np.ndarray, "n ..."]], advance: Callable[[int], None]
) -> Iterator[Shaped[np.ndarray, "n ..."]]:
    for block in blocks:
        yield block
        advance(len(block))
