"""Whether an artifact of the chain was made of what its parents hold now.

A child that kept which files it read needs no more than that. For others, and where the parent was made again since,
its numbers are compared with the parent's, or some of them, spread over all, are computed again.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
from jaxtyping import Float64, Int, Shaped

from pipeline.artifacts.artifact import EPISODES, Artifact
from pipeline.artifacts.store import ArtifactStore
from pipeline.dataset.reader import EpisodeDataset
from pipeline.digest import combine
from pipeline.embedding.artifact import EMBEDDINGS
from pipeline.machine.files import read_json
from pipeline.regent.bins import SHAPES, RowArray, as_compared, bin_dtype, context_indices, read_lookup, row_blocks
from pipeline.regent.chain import bins_name
from pipeline.regent.checks import is_single_episode
from pipeline.regent.distances import context_distances
from pipeline.regent.observed import stored_array
from pipeline.regent.parquet import column_digest, columns_of
from pipeline.regent.rows import ReadStates, RowLayout, read_states
from pipeline.storage.contract import blocks

SAMPLE = 512
"""So many queries are computed again."""

CLOSE = 1e-3
"""Distances that differ by less of the largest are alike: earlier programs rounded vectors elsewhere."""

OBSERVATIONS = ("continuous_observations", "discrete_observations")
ACTIONS = ("continuous_actions", "discrete_actions")


def made_of_others(child: Artifact, parents: Mapping[str, Artifact], store: ArtifactStore) -> Iterator[str]:
    """What of a child was not made of these parents, by their kind; only parents that are there are compared."""
    kind = child.manifest.kind
    if kind == "parquet" and "bins" in parents:
        yield from other_parquet(child, parents["bins"])
    retrieval = child if kind == "retrieval" else parents.get("retrieval")
    if retrieval is None or EPISODES not in parents:
        return
    dataset = EpisodeDataset.of(parents[EPISODES])
    embedded = [parent for parent in retrieval.parents if parent.kind == EMBEDDINGS]
    embeddings = [each for parent in embedded for each in store.holding(retrieval, parent)]
    if embedded and not embeddings:
        return
    read = vectors_of(dataset, embeddings[0] if embedded else None)
    if kind == "retrieval":
        yield from other_neighbours(child, dataset, read)
    if kind == "distances":
        yield from other_distances(child, retrieval, read)
    if kind == "bins" and "distances" in parents:
        yield from other_bins(child, retrieval, parents["distances"], dataset, read)


def vectors_of(dataset: EpisodeDataset, embeddings: Artifact | None) -> ReadStates:
    """Reads the vectors that are compared: the embeddings, or the observations themselves."""
    if embeddings is not None:
        array = embeddings.open()[EMBEDDINGS]
        return lambda start, stop: array[start:stop]
    return lambda start, stop: as_compared(dataset.state_rows("observation", start, stop).reshape(stop - start, -1))


def other_neighbours(retrieval: Artifact, dataset: EpisodeDataset, read: ReadStates) -> Iterator[str]:
    """A query whose neighbours are not the nearest of its pool."""
    arrays = retrieval.open()
    neighbours, pool = arrays["neighbours"], arrays["pool"][:]
    queries, owners, ends = queries_of(retrieval), np.zeros(len(neighbours), np.int64), np.array([len(pool)])
    if "query_pool" in arrays:
        owners, ends = arrays["query_pool"][:], arrays["pool_ends"][:]
    single, metric = is_single_episode(retrieval, dataset), retrieval.manifest.parameters["metric"]
    episode = np.searchsorted(dataset.state_ends, np.arange(dataset.states), "right")
    sample = _spread(len(neighbours))
    for number in np.unique(owners[sample]):
        states = np.sort(pool[ends[number - 1] if number else 0 : ends[number]])
        vectors = read_states(read, states).astype(np.float64)
        for query in sample[owners[sample] == number]:
            state = int(queries[query])
            distances = _distances(vectors, read(state, state + 1)[0].astype(np.float64), metric)
            allowed = states != state if single else episode[states] != episode[state]
            nearest = np.sort(distances[allowed])[: neighbours.shape[1]]
            found = np.sort(distances[np.searchsorted(states, neighbours[query : query + 1][0])])[: len(nearest)]
            if not np.allclose(found, nearest, rtol=CLOSE, atol=CLOSE * float(distances.max())):
                yield f"query {query} has nearer states in its pool than its neighbours: its parents hold others"
                return


def other_distances(distances: Artifact, retrieval: Artifact, read: ReadStates) -> Iterator[str]:
    """A query whose distances are not those of its neighbours."""
    neighbours, stored = retrieval.open()["neighbours"], distances.open()["distances"]
    if len(neighbours) != len(stored):
        yield f"it has distances of {len(stored)} queries, its parent retrieval has {len(neighbours)}"
        return
    queries, pooled = queries_of(retrieval), np.unique(retrieval.open()["pool"][:])
    sample = _spread(len(stored))
    places = np.searchsorted(pooled, np.concatenate([neighbours[query : query + 1] for query in sample]))
    again = context_distances(
        read_states(read, pooled), read_states(read, queries[sample]), places, retrieval.manifest.parameters["metric"]
    )
    there = np.concatenate([stored[query : query + 1] for query in sample])
    wrong = ~np.isclose(there, again, rtol=CLOSE, atol=CLOSE * float(again.max())).all(axis=1)
    if wrong.any():
        yield f"query {sample[wrong][0]} has other distances than its neighbours have: its parents hold something else"


def other_bins(
    bins: Artifact, retrieval: Artifact, distances: Artifact, dataset: EpisodeDataset, read: ReadStates
) -> Iterator[str]:
    """Files of bins that hold something else than the parents do; pictures and missions' tokens are not compared."""
    folder = bins.path / bins_name(bins)
    shapes = read_json(folder / SHAPES)
    layout, rows = RowLayout(dataset.lengths, shapes["rewards"][1]), read_lookup(folder)
    columns = _columns(bins)
    queries, start = queries_of(retrieval), 0
    for found, measured in zip(
        blocks(retrieval.open()["neighbours"], 16_384), blocks(distances.open()["distances"], 16_384), strict=True
    ):
        stop = start + len(found)
        if not np.array_equal(columns["indices"][start:stop], context_indices(found, queries[start:stop], layout)):
            yield f"indices.bin of the queries {start} to {stop} is not of the neighbours that its parent holds"
        if not np.array_equal(columns["distances"][start:stop], measured):
            yield f"distances.bin of the queries {start} to {stop} is not what its parent holds"
        start = stop
    for array in _row_arrays(columns, dataset, read):
        start = 0
        for block in row_blocks(array, layout, rows):
            there = columns[array.key][start : start + len(block)]
            if array.key in OBSERVATIONS:
                there = there[..., : block.shape[-1]]  # the mission's tokens follow
            if not np.array_equal(there, block):
                yield f"{array.key}.bin: rows {start} to {start + len(block)} are not those of the episodes"
            start += len(block)


def other_parquet(parquet: Artifact, bins: Artifact) -> Iterator[str]:
    """Columns that are not those of the bins."""
    columns = _columns(bins)
    digests = {}
    for listed in parquet.manifest.arrays:
        key = listed["name"].split("/")[-1]
        if key not in columns:
            yield f"it has the column {key}, its parent bins does not"
            return
        digests[listed["name"]] = column_digest(key, columns[key])
    if combine(digests[name] for name in sorted(digests)) != parquet.manifest.digest:
        yield "its columns are not those that its parent bins holds"


def queries_of(retrieval: Artifact) -> Int[np.ndarray, "queries"]:
    """The flat states that retrieve."""
    arrays = retrieval.open()
    return arrays["queries"][:] if "queries" in arrays else np.arange(len(arrays["neighbours"]))


def _row_arrays(
    columns: Mapping[str, Shaped[np.ndarray, "..."]], dataset: EpisodeDataset, read: ReadStates
) -> Iterator[RowArray]:
    """The arrays of bins that can be read out of the episodes, or out of their embeddings."""
    yield stored_array(dataset, "reward")
    if any(key in columns for key in ACTIONS):
        yield stored_array(dataset, "action")
    width = read(0, 1).shape[-1]
    for key in columns:
        if key in OBSERVATIONS or key.startswith("embeddings_"):
            yield RowArray(key, (width,), bin_dtype(columns[key].dtype), read)


def _columns(bins: Artifact) -> dict[str, Shaped[np.ndarray, "n *shape"]]:
    """The bin files as memory maps, by key."""
    folder = bins.path / bins_name(bins)
    dtypes = {array["name"]: np.dtype(array["dtype"]) for array in bins.manifest.arrays}
    return columns_of(folder, dtypes, read_json(folder / SHAPES))


def _spread(count: int) -> Int[np.ndarray, "sample"]:
    """Ascending queries, spread evenly over all."""
    return np.unique(np.linspace(0, count - 1, min(count, SAMPLE)).round().astype(np.int64))


def _distances(
    vectors: Float64[np.ndarray, "n d"], query: Float64[np.ndarray, "d"], metric: str
) -> Float64[np.ndarray, "n"]:
    if metric == "l2":
        found: np.ndarray = np.linalg.norm(vectors - query, axis=1)
        return found
    lengths = np.linalg.norm(vectors, axis=1) * np.linalg.norm(query)
    return np.where(lengths == 0, 1.0, 1.0 - vectors @ query / np.where(lengths == 0, 1.0, lengths))
