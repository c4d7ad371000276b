"""Which episodes of a dataset have the same content, by their digests."""

from __future__ import annotations

import numpy as np
from jaxtyping import Int64

from pipeline.dataset.reader import EpisodeDataset


def equal_episodes(dataset: EpisodeDataset) -> Int64[np.ndarray, " n"]:
    """A number for each of n episodes, in the order of their digests: equal episodes have the same, from 0 on."""
    words = np.ascontiguousarray(dataset.per_episode("digest")).view(">u8").astype(np.uint64)
    order = np.argsort(words[:, 0], kind="stable")
    same = words[order[1:], 0] == words[order[:-1], 0]
    tied = np.flatnonzero(np.append(same, False) | np.append(False, same))  # few, and sorted by all of their words
    order[tied] = order[tied][np.lexsort(words[order[tied]].T[::-1])]
    ordered = words[order]
    starts = np.ones(len(words), np.int64)
    starts[1:] = np.any(ordered[1:] != ordered[:-1], axis=1)
    numbers = np.empty(len(words), np.int64)
    numbers[order] = np.cumsum(starts) - 1
    return numbers


def repeats_in(dataset: EpisodeDataset) -> int:
    """How many episodes have the same content as an earlier one, seed and infos included."""
    return len(dataset) - int(equal_episodes(dataset).max(initial=-1)) - 1
