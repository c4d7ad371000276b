"""`fire_reset` against plain loops over Stable-Baselines3's own wrappers, decision by decision."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import ale_py
import gymnasium
import numpy as np
import pytest
from stable_baselines3.common.env_util import make_atari_env
from stable_baselines3.common.vec_env import VecFrameStack

from pipeline.domains.atari import ROMS, minimal_actions
from pipeline.envs.atari.environment import Atari
from pipeline.envs.atari.presses import Presses
from pipeline.errors import InvalidInput
from pipeline.interfaces import Decision, Environment
from pipeline.policies.random import Random
from pipeline.policies.stack import Stack, stacked
from pipeline.rollout.audit import Recorded, first_difference
from pipeline.rollout.rollout import Played, Start, play
from tests.contracts.environment import EnvironmentContract

gymnasium.register_envs(ale_py)
SEED = 5
GREY_STEP, OVERLAP = 2, 0.01
"""Levels by which the console's own grey and OpenCV's grey of its colours differ after scaling down; and the share of
pixels that may differ by more, because the wrapper takes the maximum of two screens in each colour by itself."""


class TestBreakout(EnvironmentContract):
    def factory(self):
        return partial(Atari, task="breakout", max_steps=60, noops=30, fire_reset=True)


class RandomWithStack(Random):
    """Plays at random, and keeps what a network with four stacked screens would see at each decision."""

    def __init__(self) -> None:
        super().__init__()
        way = stacked((84, 84), 4, "last")
        self._stack, self.seen = Stack(way, np.zeros((1, *way.shape), np.uint8)), []

    def start(self, slot: int, environment: Environment) -> None:
        super().start(slot, environment)
        self._stack.clear(slot)

    def act(self, decisions: Sequence[Decision]) -> list[Any]:
        self._stack.push(0, np.asarray(decisions[0].observation))
        self.seen.append(self._stack.rows[0].copy())
        return super().act(decisions)


def played(environment: Environment, policy: Any, limit: int | None = None) -> Played:
    """One episode with the console's screen at each row."""
    start = Start(0, SEED, np.random.default_rng(SEED))
    return next(play([environment], policy, iter([start]), limit, watch=lambda each: each.render()))


def plain_loop(task: str, full_actions: bool = False, **options: Any) -> VecFrameStack:
    name = "".join(part.capitalize() for part in ROMS[task].split("_"))
    return VecFrameStack(
        make_atari_env(
            f"{name}NoFrameskip-v4",
            seed=SEED,
            wrapper_kwargs=options,
            env_kwargs={"full_action_space": True} if full_actions else None,
        ),
        4,
    )


@pytest.mark.parametrize(
    ("task", "ours", "theirs"),
    [
        ("breakout", {}, {}),
        ("breakout", {"fire_reset": "start"}, {"terminal_on_life_loss": False}),
        ("mspacman", {}, {}),  # knows no FIRE
        ("mspacman", {"full_actions": True}, {"full_actions": True}),
        ("pong", {"noops": 7, "frame_skip": 3}, {"noop_max": 7, "frame_skip": 3}),  # knows no lives
    ],
)
def test_each_decision_is_that_of_a_plain_loop_over_its_wrappers(task, ours, theirs):
    environment = Atari(task, **{"sticky": 0.0, "noops": 30, "fire_reset": True} | ours)
    policy = RandomWithStack()
    game = played(environment, policy, limit=400)
    steps, loop = game.episode.steps, plain_loop(task, **theirs)
    stack, over, lives = loop.reset(), False, steps["info/lives"][0]
    for row in range(game.episode.length):
        lost, lives = 0 < steps["info/lives"][row] < lives, steps["info/lives"][row]
        if steps["info/forced"][row]:
            continue  # the loop did it inside of its reset
        assert not over
        if row == 0 or not steps["info/forced"][row - 1]:
            np.testing.assert_array_equal(loop.get_images()[0], game.pictures[row])
        assert (np.abs(stack[0].astype(int) - policy.seen[row]) > GREY_STEP).mean() < OVERLAP
        np.testing.assert_array_equal(stack[0].any(axis=(0, 1)), policy.seen[row].any(axis=(0, 1)))
        stack, rewards, dones, _ = loop.step([steps["action"][row]])
        assert rewards[0] == steps["info/clipped_reward"][row]
        over = game.episode.terminated and row == game.episode.length - 1
        assert dones[0] == (over or (lost and "fire_reset" not in ours))
    assert steps["info/forced"].any() == (task != "pong" and "fire_reset" not in ours)
    assert len(policy.seen) == game.episode.length
    loop.close()


def test_a_pressed_decision_is_a_row_with_the_action_that_was_sent():
    environment = Atari("breakout", sticky=0.0, noops=30, fire_reset=True)
    steps = played(environment, Random(), limit=300).episode.steps
    forced, actions = steps["info/forced"][:-1], steps["action"][:-1]
    begins = np.flatnonzero(forced & ~np.roll(forced, 1))
    assert len(begins) > 1
    for begin in begins:
        assert actions[begin : begin + 3].tolist() == [0, 1, 2]  # no action, FIRE, the next action
        assert steps["info/lives"][begin - 1] < steps["info/lives"][begin - 2]
    assert forced.sum() == 3 * len(begins)
    assert steps["info/forced"].dtype == np.bool_


def test_the_recorded_actions_play_the_same_episode_again():
    environment = Atari("breakout", noops=30, fire_reset=True)
    episode = played(environment, Random(), limit=200).episode
    assert episode.steps["info/forced"].any()
    again = played(Atari("breakout", noops=30, fire_reset=True), Recorded(episode.steps["action"]), limit=200).episode
    assert first_difference(episode, again) is None
    assert episode.digest() == again.digest()


def test_it_is_part_of_the_identity_where_it_is_on():
    assert "fire_reset" not in Atari("pong").identity()
    assert [Atari("pong", fire_reset=way).identity()["fire_reset"] for way in (True, "start")] == [True, "start"]
    assert "info/forced" not in played(Atari("pong"), Random(), limit=2).episode.steps


@pytest.mark.parametrize("way", ["yes", 1, None])
def test_another_way_to_press_is_refused(way):
    with pytest.raises(InvalidInput, match="true, false or start"):
        Atari("pong", fire_reset=way)


def sent(presses: Presses, lives: list[int]) -> list[int | None]:
    """What is due at each decision, the lives that are left after each being given."""
    due = []
    for left in lives:
        due.append(presses.due)
        presses.decided(left)
    return due


def test_a_life_that_is_lost_by_a_press_has_a_decision_without_action_follow():
    presses = Presses(minimal_actions("breakout"), lives=True)
    presses.begin(5)
    #                      FIRE, next;  own; none, FIRE loses one, none, next;  own
    assert sent(presses, [5, 5, 4, 4, 3, 3, 3, 3]) == [1, 2, None, 0, 1, 0, 2, None]


def test_a_life_that_is_lost_without_action_is_passed_over_as_it_is_there():
    presses = Presses(minimal_actions("breakout"), lives=True)
    presses.begin(5)
    assert sent(presses, [5, 5, 4, 3, 3, 3, 3]) == [1, 2, None, 0, 1, 2, None]


def test_a_game_that_is_over_by_a_press_begins_again_with_the_next_one_due():
    presses = Presses(minimal_actions("breakout"), lives=True)
    presses.begin(1)
    presses.began_again(5)
    assert sent(presses, [5, 5]) == [2, None]


def test_a_bonus_life_and_the_last_one_press_nothing():
    presses = Presses(minimal_actions("mspacman"), lives=True)
    presses.begin(1)
    assert sent(presses, [2, 1, 1, 0, 0]) == [None, None, 0, None, None]
