"""Gymnasium environments against plain loops over Gymnasium itself, and what goes wrong with some."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest

from pipeline.digest import digest_file
from pipeline.envs.gym.environment import Gym
from pipeline.envs.gym.names import task_of_id
from pipeline.envs.gym.text import text_of
from pipeline.errors import InvalidInput, NoRenderer, TaskFailed
from pipeline.policies.random import Random
from pipeline.rollout.rollout import Start
from pipeline.rollout.rollout import play as play_slots
from tests.contracts.environment import EnvironmentContract, play
from tests.pipeline.envs.gym_envs import LENGTH, Nested, Odd

HERE = "tests.pipeline.envs.gym_envs"


def gym(name: str, **settings: Any) -> Gym:
    """A class of `gym_envs`, as a user names it."""
    return Gym(f"{name.lower()}-v0", f"{name}-v0", entry_point=f"{HERE}:{name}", **settings)


class TestCartPole(EnvironmentContract):
    def factory(self):
        return partial(Gym, "cartpole-v1", "CartPole-v1", max_steps=12)


class TestFreshCartPole(EnvironmentContract):
    """Each new one closes the one before, and with it pygame."""

    def factory(self):
        return partial(Gym, "cartpole-v1", "CartPole-v1", max_steps=12, fresh=True)


class TestNested(EnvironmentContract):
    """Every kind of space, and arrays that are written over."""

    def factory(self):
        settings = {"entry_point": f"{HERE}:Nested", "env_kwargs": {"max_episode_steps": LENGTH}}
        return partial(Gym, "nested-v0", "Nested-v0", **settings)


class TestMyEnv(EnvironmentContract):
    """The example's."""

    def factory(self):
        settings = {"entry_point": "examples.my_package.envs:MyEnv", "env_kwargs": {"difficulty": "hard"}}
        return partial(Gym, "boat-v0", "Boat-v0", max_steps=15, **settings)


@pytest.mark.parametrize("env_id", ["CartPole-v1", "Acrobot-v1", "Pendulum-v1", "FrozenLake-v1", "Blackjack-v1"])
def test_an_episode_is_that_of_a_plain_loop(env_id):
    episode = play(Gym(task_of_id(env_id), env_id, max_steps=60), 3)
    env = gymnasium.make(env_id, max_episode_steps=60)
    observation, _ = env.reset(seed=3)
    observations, rewards = [observation], []
    for action in episode.steps["action"][:-1]:
        observation, reward, terminated, truncated, _ = env.step(action)
        observations.append(observation)
        rewards.append(reward)
    names = ["observation"] if "observation" in episode.steps else ["observation/0", "observation/1", "observation/2"]
    for name, column in zip(names, [observations] if len(names) == 1 else zip(*observations, strict=True), strict=True):
        np.testing.assert_array_equal(episode.steps[name], list(column))
    np.testing.assert_array_equal(episode.steps["reward"][:-1], rewards)
    assert (episode.terminated, episode.truncated) == (terminated, truncated)


def test_nested_observations_become_arrays_and_the_mission_a_text():
    environment = gym("Nested", max_steps=LENGTH)
    episode = play(environment, 1)
    kinds = {name: (a.dtype, a.shape[1:]) for name, a in episode.steps.items() if name.startswith("observation")}
    assert kinds == {
        "observation/body/place": (np.float64, (2,)),
        "observation/body/bag": (np.int8, (3,)),
        "observation/body/said": (np.uint32, (5,)),
        "observation/seen/0": (np.uint8, (6, 6, 3)),
        "observation/seen/1": (np.int64, ()),
        "observation/seen/2": (np.uint32, (1,)),
        "observation/dials": (np.int64, (2,)),
    }
    assert episode.mission in ("go left", "go right")
    said = [text_of(row) for row in episode.steps["observation/body/said"]]
    assert [len(text) for text in said] == [step % 6 for step in range(episode.rows)]
    assert set("".join(said)) <= set("aéß字🦆")


def test_nested_actions_reach_the_environment_as_its_space_has_them():
    environment = gym("Nested", max_steps=LENGTH)
    assert [(part["name"], part["at"]) for part in environment.identity()["action_layout"]] == [
        ("hand/0", [0, 2]), ("hand/1", [2, 4]), ("walk", [4, 5])
    ]  # fmt: skip
    episode = play(environment, 1)
    assert episode.steps["action"].dtype == np.int64
    inner = environment._here.env.unwrapped
    assert isinstance(inner, Nested)
    for row, taken in zip(episode.steps["action"], inner.taken, strict=False):
        assert list(taken) == ["hand", "walk"]
        np.testing.assert_array_equal(row, [*taken["hand"][0].ravel(), *taken["hand"][1], taken["walk"]])
        assert taken["hand"][0].shape == (1, 2)


def test_infos_are_copies_and_tell_success():
    episode = play(gym("Nested", max_steps=LENGTH), 1)
    np.testing.assert_array_equal(episode.steps["info/place"][:-1], episode.steps["observation/body/place"][1:])
    np.testing.assert_array_equal(episode.steps["info/deep/n"][:-1], np.arange(1, episode.rows))
    assert episode.success == episode.steps["info/is_success"].max()
    assert play(Gym("cartpole-v1", "CartPole-v1"), 0).success == -1


def test_the_time_limit_is_the_registered_one_or_that_which_is_given():
    assert Gym("mountaincar-v0", "MountainCar-v0").identity()["max_steps"] == 200
    assert play(Gym("mountaincar-v0", "MountainCar-v0", env_kwargs={"max_episode_steps": 7}), 0).length == 7
    assert Gym("mountaincar-v0", "MountainCar-v0", max_steps=-1).identity()["max_steps"] is None
    assert gym("Plain").identity()["max_steps"] is None


def test_the_identity_holds_all_that_changes_an_episode():
    def identity(**settings: Any) -> dict[str, Any]:
        return dict(gym("Nested", **settings).identity())

    plain = identity()
    source = Path(__file__).parents[1] / "gym_envs.py"
    assert plain["entry_point"] == f"{HERE}:Nested"
    assert plain["source"] == digest_file(source)
    assert plain["versions"]["gymnasium"] == gymnasium.__version__
    others = [
        identity(env_kwargs={"size": 4}),
        identity(max_steps=5),
        identity(fresh=True),
        identity(mission=None),
        identity(rounding=True),
        identity(packages=["hypothesis"]),
    ]
    assert len({json.dumps(each, sort_keys=True) for each in [plain, *others]}) == 1 + len(others)
    assert identity(max_steps=5) == identity(env_kwargs={"max_episode_steps": 5})
    assert identity(env_kwargs={"render_mode": None}) == plain
    pole = Gym("cartpole-v1", "CartPole-v1", packages=["hypothesis"]).identity()
    assert pole["source"] is None
    assert set(pole["packages"]) == {"hypothesis"}
    assert pole["packages"]["hypothesis"]
    pytest.importorskip("mujoco")
    assert "mujoco" in Gym("hopper-v5", "Hopper-v5").identity()["versions"]


def test_a_function_may_make_the_environment():
    environment = Gym("made-v0", "made-v0", entry_point=f"{HERE}:made", env_kwargs={"size": 4})
    assert play(environment, 0, limit=3).steps["observation/seen/0"].shape[1:] == (4, 4, 3)
    assert environment.identity()["entry_point"] == f"{HERE}:made"


def test_what_outlives_a_reset_is_gone_in_a_fresh_environment():
    for fresh, firsts in ((False, [1, 2, 3]), (True, [1, 1, 1])):
        environment = gym("Remembers", max_steps=2, fresh=fresh)
        assert [float(np.asarray(environment.reset(seed))[0]) for seed in range(3)] == firsts


def test_a_mission_that_changes_is_refused_unless_it_is_an_observation():
    with pytest.raises(InvalidInput, match="domain.mission=null"):
        play(gym("Moody", max_steps=4), 0)
    episode = play(gym("Moody", max_steps=4, mission=None), 0)
    assert [text_of(row) for row in episode.steps["observation/mission"]] == [f"step{n}" for n in range(5)]
    assert episode.mission == ""


def test_an_environment_of_the_old_gym_is_told_apart():
    with pytest.raises(InvalidInput, match="five values"):
        play(gym("OldGym"), 0)


def test_nan_in_an_observation_names_the_step():
    space = gymnasium.spaces.Box(-1, 1, (1,))
    gymnasium.register("Nan-v0", f"{HERE}:Answers", max_episode_steps=5, kwargs={"space": space})
    try:
        settings = {"env_kwargs": {"first": [0.0], "later": [float("nan")]}}
        with pytest.raises(InvalidInput, match="plain values"):
            Gym("nan-v0", "Nan-v0", **settings)
        gymnasium.registry["Nan-v0"].kwargs |= {"first": [0.0], "later": [float("nan")]}
        with pytest.raises(TaskFailed, match="NaN in the observation after step 0"):
            play(Gym("nan-v0", "Nan-v0"), 0)
    finally:
        del gymnasium.registry["Nan-v0"]


@pytest.mark.parametrize(("name", "words"), [("Growing", "Sequence"), ("Speaks", "1 is of the space Text")])
def test_spaces_without_a_size_are_refused_by_name(name, words):
    with pytest.raises(InvalidInput, match=words):
        gym(name).action_spec  # noqa: B018


def test_whole_and_real_actions_cannot_be_joined():
    with pytest.raises(InvalidInput, match="gas float32.*gear int64|gear int64.*gas float32"):
        gym("Mixed").action_spec  # noqa: B018


@pytest.mark.parametrize(("name", "why"), [("Plain", "render modes none"), ("NeedsLibrary", "easel")])
def test_an_environment_that_cannot_draw_plays_and_says_why_it_has_no_pictures(name, why):
    environment = gym(name, max_steps=3)
    assert play(environment, 0).length == 3
    with pytest.raises(NoRenderer, match=why):
        environment.render()


def test_a_picture_that_fails_says_what_is_missing():
    environment = gym("DrawsBadly", max_steps=9)
    environment.reset(0)
    for why in ("pip install easel", "no paint", "gave NoneType", r"gave uint8 of shape \(4, 4\)"):
        with pytest.raises(NoRenderer, match=why):
            environment.render()
        environment.step(np.asarray(0))


def test_there_is_nothing_to_draw_before_the_first_reset():
    with pytest.raises(RuntimeError, match="reset"):
        gym("Nested").render()


def test_a_text_cannot_be_drawn_where_it_is_switched_off():
    environment = gym("Nested", env_kwargs={"render_mode": None})
    environment.reset(0)
    with pytest.raises(NoRenderer, match="render_mode=null"):
        environment.render()
    with pytest.raises(InvalidInput, match="rgb_array"):
        gym("Nested", env_kwargs={"render_mode": "human"})


@pytest.mark.render
def test_environments_draw_side_by_side_and_mujocos_ones_too():
    pytest.importorskip("mujoco")
    settings = {"max_steps": 3, "env_kwargs": {"width": 48, "height": 32}}
    pair = [Gym("hopper-v5", "Hopper-v5", **settings) for _ in range(2)]
    starts = iter([Start(seed, seed, np.random.default_rng(seed)) for seed in range(3)])
    try:
        played = list(play_slots(pair, Random(), starts, watch=lambda environment: environment.render()))
    except NoRenderer as error:
        pytest.skip(str(error))
    assert {picture.shape for each in played for picture in each.pictures} == {(32, 48, 3)}
    for each in played:
        assert each.episode.digest() == play(Gym("hopper-v5", "Hopper-v5", **settings), each.index).digest()
    for environment in pair:
        environment.close()


def test_there_is_no_scripted_expert():
    with pytest.raises(InvalidInput, match="policy=random"):
        Gym("cartpole-v1", "CartPole-v1").expert()


def test_the_task_is_that_of_the_id():
    with pytest.raises(InvalidInput, match="pong-v5"):
        Gym("pong-v5", "CartPole-v1")


def played(name: str, **settings: Any):
    """One episode."""
    start = Start(0, 0, np.random.default_rng(0))
    return next(play_slots([gym(name, **settings)], Random(), iter([start]))).episode


@pytest.fixture
def odd(monkeypatch):
    """An episode of `Odd`, which hands out what is given here."""

    def play_odd(**handed_out: Any):
        for name, value in handed_out.items():
            monkeypatch.setattr(Odd, name, value)
        return played("Odd")

    return play_odd


def test_the_info_of_the_reset_is_stored_and_texts_are_too(odd):
    told = {"x": 0.5, "mask": np.zeros(2, np.int8), "level": "one"}
    episode = odd(told=told, info={"door": "shut"})
    assert (float(episode.reset_info["x"]), episode.reset_info["mask"].dtype) == (0.5, np.int8)
    assert (episode.reset_texts, episode.info_texts) == ({"level": "one"}, {"door": ["shut", "shut"]})


def test_an_info_of_none_is_empty_and_one_that_is_no_mapping_is_named(odd):
    assert odd().length == 2
    with pytest.raises(InvalidInput, match=r"The info that reset\(\) and step\(\) give .* it is list"):
        odd(info=[1])


@pytest.mark.parametrize("reward", [np.array([1.5]), np.float32(1.5), np.array([[1.5]])])
def test_a_reward_that_is_an_array_of_one_is_its_number(odd, reward):
    assert odd(reward=reward).steps["reward"].tolist() == [1.5, 1.5, 0]


@pytest.mark.parametrize("reward", [None, "1.5", np.zeros(2), [1.0, 2.0], 1j])
def test_a_reward_that_is_not_one_number_is_named(odd, reward):
    with pytest.raises(InvalidInput, match="The reward should be one number; it is"):
        odd(reward=reward)


@pytest.mark.parametrize("value", [None, float("nan"), np.array(np.nan), "yes", [0, 1], object()])
def test_a_success_that_says_nothing_is_unknown(odd, value):
    assert odd(info={"is_success": value}).success == -1


def test_what_is_handed_out_at_an_end_for_the_next_episode_is_no_info(odd):
    info = {"final_obs": np.zeros(1), "_final_obs": True, "final_info": {"x": 1}, "_final_info": True, "k": 1}
    episode = odd(info=info | {"final_observation": np.zeros(1, np.float32)})
    assert [name for name in episode.steps if "info" in name] == ["info/k"]


@pytest.mark.parametrize("key", ["final_obs", "final_observation", "terminal_observation"])
def test_the_last_observation_of_an_environment_that_resets_itself_is_the_one_it_tells(key):
    assert played("ResetsItself", env_kwargs={"tells": key}).steps["observation"].tolist() == [[0], [1], [2]]


@pytest.mark.parametrize("hides", [True, False])
def test_an_environment_that_resets_itself_without_a_word_is_refused(hides):
    with pytest.raises(InvalidInput, match=r"was reset inside of step\(\)"):
        played("ResetsItself", env_kwargs={"hides": hides})
