"""DeepMind's control suite against plain loops over the package itself, for every task."""

from __future__ import annotations

import sys
from functools import partial
from importlib.metadata import PackageNotFoundError
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from pipeline.dataset.reader import EpisodeDataset
from pipeline.dataset.workspace import Workspace
from pipeline.domains.domain import Domain, Regent
from pipeline.envs.dm.domain import dm_domain
from pipeline.envs.dm.environment import DeepMind
from pipeline.envs.dm.suite import LQR, _suite
from pipeline.errors import InvalidInput, NoRenderer, UnknownName
from pipeline.machine import extras
from pipeline.policies.random import Random
from pipeline.rollout.audit import Recorded, first_difference
from pipeline.rollout.rollout import rollout
from stages import verify
from tests.conftest import collected
from tests.contracts.environment import EnvironmentContract, play
from tests.pipeline.envs.test_rendering import run

pytest.importorskip("dm_control")

CONF = yaml.safe_load((Path(__file__).parents[4] / "conf" / "domain" / "dmc.yaml").read_text())
LIKE_WALKING = {"dog-stand", "dog-trot", "dog-run"}
"""They differ from dog-walk in their rewards alone, and take a second to load."""
SEED, STEPS = 11, 5


class TestCatch(EnvironmentContract):
    """Draws until the ball is outside the cup."""

    def factory(self):
        return partial(DeepMind, "ball_in_cup-catch", max_steps=5, height=32, width=48)


class TestFish(EnvironmentContract):
    """Puts its target into the model, and shows numbers beside arrays."""

    def factory(self):
        return partial(DeepMind, "fish-swim", max_steps=5, height=32, width=48)


class TestLqr(EnvironmentContract):
    """Draws its model, and bounds no action."""

    def factory(self):
        return partial(DeepMind, "lqr-lqr_2_1", max_steps=5, height=32, width=48)


def loaded(task: str, seed: int) -> Any:
    """The task as anyone loads it. A graphics library, which quadruped-escape asks for, is left out."""
    env = _suite().load(*task.split("-", 1), task_kwargs={"random": seed})
    env.physics._make_rendering_contexts = lambda: None
    return env


def suite_domain() -> Domain:
    return dm_domain(
        **{key: value for key, value in CONF.items() if key not in ("_target_", "defaults", "asked", "regent")},
        asked=None,
        regent=Regent(256, 5, 20, 100),
    )


def test_the_configuration_names_every_task_in_order():
    assert CONF["tasks"] == ["-".join(pair) for pair in _suite().ALL_TASKS]


@pytest.mark.parametrize("task", [task for task in CONF["tasks"] if task not in LIKE_WALKING])
def test_an_episode_of_a_used_environment_is_that_of_a_task_loaded_with_the_seed(task):
    environment = DeepMind(task, max_steps=STEPS)
    play(environment, SEED + 1, limit=3)
    episode = play(environment, SEED)
    env = loaded(task, SEED)
    timesteps = [env.reset()] + [env.step(action) for action in episode.steps["action"][:-1]]
    for name, first in timesteps[0].observation.items():
        kept = episode.steps[f"observation/{name}"]
        np.testing.assert_array_equal(kept, [timestep.observation[name] for timestep in timesteps])
        assert kept.dtype == np.asarray(first).dtype
    assert len(timesteps[0].observation) == sum(name.startswith("observation") for name in episode.steps)
    np.testing.assert_array_equal(episode.steps["reward"][:-1], [timestep.reward for timestep in timesteps[1:]])
    assert episode.steps["action"].dtype == env.action_spec().dtype
    assert (episode.length, episode.end_reason) == (STEPS, "time_limit")


def test_unset_limits_are_the_tasks_own_and_lqr_has_1000_steps():
    episode = play(DeepMind("pendulum-swingup"), SEED)
    assert (episode.length, episode.truncated, episode.steps["discount"][999]) == (1000, True, 1.0)
    assert DeepMind("pendulum-swingup").identity()["max_steps"] is None
    assert play(DeepMind("pendulum-swingup", max_steps=1003), SEED).length == 1003
    endless = {"-".join(pair) for pair in _suite().ALL_TASKS if pair[0] == "lqr"}
    assert endless == set(LQR)
    assert play(DeepMind("lqr-lqr_2_1"), SEED).length == DeepMind("lqr-lqr_2_1").identity()["max_steps"] == 1000


@pytest.mark.parametrize("task", ["acrobot-swingup", "finger-turn_hard", "manipulator-insert_peg", "reacher-easy"])
def test_a_replay_elsewhere_is_exact(task):
    recorded = play(DeepMind(task, max_steps=40), SEED)
    elsewhere = DeepMind(task, max_steps=40)
    play(elsewhere, SEED + 1)
    replayed = rollout(elsewhere, Recorded(recorded.steps["action"]), SEED, np.random.default_rng(0))
    assert first_difference(recorded, replayed) is None


def test_a_collected_dataset_replays_exactly_in_other_processes(tmp_path):
    workspace, domain = Workspace(str(tmp_path)), suite_domain()
    artifact = collected(
        domain, workspace, "cartpole-swingup", policy=Random, dataset="random-v1", episodes=1, frames=20
    )
    episode = EpisodeDataset.of(artifact)[0]
    assert (episode.length, episode.end_reason) == (20, "budget")
    verify.run(domain=domain, only=None, workspace=workspace, audit="replay", workers=1)


def test_an_unknown_task_lists_the_nearest():
    with pytest.raises(UnknownName, match="cartpole-swingup"):
        DeepMind("cartpole-swinup").reset(SEED)


def test_a_missing_package_says_what_to_install(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "dm_control.suite", None)
    with pytest.raises(InvalidInput, match=r"dm_control is not installed.*pip install 'repertoire\[dmc\]'"):
        DeepMind("cartpole-swingup").reset(SEED)


def test_so_does_asking_for_the_identity(monkeypatch: pytest.MonkeyPatch):
    def absent(package: str) -> str:
        raise PackageNotFoundError(package)

    monkeypatch.setattr(extras, "version", absent)
    with pytest.raises(InvalidInput, match=r"pip install 'repertoire\[dmc\]'"):
        DeepMind("cartpole-swingup").identity()


@pytest.mark.render
def test_a_picture_is_that_of_the_package_itself():
    """In another process, where dm_control is imported with OpenGL."""
    done = run(
        """
import numpy as np
from pipeline.envs.rendering import choose_renderer
choose_renderer()
from dm_control import suite
from pipeline.envs.dm.environment import DeepMind
for task, camera in (("cartpole-swingup", 0), ("fish-swim", "fixed_top"), ("quadruped-escape", 0)):
    environment, env = DeepMind(task, camera=camera), suite.load(*task.split("-"), task_kwargs={"random": 3})
    environment.reset(3), env.reset()
    action = np.full(environment.action_spec.shape, 0.5)
    for _ in range(20):
        environment.step(action), env.step(action)
    theirs = env.physics.render(240, 320, camera_id=camera)
    print((environment.render() == theirs).all(), theirs.std() > 5)
"""
    )
    if "NoRenderer" in done.stderr:
        pytest.skip(done.stderr.strip().splitlines()[-1])
    assert done.stdout.split() == ["True"] * 6, done.stderr


@pytest.mark.render
def test_the_ground_is_drawn_as_each_episode_has_it():
    pictures = []
    for seeds in ((SEED,), (SEED + 1, SEED)):
        environment = DeepMind("quadruped-escape", height=32, width=48)
        for seed in seeds:
            environment.reset(seed)
            try:
                pictures.append(environment.render())
            except NoRenderer as error:
                pytest.skip(str(error))
        environment.close()
    np.testing.assert_array_equal(pictures[0], pictures[2])
    assert (pictures[0] != pictures[1]).any()


@pytest.mark.render
def test_a_camera_is_chosen_by_number_or_name():
    with pytest.raises(UnknownName, match="fixed, lookatcart"):
        drawn(camera="back")
    with pytest.raises(InvalidInput, match="no camera 2; the model has 2"):
        drawn(camera=2)
    try:
        assert (drawn(camera=1) == drawn(camera="lookatcart")).all()
    except NoRenderer as error:
        pytest.skip(str(error))


def drawn(**settings) -> np.ndarray:
    environment = DeepMind("cartpole-swingup", height=24, width=32, **settings)
    environment.reset(SEED)
    return environment.render()
