"""What is wrong with the artifacts of the chain: invariants of neighbours, distances and bins."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from jaxtyping import Int, Int64

from pipeline.artifacts.artifact import Artifact
from pipeline.dataset.reader import EpisodeDataset
from pipeline.regent.pools import SINGLE_EPISODE
from pipeline.storage.choice import open_arrays
from pipeline.storage.contract import blocks


def wrong_neighbours(artifact: Artifact, episodes: EpisodeDataset) -> Iterator[str]:
    """Neighbours outside the query's pool, or of the query's own episode."""
    arrays = open_arrays(artifact.arrays)
    pool, count = arrays["pool"][:], arrays["neighbours"].shape[0]
    queries, query_pool, ends = np.arange(count), np.zeros(count, np.int32), np.array([len(pool)])
    if "query_pool" in arrays:  # each mission has a pool of its own
        queries, query_pool, ends = (arrays[name][:] for name in ("queries", "query_pool", "pool_ends"))
    owner_of = np.full(episodes.states, -1)
    owner_of[pool] = np.repeat(np.arange(len(ends)), np.diff(ends, prepend=0))
    single = is_single_episode(artifact, episodes)
    start = 0
    for block in blocks(arrays["neighbours"], 65_536):
        stop = start + len(block)
        states, owners = queries[start:stop, None], query_pool[start:stop, None]
        inside = (block >= 0) & (block < episodes.states)
        if not (inside & (owner_of[np.where(inside, block, 0)] == owners)).all():
            yield f"queries {start} to {stop} have neighbours outside their pool"
        own = block == states if single else _episode(episodes, block) == _episode(episodes, states)
        if own.any():
            yield f"query {start + int(np.argwhere(own)[0][0])} has a neighbour of its own episode"
        start = stop


def is_single_episode(artifact: Artifact, episodes: EpisodeDataset) -> bool:
    """Whether all queries of a retrieval are of one episode: then a query leaves out itself alone.

    Manifests of before this was written down are answered by their arrays: queries are the leading states, and of
    missions each query leaves out its episode.
    """
    if SINGLE_EPISODE in artifact.manifest.facts:
        return bool(artifact.manifest.facts[SINGLE_EPISODE])
    arrays = open_arrays(artifact.arrays)
    return "query_pool" not in arrays and arrays["neighbours"].shape[0] <= episodes.lengths[0]


def wrong_distances(artifact: Artifact) -> Iterator[str]:
    """Distances that are negative or not finite, or not 0 from the first neighbour to itself."""
    for number, block in enumerate(blocks(open_arrays(artifact.arrays)["distances"], 65_536)):
        if not np.isfinite(block).all() or (block < 0).any():
            yield f"block {number} of distances holds negative or not finite values"
        if block[:, 0].any():
            yield f"block {number}: the distance of the first neighbour to itself is not 0"


def wrong_bins(
    folder: Path, shapes: dict[str, list[int]], row_lengths: Int[np.ndarray, "all_rows"], rows: Int[np.ndarray, "rows"]
) -> Iterator[str]:
    """Indices that point at padding or rows that are not there, or whose last entry does not enumerate the states.

    `row_lengths` are those of all rows of the dataset, `rows` the ones that the bins hold.
    """
    shape = tuple(shapes["indices"])
    indices = np.memmap(folder / "indices.bin", "<i4", "r", shape=shape)
    if len(rows) != shapes["rewards"][0] or (len(rows) and rows.max() >= len(row_lengths)):
        yield f"the lookup has {len(rows)} rows of {len(row_lengths)}, rewards.bin has {shapes['rewards'][0]}"
        return
    lengths = row_lengths[rows]
    own = np.repeat(rows, lengths)
    columns = np.arange(len(own)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    if len(own) != shape[0]:
        yield f"indices.bin has {shape[0]} states, the rows hold {len(own)}"
        return
    for start in range(0, shape[0], 65_536):
        block = indices[start : start + 65_536]
        stop = start + len(block)
        if (block[:, -1, 0] != own[start:stop]).any() or (block[:, -1, 1] != columns[start:stop]).any():
            yield f"indices.bin: the last entry of states {start} to {stop} is not the state itself"
        inside = (block[..., 0] >= 0) & (block[..., 0] < len(row_lengths)) & (block[..., 1] >= 0)
        real = inside & (block[..., 1] < row_lengths[np.where(inside, block[..., 0], 0)])
        real &= np.isin(block[..., 0], rows)
        if not real.all():
            yield f"indices.bin: states {start} to {stop} point at padding or missing rows"


def _episode(episodes: EpisodeDataset, states: Int[np.ndarray, "*shape"]) -> Int64[np.ndarray, "*shape"]:
    """The episode of each flat state."""
    return np.searchsorted(episodes.state_ends, states, "right")
