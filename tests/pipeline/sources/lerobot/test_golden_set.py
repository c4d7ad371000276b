"""A set that LeRobot 0.4.4's own writer made, three episodes of two tasks, is what was given to that writer."""

from __future__ import annotations

import hashlib
import tarfile
from pathlib import Path

import numpy as np
import pytest

from pipeline.sources.lerobot.source import LeRobotSource

GOLDEN = Path(__file__).with_name("golden.tar.xz")

GIVEN = {
    "observation/state": "43997c3b97d245e2e6498a9cd194bc55e628eb91aeba097934fe562ec0dc4258",
    "observation/images/wrist": "63dabee64497813074eab262d573dd07b359c8a76bc247c9fbd476b48304ad70",
    "action": "b3426df8e99a76630160eb6ab6c0d5c780641ff77233ab8e1cdd6f2de597d434",
    "reward": "248be8b762c201325af8558dc089dfe6f4ac9b0fcfaf79d988d72554aff1ea90",
}
"""SHA-256 of all rows that the writer was given, one episode after the other."""


@pytest.fixture(scope="module")
def golden(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("golden")
    with tarfile.open(GOLDEN) as archive:
        archive.extractall(folder, filter="data")
    return folder


def test_what_lerobot_wrote_is_what_it_was_given(golden):
    episodes = list(LeRobotSource(str(golden), done="terminated").episodes("toy", "corner"))
    assert [episode.length for episode in episodes] == [7, 5, 9]
    assert [episode.mission for episode in episodes] == ["push the cube", "lift it", "push the cube"]
    assert all(episode.terminated and not episode.has_final_observation for episode in episodes)
    for name, digest in GIVEN.items():
        rows = np.concatenate([episode.steps[name][:-1] for episode in episodes])
        rows = rows.astype(np.float32) if name == "reward" else rows
        assert hashlib.sha256(rows.tobytes()).hexdigest() == digest, name


def test_its_count_and_its_identity_are_told_without_reading_a_row(golden):
    source = LeRobotSource(str(golden))
    assert source.count("toy", "corner") == 3
    assert "made_from" not in source.identity("toy", "corner")
