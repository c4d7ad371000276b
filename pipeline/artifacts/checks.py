"""Checks of finished artifacts: checksums of files, digests of content, invariants of each kind."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from pipeline.artifacts.artifact import ARRAYS, MANIFEST, Artifact
from pipeline.dataset.reader import EpisodeDataset
from pipeline.digest import ArrayDigest, combine, digest_file
from pipeline.errors import InvalidInput
from pipeline.machine.files import files_below
from pipeline.frames.store import DIGESTS, Frames, episode_digest, pixel_digest
from pipeline.frames.png import decode_png
from pipeline.storage.contract import blocks, open_arrays


def damaged_files(artifact: Artifact) -> Iterator[str]:
    """Files that are missing, changed, or not in the manifest."""
    listed = artifact.manifest.files
    for name, record in listed.items():
        path = artifact.path / name
        if not path.is_file():
            yield f"{name} is missing"
        elif path.stat().st_size != record["size"]:
            yield f"{name} has {path.stat().st_size} bytes, the manifest says {record['size']}"
        elif digest_file(path) != record["blake3"]:
            yield f"{name} has other bytes than when it was made"
    if not artifact.manifest.parts:  # a dataset may hold parts that have grown; stage=gc lists them
        for path in files_below(artifact.path):
            name = path.relative_to(artifact.path).as_posix()
            if name not in listed and name != MANIFEST:
                yield f"{name} is not in the manifest"


def wrong_arrays(artifact: Artifact) -> Iterator[str]:
    """Arrays whose content does not give the manifest's digest."""
    if not (artifact.path / ARRAYS).is_dir():
        return
    arrays = open_arrays(artifact.arrays)
    digests = {}
    for name, array in arrays.items():
        digest = ArrayDigest(name, array.dtype, array.shape)
        for block in blocks(array):
            digest.update(block)
        digests[name] = digest.digest()
    if combine(digests[name] for name in sorted(digests)) != artifact.manifest.digest:
        yield "the arrays' content does not give the manifest's digest"


def wrong_frames(artifact: Artifact) -> Iterator[str]:
    """Pictures that are none, or whose pixels do not give their episode's digest."""
    frames, stored = Frames(artifact), open_arrays(artifact.arrays)[DIGESTS][:]
    for number, episode in enumerate(frames):
        try:
            pictures = [decode_png(episode[row]) for row in range(len(episode))]
        except InvalidInput as error:
            yield f"a picture of episode {number} cannot be read: {error}"
            continue
        if episode_digest(map(pixel_digest, pictures)) != episode.digest:
            yield f"the pictures of episode {number} do not match their digest"
    digest = ArrayDigest(DIGESTS, stored.dtype, stored.shape)
    digest.update(stored)
    if combine([digest.digest()]) != artifact.manifest.digest:
        yield "the pictures' digests do not give the manifest's digest"


def wrong_episodes(artifact: Artifact) -> Iterator[str]:
    """Episodes whose content does not give their digest, and counts that do not add up."""
    dataset = EpisodeDataset(artifact.path, artifact.manifest.parts)
    digests, returns = dataset.per_episode("digest"), dataset.per_episode("return")
    for number, episode in enumerate(dataset):
        if episode.digest() != digests[number].tobytes():
            yield f"episode {number} does not match its digest"
        if not math.isclose(episode.total_reward, returns[number], rel_tol=0, abs_tol=0):
            yield f"episode {number} has return {episode.total_reward}, stored is {returns[number]}"
    if dataset.digest() != artifact.manifest.digest:
        yield "the episodes' digests do not give the manifest's digest"
    for name, value in {"episodes": len(dataset), "states": dataset.states}.items():
        if artifact.manifest.counts[name] != value:
            yield f"the manifest counts {artifact.manifest.counts[name]} {name}, the parts hold {value}"


def wrong_neighbours(artifact: Artifact, episodes: EpisodeDataset) -> Iterator[str]:
    """Neighbours outside the query's pool, or of the query's own episode."""
    arrays = open_arrays(artifact.arrays)
    pool = arrays["pool"][:]
    by_mission = "query_pool" in arrays
    ends = arrays["pool_ends"][:] if by_mission else np.array([len(pool)])
    owner_of = np.full(episodes.states, -1)
    owner_of[pool] = np.repeat(np.arange(len(ends)), np.diff(ends, prepend=0))
    single = any(warning.startswith("One query episode") for warning in artifact.manifest.warnings)
    start = 0
    for block in blocks(arrays["neighbours"], 65_536):
        stop = start + len(block)
        states = (arrays["queries"][start:stop] if by_mission else np.arange(start, stop))[:, None]
        owners = arrays["query_pool"][start:stop][:, None] if by_mission else 0
        inside = (block >= 0) & (block < episodes.states)
        if not (inside & (owner_of[np.where(inside, block, 0)] == owners)).all():
            yield f"queries {start} to {stop} have neighbours outside their pool"
        own = block == states if single else _episode(episodes, block) == _episode(episodes, states)
        if own.any():
            yield f"query {start + int(np.argwhere(own)[0][0])} has a neighbour of its own episode"
        start = stop


def wrong_distances(artifact: Artifact) -> Iterator[str]:
    """Distances that are negative or not finite, or not 0 from the first neighbour to itself."""
    for number, block in enumerate(blocks(open_arrays(artifact.arrays)["distances"], 65_536)):
        if not np.isfinite(block).all() or (block < 0).any():
            yield f"block {number} of distances holds negative or not finite values"
        if block[:, 0].any():
            yield f"block {number}: the distance of the first neighbour to itself is not 0"


def wrong_bins(folder: Path, shapes: dict[str, list[int]], row_lengths: np.ndarray, rows: np.ndarray) -> Iterator[str]:
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


def _episode(episodes: EpisodeDataset, states: np.ndarray) -> np.ndarray:
    return np.searchsorted(episodes.state_ends, states, "right")
