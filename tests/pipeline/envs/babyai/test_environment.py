"""BabyAI against plain loops over minigrid itself."""

from __future__ import annotations

import subprocess
import sys
from contextlib import redirect_stdout
from functools import partial
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from pipeline.envs.babyai.environment import DONE_ACTIONS, LEVELS, MOVES, BabyAI
from pipeline.errors import InvalidInput, UnknownName
from pipeline.interfaces import GaveUp
from pipeline.policies.mixed import Mixed
from pipeline.policies.scripted import Scripted
from pipeline.rollout.rollout import rollout
from tests.contracts.environment import EnvironmentContract, play
from tests.contracts.policy import PolicyContract

pytest.importorskip("minigrid")

import gymnasium
from minigrid.core.actions import Actions
from minigrid.utils.baby_ai_bot import BabyAIBot

CONF = Path(__file__).parents[4] / "conf"


class TestOneRoom(EnvironmentContract):
    def factory(self):
        return partial(BabyAI, task="go-to-local", max_steps=12)


class TestNineRooms(EnvironmentContract):
    """Its levels are drawn again where they are refused, and its missions have several parts."""

    def factory(self):
        return partial(BabyAI, task="boss-level", max_steps=15)


class TestLockedDoors(EnvironmentContract):
    """A small level, whose objects can be carried."""

    def factory(self):
        return partial(BabyAI, task="unlock-pickup", max_steps=20, tile=8)


class TestBot(PolicyContract):
    """The expert as a policy, disturbed now and then."""

    def make(self):
        return Mixed(Scripted(), 0.2)

    def environment(self):
        return BabyAI("put-next-local")


def level(task: str, **options: Any) -> Any:
    return gymnasium.make(f"BabyAI-{LEVELS[task]}-v0", **options)


def jat_layout(seen: dict[str, Any]) -> np.ndarray:
    """As jat/eval/rl/core.py flattens an observation."""
    return np.append(seen["direction"], seen["image"].flatten())


@pytest.mark.parametrize("task", LEVELS)
def test_an_episode_is_that_of_a_plain_loop(task: str):
    environment = BabyAI(task)
    play(environment, 4, limit=3)  # the object is used, the plain loop's is fresh
    episode = play(environment, 5, limit=10)
    env = level(task)
    with redirect_stdout(StringIO()):
        seen, _ = env.reset(seed=5)
    observations, rewards, missions, over = [jat_layout(seen)], [], {seen["mission"]}, False
    for action in episode.steps["action"][:-1]:
        assert not over
        seen, reward, terminated, truncated, _ = env.step(action)
        observations.append(jat_layout(seen))
        rewards.append(reward)
        missions.add(seen["mission"])
        over = terminated or truncated
    np.testing.assert_array_equal(episode.steps["observation"], observations)
    np.testing.assert_array_equal(episode.steps["reward"][:-1], rewards)
    assert missions == {episode.mission}
    assert episode.steps["observation"].dtype == np.uint8
    assert episode.steps["observation"].shape[1:] == (148,)
    assert episode.success == int(max(rewards) > 0)


def plain_bot(task: str, seed: int) -> tuple[list[np.ndarray], list[int], list[float]]:
    """Observations, actions and rewards of the package's bot, up to its failure where it raises."""
    env = level(task)
    with redirect_stdout(StringIO()):
        observations = [jat_layout(env.reset(seed=seed)[0])]
    bot, actions, rewards, over = BabyAIBot(env), [], [], False
    while not over:
        try:
            action = bot.replan()
        except Exception:  # whatever it raises, it goes no further
            break
        seen, reward, terminated, truncated, _ = env.step(action)
        observations.append(jat_layout(seen))
        actions.append(int(action))
        rewards.append(float(reward))
        over = terminated or truncated
    return observations, actions, rewards


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(
    "task",
    ["go-to-local", "open-doors-order-n4", "put-next", "unlock-pickup", "key-corridor", "synth-loc", "open"],
)
def test_the_expert_does_what_the_bot_does_in_a_plain_loop(task: str, seed: int):
    episode = rollout(BabyAI(task), Scripted(), seed, np.random.default_rng(0))
    observations, actions, rewards = plain_bot(task, seed)
    np.testing.assert_array_equal(episode.steps["observation"], observations)
    np.testing.assert_array_equal(episode.steps["action"][:-1], actions)
    np.testing.assert_array_equal(episode.steps["reward"][:-1], rewards)
    assert episode.success == int(rewards[-1] > 0)
    assert (episode.end_reason == "terminated") == (rewards[-1] > 0)


def test_an_expert_that_would_plan_for_ever_gives_up():
    """All but a locked room is explored, and the bot has not seen the key of its door."""
    episode = rollout(BabyAI("go-to-imp-unlock"), Scripted(), 6, np.random.default_rng(0))
    assert (episode.end_reason, episode.truncated, episode.terminated) == ("gave_up", True, False)
    assert episode.success == 0
    env = level("go-to-imp-unlock")
    with redirect_stdout(StringIO()):
        env.reset(seed=6)
    bot = BabyAIBot(env)
    for action in episode.steps["action"][:-1]:
        assert bot.replan() == action
        env.step(action)


def test_an_expert_that_gives_up_says_why_and_offers_done():
    environment = BabyAI("unlock-to-unlock")
    expert, observation, rng = environment.expert(), environment.reset(4), np.random.default_rng(0)
    observation = environment.step(expert.act(observation, rng)).observation
    with pytest.raises(GaveUp, match="more than 100 subgoals") as raised:
        expert.act(observation, rng)
    assert MOVES[int(raised.value.idle)] == "done"


def test_an_expert_whose_box_was_opened_gives_up():
    """Random actions are told to the bot, which refuses to go on without a box."""
    environment = BabyAI("pickup")
    policy, ends = Mixed(Scripted(), 0.7), set()
    for seed in range(40):
        ends.add(rollout(environment, policy, seed, np.random.default_rng(seed), limit=200).end_reason)
        if "gave_up" in ends:
            return
    pytest.fail(f"40 disturbed episodes ended with {ends} only")


def test_random_actions_are_made_up_for():
    """A bot that believed in its own actions would fail nearly always."""
    policy = Mixed(Scripted(), 0.3)
    episodes = [rollout(BabyAI("go-to-obj"), policy, seed, np.random.default_rng(seed)) for seed in range(10)]
    assert all(episode.success == 1 for episode in episodes)


def test_the_configuration_and_the_sweep_name_all_39_tasks_in_jats_order():
    domain = yaml.safe_load((CONF / "domain" / "babyai.yaml").read_text())
    sweep = yaml.safe_load((CONF / "sweep" / "babyai39.yaml").read_text())
    assert domain["tasks"] == list(LEVELS)
    assert sweep["hydra"]["sweeper"]["params"]["task"].split(",") == list(LEVELS)
    assert len(LEVELS) == 39


def test_the_moves_are_the_packages():
    assert [action.name for action in Actions] == list(MOVES)


@pytest.mark.parametrize(("task", "limit"), [("go-to-obj", 64), ("open-red-door", 50), ("find-obj-s5", 500)])
def test_the_levels_own_limit_truncates(task: str, limit: int):
    environment = BabyAI(task)
    observation, steps, truncated = environment.reset(0), 0, False
    while not truncated:
        transition = environment.step(np.asarray(0))  # turn left, for ever
        steps, truncated = steps + 1, transition.truncated
        assert not transition.terminated
        assert (transition.reward, transition.success) == (0.0, 0)
    assert steps == limit
    assert environment.identity()["max_steps"] is None
    assert observation.shape == (148,)


def test_another_limit_truncates_and_counts_in_the_reward():
    assert play(BabyAI("key-corridor", max_steps=7), 0).length == 7
    for limit, task in ((30, "go-to-local"), (90, "key-corridor"), (400, "boss-level")):
        episode = rollout(BabyAI(task, max_steps=limit), Scripted(), 1, np.random.default_rng(0))
        if episode.success:
            assert episode.total_reward == pytest.approx(1 - 0.9 * episode.length / limit)


def test_with_done_actions_a_mission_can_be_spoiled(monkeypatch: pytest.MonkeyPatch):
    plain = BabyAI("go-to-local").identity()
    monkeypatch.setenv(DONE_ACTIONS, "1")
    environment = BabyAI("go-to-local")
    assert environment.identity() == {**plain, "done_actions": True}
    monkeypatch.setattr("minigrid.envs.babyai.core.verifier.use_done_actions", True)  # read when it was imported
    environment.reset(0)
    transition = environment.step(np.asarray(MOVES.index("done")))
    assert (transition.terminated, transition.reward, transition.success) == (True, 0.0, 0)


def test_the_identity_names_level_limit_and_versions():
    identity = BabyAI("put-next", max_steps=9, tile=8).identity()
    assert identity["id"] == "BabyAI-PutNextS7N4-v0"
    assert identity["max_steps"] == 9
    assert set(identity["versions"]) == {"gymnasium", "minigrid"}
    assert "tile" not in identity


def test_a_picture_is_minigrids_own_with_the_view_highlighted():
    environment = BabyAI("boss-level", tile=12)
    environment.reset(3)
    env = level("boss-level", render_mode="rgb_array", tile_size=12)
    with redirect_stdout(StringIO()):
        env.reset(seed=3)
    np.testing.assert_array_equal(environment.render(), env.render())
    assert environment.render().shape == (22 * 12, 22 * 12, 3)


def test_an_episode_can_be_drawn_after_its_end_but_not_before_its_beginning():
    environment = BabyAI("go-to-obj", max_steps=2)
    with pytest.raises(RuntimeError, match="reset"):
        environment.render()
    play(environment, 0)
    assert environment.render().any()


def test_nothing_is_printed_even_where_levels_are_drawn_again(capfd: pytest.CaptureFixture[str]):
    code = (
        "from pipeline.envs.babyai.environment import BabyAI\n"
        "environment = BabyAI('go-to-obj-door')\n"
        "for seed in range(10): environment.reset(seed)\n"
        "environment.expert()\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=CONF.parent)
    assert capfd.readouterr() == ("", "")
    with redirect_stdout(StringIO()) as said:
        for seed in range(10):
            level("go-to-obj-door").reset(seed=seed)
    assert "rejected" in said.getvalue().lower()


@pytest.mark.parametrize("options", [{"max_steps": 0}, {"tile": 3}])
def test_an_impossible_setting_is_refused(options: dict[str, int]):
    with pytest.raises(InvalidInput, match="at least"):
        BabyAI("go-to", **options)


def test_an_impossible_action_is_refused():
    environment = BabyAI("go-to-obj")
    environment.reset(0)
    with pytest.raises(InvalidInput, match="0 to 6, it was given 7"):
        environment.step(np.asarray(7))


def test_an_unknown_task_lists_the_nearest():
    with pytest.raises(UnknownName, match="go-to-local"):
        BabyAI("go-to-lokal")


def test_a_missing_package_says_what_to_install(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "minigrid", None)
    with pytest.raises(InvalidInput, match=r"pip install 'repertoire\[babyai\]'"):
        BabyAI("go-to").reset(0)
