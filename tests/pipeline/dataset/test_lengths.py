"""Typical lengths in words."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pipeline.dataset.lengths import length_words
from pipeline.dataset.reader import EpisodeDataset
from pipeline.dataset.workspace import Workspace
from tests.conftest import made_episode
from tests.contracts.format import Listed, ingested


@pytest.mark.parametrize(
    ("lengths", "cut", "words"),
    [
        ([7], 0, "7"),
        ([7, 7, 7], 0, "7"),
        ([*range(1, 102)], 0, "51 (6-96)"),
        ([2000, 3, 5], 0, "5 (3-2,000)"),
        ([9, 2, 2], 2, "9"),
        ([20, 20, 8], 3, "cut at 20"),
    ],
)
def test_lengths_are_told_without_those_that_were_cut(lengths: list[int], cut: int, words: str, tmp_path: Path):
    rng, whole = np.random.default_rng(0), len(lengths) - cut
    ends = ["time_limit"] * whole + ["budget"] * cut
    episodes = [
        made_episode(rng, length, width=1, truncated=True, end_reason=end)
        for length, end in zip(lengths, ends, strict=True)
    ]
    listed = ingested(Listed(episodes), Workspace(str(tmp_path), "bin"))
    assert length_words(EpisodeDataset.of(listed)) == words
