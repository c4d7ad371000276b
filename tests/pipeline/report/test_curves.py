"""How the return grows within episodes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pipeline.dataset.reader import EpisodeDataset
from pipeline.dataset.workspace import Workspace
from pipeline.report.curves import curves_of, ranked
from tests.conftest import collected, toy_domain


def test_an_episode_that_is_several_of_them_is_the_first():
    assert ranked(np.array([2.0])) == {0: "highest"}
    assert ranked(np.array([2.0, 1.0])) == {0: "highest", 1: "lowest"}
    assert list(ranked(np.array([1.0, 5.0, 3.0, 2.0])).items()) == [(1, "highest"), (3, "middle"), (0, "lowest")]


def test_a_curve_is_the_sum_of_the_rewards_so_far(tmp_path: Path):
    dataset = EpisodeDataset.of(collected(toy_domain(), Workspace(str(tmp_path)), "maze", episodes=5))
    returns = dataset.per_episode("return").tolist()
    curves = curves_of(dataset)
    assert [curve.sums[-1] for curve in curves] == pytest.approx([max(returns), sorted(returns)[2], min(returns)])
    for curve in curves:
        rewards = dataset[curve.episode].steps["reward"]
        assert (curve.steps[0], curve.steps[-1]) == (0, len(rewards) - 1)
        np.testing.assert_allclose(curve.sums, [rewards[:step].sum() for step in curve.steps])
