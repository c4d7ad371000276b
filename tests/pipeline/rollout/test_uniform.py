"""Uniform steps make the episode that the same steps make one by one."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.dataset.columns import RowSpec
from pipeline.exact import stored_as_is
from pipeline.rollout.builder import EpisodeBuilder
from pipeline.rollout.uniform import UniformSteps

FIRST = np.float32([1, 2])
INFOS = ({}, {"x": 0.5}, {"x": np.float32(0.1), "word": "on", "none": None, "large": 2**63, "whole": 1, "is": True})


def steps(info, count, ended=(False, False), dtype=np.float32):
    """Actions, observations and rewards 0, 1, 2, ..."""
    found = UniformSteps(RowSpec(np.dtype(np.int64), ()), FIRST.astype(dtype), info, map(type, info.values()))
    for k in range(count):
        end = ended if k == count - 1 else (False, False)
        found.rows += [np.int64(k).tobytes(), np.full(2, k, dtype).tobytes(), float(k), end, *info.values()]
    return found


def one_by_one(info, count, ended):
    building = EpisodeBuilder(FIRST, 3, "go", {"told": 1})
    for k in range(count):
        end = ended if k == count - 1 else (False, False)
        building.add_step(np.int64(k), np.full(2, k, np.float32), float(k), *end, info=info)
    return building


@pytest.mark.parametrize("ended", [(True, False), (False, True), (True, True)])
@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize("info", INFOS)
def test_an_episode_of_uniform_steps_alone(info, count, ended):
    building, other = EpisodeBuilder(FIRST, 3, "go", {"told": 1}), one_by_one(info, count, ended)
    assert building.build_uniform(steps(info, count, ended)).digest() == other.build().digest()
    assert building.notes == other.notes


@pytest.mark.parametrize("ended", [(False, False), (True, False), (False, True)])
@pytest.mark.parametrize("info", INFOS)
def test_uniform_steps_taken_apart_follow_others(info, ended):
    building, other = one_by_one(info, 2, (False, False)), one_by_one(info, 2, (False, False))
    taken = steps(info, 3, ended)
    building.extend(*taken.apart(), *taken.ended)
    for k in range(3):
        end = ended if k == 2 else (False, False)
        other.add_step(np.int64(k), np.full(2, k, np.float32), float(k), *end, info=info)
    assert len(taken) == 3
    assert building.has_ended == any(ended)
    assert building.build().digest() == other.build().digest()


@pytest.mark.parametrize(("dtype", "uniform"), [("f4", True), ("?", True), (">f4", False), ("c8", False), ("O", False)])
def test_bytes_of_some_types_are_not_what_is_stored(dtype, uniform):
    assert stored_as_is(np.dtype(dtype)) == uniform
