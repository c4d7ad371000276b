"""Zips of Stable-Baselines3: which are opened, what they hold, and what is refused before the weights are read."""

from __future__ import annotations

import base64
import json
import os
import pickle
import sys
import types
import warnings
import zipfile

import numpy as np
import pytest

from pipeline.errors import InvalidInput
from pipeline.interfaces import Decision
from pipeline.policies.sb3.agent import StableBaselines
from tests.pipeline.policies.agents import FORCE, MOVES, Named, Small, discrete, trained
from tests.pipeline.policies.sb3.test_agent import answers, seen

BOXES = ("sac", "td3", "ddpg", "tqc", "crossq", "ars")
DISCRETE = ("ppo", "a2c", "trpo", "maskableppo", "dqn", "qrdqn")


def test_a_zip_is_opened_only_where_it_is_trusted(agent):
    with pytest.raises(InvalidInput, match=r"(?s)ppo\.zip runs code.*trust=true"):
        StableBaselines(agent("ppo", "vector", MOVES))


def test_spaces_of_the_old_gym_need_no_gym_and_no_warning(agent, tmp_path):
    path = tmp_path / "ppo.zip"
    with zipfile.ZipFile(agent("ppo", "vector", FORCE)) as old, zipfile.ZipFile(path, "w") as new:
        for name in old.namelist():
            content = old.read(name)
            if name == "data":
                content = _as_old_gym(content)
            new.writestr(name, content)
    environment = Small("vector", FORCE)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        actions = answers(StableBaselines(path, trust=True), environment, seen(environment))
    expected = answers(StableBaselines(agent("ppo", "vector", FORCE), trust=True), environment, seen(environment))
    np.testing.assert_array_equal(actions, expected)


def _as_old_gym(content: bytes) -> bytes:
    """The settings as a Python of 2021 would have written them: spaces of `gym`, schedules that nobody can read."""
    data = json.loads(content)
    box = type("Box", (), {"__module__": "gym.spaces.box"})
    modules = {name: types.ModuleType(name) for name in ("gym", "gym.spaces", "gym.spaces.box")}
    modules["gym.spaces.box"].Box = box
    rng = np.random.RandomState(0)
    infinite = np.full(3, np.inf)
    shown = {"dtype": np.dtype(np.float64), "shape": (3,), "low": -infinite, "high": infinite, "_np_random": None}
    taken = {"dtype": FORCE.dtype, "shape": (2,), "low": FORCE.low, "high": FORCE.high, "_np_random": rng}
    sys.modules.update(modules)
    try:
        for key, facts in (("observation_space", shown), ("action_space", taken)):
            space = box()
            space.__dict__ = facts
            data[key][":serialized:"] = base64.b64encode(pickle.dumps(space)).decode()
    finally:
        for name in modules:
            del sys.modules[name]
    for key in ("lr_schedule", "clip_range"):
        data[key] = {":type:": "<class 'function'>", ":serialized:": base64.b64encode(b"not a pickle").decode()}
    return json.dumps(data).encode()


@pytest.mark.parametrize(
    ("environment", "message"),
    [
        (Small("vector", discrete(6)), r"one of 3 actions \(0 to 2\).*takes one of 6 actions.*Choose the task"),
        (Small("vector", FORCE), r"one of 3 actions.*takes real numbers of shape \(2,\) between \[-2.0, -1.0\]"),
        (Named(discrete(18)), r"full_actions=false"),
    ],
)
def test_other_actions_are_refused_before_the_weights_are_read(agent, environment, message):
    policy = StableBaselines(agent("ppo", "vector", MOVES), trust=True)
    with pytest.raises(InvalidInput, match=message):
        policy.start(0, environment)
    assert "_policy" not in vars(policy)


def test_an_agent_with_all_of_ataris_actions_is_told_how_to_have_them(tmp_path):
    path = trained(tmp_path, "a2c", Small("picture", discrete(18)))
    with pytest.raises(InvalidInput, match=r"one of 18 actions.*full_actions=true"):
        StableBaselines(path, trust=True).start(0, Named(discrete(6)))


def test_other_bounds_are_refused(agent):
    from dataclasses import replace

    wider = Small("vector", replace(FORCE, high=np.float32([1, 4])))
    with pytest.raises(InvalidInput, match=r"between \[-2.0, -1.0\] and \[1.0, 3.0\]; .*\[1.0, 4.0\]"):
        StableBaselines(agent("sac"), trust=True).start(0, wider)


@pytest.mark.parametrize(
    ("trained_on", "shown", "message"),
    [
        ("vector", np.zeros(4), r"see float64 of shape \(3,\); this environment shows float64 of shape \(4,\)"),
        ("odd", np.zeros(1), r"policy\.stack=7"),
        ("vector", np.zeros(3, np.uint8), r"float64 of shape \(3,\); .*uint8"),
        ("vector", {"a": np.zeros(3)}, "one array; this environment shows several: a"),
        ("several", np.zeros(3), "see place, speed, too; this environment shows one array"),
        ("several", {"place": np.zeros(2), "speed": np.zeros(2)}, r"see speed float64 of shape \(1,\)"),
        ("picture", np.zeros((40, 40), np.float32), "uint8"),
        ("picture", np.zeros((40, 41), np.uint8), r"shape \(1, 40, 40\); .* \(40, 41\)"),
    ],
)
def test_other_observations_are_refused(agent, trained_on, shown, message):
    policy = StableBaselines(agent("ppo", trained_on, MOVES), trust=True)
    policy.start(0, Small())
    with pytest.raises(InvalidInput, match=message):
        policy.act([Decision(0, shown, np.random.default_rng(0))])


def test_statistics_of_other_observations_are_refused(agent):
    statistics = agent("ppo", "vector", FORCE, normalize=True).parent / "vecnormalize.pkl"
    policy = StableBaselines(agent("ppo", "odd", MOVES), normalize=str(statistics), trust=True)
    policy.start(0, Small("odd"))
    with pytest.raises(InvalidInput, match=r"of shape \(3,\); this environment shows \(7,\)"):
        policy.act([Decision(0, np.zeros(7), np.random.default_rng(0))])


def test_the_wrong_algorithm_is_refused_and_the_right_one_is_not_needed(agent):
    path = agent("sac")
    assert StableBaselines(path, algorithm="SAC", trust=True).name == "sac-40"
    with pytest.raises(InvalidInput, match="policy.algorithm=ppo, but .* sac"):
        _ = StableBaselines(path, algorithm="ppo", trust=True).name
    with pytest.raises(InvalidInput, match="no algorithm named pop"):
        _ = StableBaselines(path, algorithm="pop", trust=True).name


@pytest.mark.parametrize("algorithm", [*BOXES, *DISCRETE, "ppo_lstm"])
def test_every_algorithm_is_told_from_its_zip(agent, algorithm):
    assert StableBaselines(agent(algorithm), trust=True).identity()["algorithm"] == algorithm


def test_damaged_files_are_named(tmp_path, agent):
    (tmp_path / "a.zip").write_bytes(b"not a zip")
    with zipfile.ZipFile(tmp_path / "b.zip", "w") as archive:
        archive.writestr("data", '{"n_steps": 5}')
    with zipfile.ZipFile(agent("sac")) as old, zipfile.ZipFile(tmp_path / "c.zip", "w") as archive:
        archive.writestr("data", old.read("data"))
    for name, message in (
        ("a.zip", r"a\.zip is not the zip"),
        ("b.zip", "does not tell its algorithm.*ppo, a2c"),
        ("missing.zip", "no agent .*missing"),
    ):
        with pytest.raises(InvalidInput, match=message):
            StableBaselines(tmp_path / name, trust=True).identity()
    with pytest.raises(InvalidInput, match=r"c\.zip is damaged.*policy\.pth"):
        StableBaselines(tmp_path / "c.zip", trust=True).start(0, Small("vector", FORCE))


def with_data(path, change):
    """A copy of an agent's zip whose settings are changed."""
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(path.with_name("changed.zip"), "w") as new:
        for name in old.namelist():
            new.writestr(name, change(old.read(name)) if name == "data" else old.read(name))
    return path.with_name("changed.zip")


@pytest.mark.parametrize("data", ["[]", "null", "3", '"x"', "[" * 100_000, "9" * 5_000, "\\x00", ""])
def test_settings_that_are_no_object_are_refused(agent, data):
    path = with_data(agent("ppo"), lambda _: data.encode())
    with pytest.raises(InvalidInput, match="not the zip of a Stable-Baselines3 agent"):
        StableBaselines(path, trust=True).identity()
    path.unlink()


@pytest.mark.parametrize("space", [None, [], 3, "Box", {}, {":serialized:": 3}, {":serialized:": "!"}])
def test_a_space_that_is_none_is_refused(agent, space):
    path = with_data(agent("ppo"), lambda data: json.dumps(json.loads(data) | {"action_space": space}).encode())
    with pytest.raises(InvalidInput, match=r"action.space"):
        StableBaselines(path, trust=True).start(0, Small("vector", MOVES))
    path.unlink()


def test_settings_that_unpack_to_far_more_than_they_are_stay_packed(tmp_path):
    with zipfile.ZipFile(tmp_path / "bomb.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("data", " " * 2**27)
    with pytest.raises(InvalidInput, match=r"data in it unpacks from .* to 134\.2 MB"):
        StableBaselines(tmp_path / "bomb.zip", trust=True).identity()


def test_a_pipe_in_the_place_of_a_zip_is_refused(tmp_path):
    os.mkfifo(tmp_path / "agent.zip")
    with pytest.raises(InvalidInput, match="must be a file; a named pipe is there"):
        StableBaselines(tmp_path / "agent.zip", trust=True).identity()
