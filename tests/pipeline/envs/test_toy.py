"""The gridworld against hand-made boards, a breadth-first search and its own rules."""

from __future__ import annotations

import math
import subprocess
import sys
from collections import deque
from functools import partial

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.envs import toy
from pipeline.envs.toy import Toy
from pipeline.errors import InvalidInput, UnknownName
from pipeline.interfaces import Observation
from pipeline.policies.scripted import Scripted
from pipeline.rollout.rollout import rollout
from tests.contracts.environment import EnvironmentContract, play

STAY, UP, DOWN, LEFT, RIGHT = range(5)


class TestCorner(EnvironmentContract):
    def factory(self):
        return partial(Toy, task="corner", max_steps=20)


class TestMaze(EnvironmentContract):
    def factory(self):
        return partial(Toy, task="maze", max_steps=20)


class TestKey(EnvironmentContract):
    def factory(self):
        return partial(Toy, task="key", max_steps=20, size=6)


@pytest.fixture
def no_slips(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(toy, "SLIP", 0.0)


def expert_episode(task: str, seed: int):
    return rollout(Toy(task), Scripted(), seed, np.random.default_rng(seed))


def cells(observation: Observation, size: int = 9) -> list[int | None]:
    """Agent row, column, goal row, ... of an observation in whole cells; None for what is not there."""
    values = np.delete(np.asarray(observation), 6) * (size - 1)
    return [None if value < 0 else round(float(value)) for value in values]


def steps_by_search(observation: Observation) -> int:
    """Length of the shortest way by breadth-first search over what the observation shows."""
    row, column, goal_row, goal_column, key_row, key_column, wall, gap = cells(observation)
    stops = [(goal_row, goal_column)] if key_row is None else [(key_row, key_column), (goal_row, goal_column)]
    place, total = (row, column), 0
    for stop in stops:
        reached, queue = {place: 0}, deque([place])
        while queue:
            here = queue.popleft()
            for down, right in toy.MOVES:
                there = (here[0] + down, here[1] + right)
                inside = 0 <= there[0] < 9 and 0 <= there[1] < 9
                if inside and there not in reached and (there[1] != wall or there[0] == gap):
                    reached[there] = reached[here] + 1
                    queue.append(there)
        place, total = stop, total + reached[stop]
    return total


@given(task=st.sampled_from(toy.TASKS), seed=st.integers(0, 2**31 - 1))
def test_the_expert_always_arrives(task: str, seed: int):
    episode = expert_episode(task, seed)
    assert episode.success == 1
    assert episode.terminated
    assert episode.steps["discount"].tolist() == [1.0] * (episode.length - 1) + [0.0, 0.0]


@pytest.mark.parametrize("task", toy.TASKS)
@pytest.mark.usefixtures("no_slips")
def test_without_slips_the_expert_walks_the_shortest_way(task: str):
    for seed in range(100):
        episode = expert_episode(task, seed)
        assert episode.length == steps_by_search(episode.steps["observation"][0])


@pytest.mark.parametrize("task", toy.TASKS)
def test_the_reported_distance_is_that_of_a_search(task: str):
    for seed in range(20):
        episode = expert_episode(task, seed)
        observations, distances = episode.steps["observation"], episode.steps["info/distance"]
        for step in range(episode.length):
            assert distances[step] == steps_by_search(observations[step + 1])


@pytest.mark.parametrize(("task", "bonus"), [("corner", 1.0), ("maze", 1.0), ("key", 1.5)])
def test_the_return_follows_from_length_and_distance(task: str, bonus: float):
    for seed in range(20):
        episode = expert_episode(task, seed)
        distance = steps_by_search(episode.steps["observation"][0])
        expected = bonus + 0.05 * distance - 0.01 * episode.length
        assert episode.total_reward == pytest.approx(expected)


@pytest.mark.usefixtures("no_slips")
def test_moves_go_where_they_say_and_stop_at_the_edge():
    environment = Toy("corner")
    row, column, *_ = cells(environment.reset(0))
    for move, change in ((STAY, (0, 0)), (UP, (-1, 0)), (DOWN, (1, 0)), (LEFT, (0, -1)), (RIGHT, (0, 1))):
        transition = environment.step(np.asarray(move))
        row, column = row + change[0], column + change[1]
        assert cells(transition.observation)[:2] == [row, column]
    for _ in range(9):
        transition = environment.step(np.asarray(LEFT))
        if transition.terminated:
            return
    assert cells(transition.observation)[1] == 0


@pytest.mark.usefixtures("no_slips")
def test_the_wall_is_closed_but_for_its_gap():
    environment, blocked = Toy("maze", max_steps=300), 0
    for seed in range(20):
        observation = environment.reset(seed)
        row, _, _, _, _, _, wall, gap = cells(observation)
        for _ in range(9):
            transition = environment.step(np.asarray(RIGHT))
            if transition.terminated:
                break
        if row != gap:
            blocked += 1
            assert cells(transition.observation)[1] == wall - 1
    assert blocked > 10


@pytest.mark.usefixtures("no_slips")
def test_the_goal_does_not_count_without_the_key():
    environment = Toy("key", max_steps=100)
    for seed in range(30):
        row, column, goal_row, goal_column, key_row, key_column, *_ = cells(environment.reset(seed))
        if key_row in (row, goal_row) or key_column in (column, goal_column):
            continue  # the way to the goal would fetch the key
        vertical = [UP if goal_row < row else DOWN] * abs(goal_row - row)
        horizontal = [LEFT if goal_column < column else RIGHT] * abs(goal_column - column)
        for move in vertical + horizontal:
            transition = environment.step(np.asarray(move))
        assert cells(transition.observation)[:2] == [goal_row, goal_column]
        assert not transition.terminated
        assert transition.success == 0
        return
    pytest.fail("no board of 30 keeps the key off the way")


def test_the_observation_shows_the_board():
    observation = np.asarray(Toy("corner").reset(0))
    assert observation.dtype == np.float32
    assert observation.shape == (9,)
    assert set(observation[2:4].tolist()) <= {0.0, 1.0}  # a corner
    assert observation[4:].tolist() == [-1, -1, 0, -1, -1]  # no key, none carried, no wall
    episode = expert_episode("key", 4)
    carrying = episode.steps["observation"][:, 6]
    assert carrying[0] == 0
    assert carrying[-1] == 1
    assert (episode.steps["observation"][carrying == 1, 4:6] == -1).all()


def test_one_step_in_ten_slips():
    slips = np.concatenate([expert_episode("key", seed).steps["info/slipped"][:-1] for seed in range(300)])
    spread = math.sqrt(0.1 * 0.9 / len(slips))
    assert abs(slips.mean() - 0.1) < 4 * spread


def test_episodes_differ_in_length():
    assert len({expert_episode("maze", seed).length for seed in range(50)}) > 10


def test_a_picture_shows_agent_goal_and_key():
    environment = Toy("key")
    row, column, goal_row, goal_column, key_row, key_column, *_ = cells(environment.reset(5))
    picture = environment.render()
    assert picture.shape == (144, 144, 3)
    for (r, c), colour in (
        ((row, column), toy.AGENT),
        ((goal_row, goal_column), toy.GOAL),
        ((key_row, key_column), toy.KEY),
    ):
        assert tuple(picture[16 * r + 8, 16 * c + 8].tolist()) == colour


def test_a_size_that_does_not_divide_the_picture_leaves_a_frame():
    environment = Toy("corner", size=10)
    environment.reset(0)
    picture = environment.render()
    assert picture.shape == (144, 144, 3)
    assert (picture[:2] == toy.WALL).all()


def test_unusable_settings_are_refused():
    with pytest.raises(UnknownName, match="corner, key, maze"):
        Toy("corners")
    with pytest.raises(InvalidInput, match="size=3"):
        Toy("corner", size=3)
    with pytest.raises(InvalidInput, match="max_steps"):
        Toy("corner", max_steps=0)


@pytest.mark.parametrize("move", [-1, 5])
@pytest.mark.usefixtures("no_slips")
def test_an_unknown_move_is_refused(move: int):
    environment = Toy("corner")
    environment.reset(0)
    with pytest.raises(InvalidInput, match=f"given {move}"):
        environment.step(np.asarray(move))


def test_rendering_needs_a_board():
    with pytest.raises(RuntimeError, match="reset"):
        Toy("corner").render()


def test_importing_it_loads_nothing_heavy():
    code = (
        "import sys, pipeline.envs.toy, pipeline.envs.metaworld, pipeline.rollout.rollout\n"
        "print({'torch', 'mujoco', 'metaworld', 'gymnasium'} & set(sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "set()"


def test_the_identity_holds_all_that_changes_an_episode():
    assert Toy("key", 7, 6).identity() == {"simulator": "toy", "version": 1, "max_steps": 7, "size": 6}


@pytest.mark.parametrize(
    ("task", "golden"), [("corner", "5cf1a4c0b3b4dab0"), ("maze", "2fd37d122e6339c0"), ("key", "38304d04221b7081")]
)
def test_episodes_change_only_with_the_version(task: str, golden: str):
    """Fails when a seed gives another episode: raise `VERSION` and renew these digests."""
    assert toy.VERSION == 1
    assert play(Toy(task), seed=0).digest().hex()[:16] == golden
