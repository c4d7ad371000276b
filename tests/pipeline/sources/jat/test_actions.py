"""Actions that an environment does not have are refused; forces that it cuts are counted."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pipeline.envs.mujoco import NAMES, MuJoCo
from pipeline.sources.jat.actions import FORCES, OTHER_FORCES
from pipeline.sources.jat.source import JatSource
from tests.jat_files import JatTask, make_jat, make_missions, make_screens
from tests.pipeline.sources.jat.readings import read, refusal


def atari(folder: Path) -> JatTask:
    return make_screens(folder, [5, 3])


def babyai(folder: Path) -> JatTask:
    return make_missions(folder, [5, 3])


@pytest.mark.parametrize("value", [-1, 18, 2**40, -(2**63)])
@pytest.mark.parametrize(("make", "says"), [(atari, "atari pong are 0 to 5"), (babyai, "babyai go-to are 0 to 6")])
def test_a_choice_that_the_environment_does_not_have_is_refused(tmp_path: Path, make, says: str, value: int):
    task = make(tmp_path)
    task.rows[1]["discrete_actions"][2] = value
    task.write()
    message = refusal(task)
    assert f"Actions of {says}" in message
    assert f"row 1, column discrete_actions, step 2 has {value}." in message


def test_padding_may_hold_any_action(tmp_path: Path):
    task = atari(tmp_path)
    task.rows[1]["discrete_actions"][31] = 99
    task.write()
    assert [episode.length for episode in read(task)] == [5, 3]


def test_forces_beyond_the_bounds_are_counted_and_stored(tmp_path: Path):
    task = make_jat(tmp_path, [30, 40], name="metaworld-assembly")
    task.rows[0]["continuous_actions"][7][1] = -1.5
    task.rows[1]["continuous_actions"][3] = [2.0, 2.0]
    task.write()
    source = JatSource(str(tmp_path))
    first, _ = source.episodes("metaworld", "assembly")
    (quirk,) = source.quirks("metaworld", "assembly")
    assert (quirk.name, quirk.count) == ("actions_beyond_bounds", 2)
    assert "beyond -1 to 1" in quirk.sentence
    assert first.steps["action"][7, 1] == -1.5


@pytest.mark.parametrize("task", NAMES)
def test_the_bounds_are_those_of_the_environments(task: str):
    pytest.importorskip("mujoco")
    environment = MuJoCo(task)
    spec = environment.action_spec
    most = OTHER_FORCES.get(task, FORCES["mujoco"])
    np.testing.assert_array_equal(spec.high, np.full(spec.shape, most, np.float32))
    np.testing.assert_array_equal(spec.low, -np.asarray(spec.high))
    environment.close()
