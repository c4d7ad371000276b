"""A dm_env environment that is stepped by other people's loops."""

import tempfile
import unittest
from collections import OrderedDict

import dm_env
import numpy as np
import pytest
from dm_env import specs, test_utils

from pipeline.dataset.reader import EpisodeDataset
from pipeline.dataset.workspace import Workspace
from pipeline.errors import InvalidInput
from pipeline.live.dm import RecordDmEpisodes
from pipeline.live.log import EpisodeLog

LIMIT = 5


class Climb(dm_env.Environment):
    """Goes up by an action of 1 and stays by 0; three up is the end, `LIMIT` steps is a truncation at discount 0.9.

    The observation is an OrderedDict of a float32 vector in one buffer and a plain Python number.
    """

    def __init__(self):
        self._height = np.zeros(2, np.float32)
        self._over = True

    def reset(self):
        self._over, self._steps = False, 0
        self._height[:] = 0
        return dm_env.restart(self._seen())

    def step(self, action):
        if self._over:
            return self.reset()
        self._steps += 1
        self._height += action
        if self._height[0] == 3:
            self._over = True
            return dm_env.termination(np.float64(1.0), self._seen())
        if self._steps == LIMIT:
            self._over = True
            return dm_env.truncation(-1.0, self._seen(), 0.9)
        return dm_env.transition(0.25, self._seen(), 0.9)

    def observation_spec(self):
        return OrderedDict(height=specs.Array((2,), np.float32), steps=specs.Array((), int))

    def action_spec(self):
        return specs.DiscreteArray(2)

    def altitude(self):
        return float(self._height[0])

    def _seen(self):
        return OrderedDict(height=self._height, steps=self._steps)


def opened(root, **settings):
    return EpisodeLog(root, **({"domain": "dm", "task": "climb", "dataset": "fixed-v1"} | settings))


def stored(root):
    return list(EpisodeDataset.of(Workspace(str(root)).dataset("dm", "climb", "fixed-v1")))


def played(root, actions, reset=True, **settings):
    with opened(root, **settings) as log:
        env = RecordDmEpisodes(Climb(), log)
        if reset:
            env.reset()
        for action in actions:
            env.step(action)
    return stored(root)


def test_an_end_at_discount_0_is_a_termination(tmp_path):
    (episode,) = played(tmp_path, [1, 0, 1, 1])
    assert (episode.terminated, episode.truncated, episode.end_reason) == (True, False, "terminated")
    np.testing.assert_array_equal(episode.steps["observation/height"][:, 0], np.float32([0, 1, 1, 2, 3]))
    np.testing.assert_array_equal(episode.steps["observation/steps"], [0, 1, 2, 3, 4])
    np.testing.assert_array_equal(episode.steps["action"], [1, 0, 1, 1, 0])
    np.testing.assert_array_equal(episode.steps["reward"], [0.25, 0.25, 0.25, 1, 0])
    np.testing.assert_array_equal(episode.steps["discount"], [0.9, 0.9, 0.9, 0, 0])
    assert episode.steps["observation/height"].dtype == np.float32


def test_an_end_at_another_discount_is_a_truncation(tmp_path):
    (episode,) = played(tmp_path, [0] * LIMIT)
    assert (episode.terminated, episode.truncated, episode.end_reason) == (False, True, "time_limit")
    np.testing.assert_array_equal(episode.steps["discount"][:-1], [0.9] * LIMIT)
    assert episode.steps["reward"][-2] == -1


@pytest.mark.parametrize("reset", [True, False])
def test_the_action_that_begins_a_sequence_is_ignored(tmp_path, reset):
    actions = [1, 1, 1, 0, 1, 0, 1, 1]  # the fourth one resets
    episodes = played(tmp_path, actions if reset else [1, *actions], reset)
    assert [episode.steps["action"][:-1].tolist() for episode in episodes] == [[1, 1, 1], [1, 0, 1, 1]]


def test_an_episode_under_way_is_kept_where_that_is_asked(tmp_path):
    (episode,) = played(tmp_path, [1, 0], unfinished="keep")
    assert (episode.length, episode.truncated, episode.end_reason) == (2, True, "budget")


def test_lists_of_observations_are_numbered(tmp_path):
    class Listed(Climb):
        def _seen(self):
            return [self._height, (np.int8(self._steps),)]

        def observation_spec(self):
            return [specs.Array((2,), np.float32), (specs.Array((), np.int8),)]

    with opened(tmp_path) as log:
        env = RecordDmEpisodes(Listed(), log)
        for action in (0, 1, 1, 1):
            env.step(action)
    (episode,) = stored(tmp_path)
    np.testing.assert_array_equal(episode.steps["observation/1/0"], np.int8([0, 1, 2, 3]))
    np.testing.assert_array_equal(episode.steps["observation/0"][:, 1], np.float32([0, 1, 2, 3]))


def test_rewards_of_several_numbers_are_refused(tmp_path):
    class Two(Climb):
        def reward_spec(self):
            return specs.Array((2,), float)

    with opened(tmp_path) as log, pytest.raises(InvalidInput, match="A reward must be one number"):
        RecordDmEpisodes(Two(), log)


def test_what_the_environment_has_besides_is_still_there(tmp_path):
    with opened(tmp_path) as log:
        env = RecordDmEpisodes(Climb(), log)
        env.reset()
        env.step(1)
        assert env.altitude() == 1
        with pytest.raises(AttributeError):
            env.nothing  # noqa: B018


class TestWrapped(test_utils.EnvironmentTestMixin, unittest.TestCase):
    """dm_env's own conformance suite."""

    def make_object_under_test(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        log = opened(folder.name)
        self.addCleanup(log.close)
        return RecordDmEpisodes(Climb(), log)

    def make_action_sequence(self):
        yield from [1] * 8 + [0] * 8
