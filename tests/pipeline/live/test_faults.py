"""Whatever an environment hands out, the loop goes on: the episode is stored rightly, or left out with a warning."""

from __future__ import annotations

import copy
import os
import pickle
from collections import deque

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, SyncVectorEnv

from pipeline.dataset.workspace import Workspace
from pipeline.errors import InvalidInput
from pipeline.live.facts import environment_facts
from pipeline.live.log import LOST_IN_A_ROW, EpisodeLog
from pipeline.live.single import RecordEpisodes
from pipeline.live.vector import RecordVectorEpisodes
from tests.pipeline.live.odd import LENGTH, Odd, play, recorded


class Speechless(Exception):
    def __str__(self):
        raise RuntimeError("no words")


class Failing:
    """What looks like an array, and is none."""

    def __init__(self, error=None):
        self.error = error or Speechless()

    def __array__(self, *arguments, **named):
        raise self.error


def place(episode, step):
    return np.float32([episode, step])


@pytest.mark.parametrize(
    "given",
    [
        pytest.param(
            lambda e, s: place(e, s).astype(np.float64) if e == 1 else place(e, s), id="float64 in one episode"
        ),
        pytest.param(lambda e, s: place(e, s).astype(np.float64 if s else np.float32), id="float64 after the reset"),
        pytest.param(lambda e, s: [e, s], id="lists"),
        pytest.param(lambda e, s: place(e, s) if s else [e, s], id="a list at the reset"),
        pytest.param(lambda e, s: torch.tensor([e, s]), id="tensors"),
        pytest.param(lambda e, s: deque([e, s]), id="deques"),
        pytest.param(lambda e, s: place(e, s)[None] if s == 1 else place(e, s), id="an axis too many"),
        pytest.param(lambda e, s: memoryview(place(e, s)), id="a view"),
    ],
)
def test_an_observation_is_brought_to_the_dtype_and_shape_of_its_space(tmp_path, given):
    episodes, warnings = recorded(tmp_path, Odd(observation=given))
    assert [episode.steps["observation"].tolist() for episode in episodes] == [
        [[e, s] for s in range(LENGTH + 1)] for e in range(3)
    ]
    assert {episode.steps["observation"].dtype for episode in episodes} == {np.dtype(np.float32)}
    assert warnings == []


@pytest.mark.parametrize(
    "given",
    [
        pytest.param(
            lambda e, s: place(e, s) + (np.float64(0.1) if e == 1 else np.float32(0)), id="digits that float32 lacks"
        ),
        pytest.param(lambda e, s: np.zeros(3) if e == 1 and s == 2 else place(e, s), id="another shape"),
        pytest.param(lambda e, s: Failing() if e == 1 and s == 2 else place(e, s), id="an error without words"),
        pytest.param(lambda e, s: Failing(ValueError("\ud800")) if e == 1 else place(e, s), id="half a character"),
        pytest.param(lambda e, s: Failing(ValueError("x" * 10**6)) if e == 1 else place(e, s), id="a long text"),
        pytest.param(lambda e, s: [[0], [0, 1]] if e == 1 else place(e, s), id="ragged rows"),
        pytest.param(lambda e, s: torch.ones(2, requires_grad=e == 1), id="a tensor that needs a gradient"),
        pytest.param(lambda e, s: None if e == 1 and s == 3 else place(e, s), id="None"),
        pytest.param(lambda e, s: {"a": place(e, s)} if e == 1 else place(e, s), id="a mapping"),
        pytest.param(lambda e, s: "here" if e == 1 and s == 0 else place(e, s), id="a text at the reset"),
        pytest.param(lambda e, s: place(e, np.nan if e == 1 else s), id="NaN"),
    ],
)
def test_an_episode_whose_observations_cannot_be_stored_is_left_out_and_named(tmp_path, given):
    episodes, warnings = recorded(tmp_path, Odd(observation=given))
    assert len(episodes) == 2
    assert len([line for line in warnings if "was left out: " in line and "number 2 of its environment" in line]) == 1
    assert len("".join(warnings)) < 2000


@pytest.mark.parametrize(
    ("space", "name"),
    [
        (spaces.Sequence(spaces.Box(-1, 1, (1,))), "Sequence"),
        (spaces.Text(5), "Text"),
        (spaces.Graph(spaces.Box(-1, 1, (1,)), None), "Graph"),
        (spaces.OneOf([spaces.Discrete(2), spaces.Discrete(3)]), "OneOf"),
        (spaces.Dict(a=spaces.Discrete(2), b=spaces.Tuple([spaces.Text(5)])), "Text"),
        (spaces.Dict(mission=spaces.Text(5)), "holds nothing"),
    ],
)
@pytest.mark.parametrize("vector", [False, True])
def test_a_space_that_cannot_be_stored_is_refused_when_it_is_wrapped(tmp_path, space, name, vector):
    with EpisodeLog(tmp_path, domain="gym", task="odd", dataset="d-v1") as log, pytest.raises(InvalidInput, match=name):
        if vector:
            RecordVectorEpisodes(SyncVectorEnv([lambda: Odd(space)], observation_mode="different"), log)
        else:
            RecordEpisodes(Odd(space), log)


@pytest.mark.parametrize("wrap", [RecordEpisodes, RecordVectorEpisodes])
def test_what_is_no_environment_of_the_kind_is_refused_with_the_right_wrapper(tmp_path, wrap):
    from stable_baselines3.common.vec_env import DummyVecEnv

    with EpisodeLog(tmp_path, domain="gym", task="odd", dataset="d-v1") as log:
        with pytest.raises(InvalidInput, match="wrap each environment inside"):
            wrap(DummyVecEnv([Odd]), log)
        if wrap is RecordEpisodes:
            with pytest.raises(InvalidInput, match="record them with RecordVectorEpisodes"):
                wrap(SyncVectorEnv([Odd]), log)


@pytest.mark.parametrize("reward", [np.array([1.5]), np.float16(1.5), torch.tensor([1.5]), [1.5]])
def test_a_reward_of_one_number_is_stored_whatever_holds_it(tmp_path, reward):
    episodes, _ = recorded(tmp_path, Odd(reward=lambda e, s: reward))
    assert episodes[0].steps["reward"].tolist() == [1.5] * LENGTH + [0]


@pytest.mark.parametrize("reward", [None, np.zeros(2), "much", float("nan")])
def test_an_episode_with_a_reward_that_is_no_number_is_left_out(tmp_path, reward):
    episodes, warnings = recorded(tmp_path, Odd(reward=lambda e, s: reward if e == 1 else 1.0))
    assert len(episodes) == 2
    assert any("number 2 of its environment" in line and "reward" in line for line in warnings)


def test_infos_that_are_none_or_no_mapping_harm_nothing(tmp_path):
    episodes, warnings = recorded(tmp_path, Odd(info=lambda e, s: None if e else [1], told=lambda e, s: None))
    assert len(episodes) == 3
    assert warnings == ["an info that is no mapping is not stored: list"]


@pytest.mark.parametrize("kind", [deque, list, lambda values: {"inner": [np.array(values)]}, torch.tensor])
def test_infos_that_are_filled_further_are_stored_as_they_were(tmp_path, kind):
    class Filling(Odd):
        history = np.zeros(2)

        def step(self, action):
            self.history[:] = self.steps
            return *super().step(action)[:4], {"history": self.history, "more": kind([self.steps])}

    episodes, _ = recorded(tmp_path, Filling())
    assert episodes[0].steps["info/history"][:, 0].tolist() == [0, 1, 2, 0]


def test_a_success_of_none_or_nan_is_unknown_and_texts_and_resets_are_kept(tmp_path):
    values = [None, float("nan"), True]
    env = Odd(info=lambda e, s: {"is_success": values[e], "door": "shut"}, told=lambda e, s: {"level": "one", "x": e})
    episodes, _ = recorded(tmp_path, env)
    assert [episode.success for episode in episodes] == [-1, -1, 1]
    assert episodes[0].info_texts == {"door": ["shut"] * LENGTH}
    assert [(int(each.reset_info["x"]), each.reset_texts["level"]) for each in episodes] == [
        (0, "one"),
        (1, "one"),
        (2, "one"),
    ]


def test_a_mission_that_changes_is_noted_once_and_half_a_character_is_replaced(tmp_path):
    space = spaces.Dict(x=spaces.Box(-1, 1, (1,)), mission=spaces.Text(20))
    says = [lambda s: f"go to {s}", lambda s: f"walk to {s}", lambda s: "take the \ud83d"]
    episodes, warnings = recorded(
        tmp_path, Odd(space, observation=lambda e, s: {"x": np.zeros(1, np.float32), "mission": says[e](s)})
    )
    assert [episode.mission for episode in episodes] == ["go to 0", "walk to 0", "take the ?"]
    assert [line.split(":")[0] for line in warnings] == [
        "the mission changed in the middle of an episode, where its first one is kept",
        "half of a character in a mission, which cannot be written as UTF-8, is stored as ?",
    ]


def test_recording_stops_aloud_after_many_faults_and_the_loop_goes_on(tmp_path, caplog):
    with EpisodeLog(tmp_path, domain="gym", task="odd", dataset="d-v1") as log:
        env = RecordEpisodes(Odd(reward=lambda e, s: None if e else 1.0), log)
        play(env, LOST_IN_A_ROW)
        assert not log.stopped
        play(env, 5)
        assert log.stopped
        assert len(log) == 1
    assert caplog.text.count("was left out") == LOST_IN_A_ROW
    assert [record.levelname for record in caplog.records].count("ERROR") == 1
    assert "recording stopped, nothing that comes after is stored" in caplog.text


def test_a_disk_that_is_full_stops_recording_and_not_the_loop(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    log = EpisodeLog(tmp_path, domain="gym", task="odd", dataset="d-v1")
    env = RecordEpisodes(Odd(), log)
    play(env, 1)
    monkeypatch.setattr(os, "pwritev", full)
    play(env, LOST_IN_A_ROW + 2)
    assert log.stopped
    assert len(log) == 1
    log.close()


def test_no_episode_that_is_stored_later_is_called_left_out(tmp_path, monkeypatch, caplog):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(EpisodeLog, "part_bytes", 1)
    with EpisodeLog(tmp_path, domain="gym", task="odd", dataset="d-v1") as log:
        env = RecordEpisodes(Odd(), log)
        play(env, 1)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("pipeline.dataset.writer.write_part", full)
            play(env, LOST_IN_A_ROW + 2)
        assert log.stopped
        assert len(log) == 1 + LOST_IN_A_ROW
    assert Workspace(str(tmp_path)).dataset("gym", "odd", "d-v1").manifest.counts["episodes"] == 1 + LOST_IN_A_ROW
    assert "left out" not in caplog.text
    assert "Episode 1 is kept in " in caplog.text


@pytest.mark.parametrize(
    ("space", "action", "stored"),
    [
        (spaces.Discrete(2, dtype=np.uint8), 1, np.uint8(1)),
        (spaces.Discrete(3), np.array([2]), np.int64(2)),
        (spaces.Box(-1, 1, (1,)), 0.5, np.float32([0.5])),
        (
            spaces.Dict(b=spaces.Discrete(3), a=spaces.Tuple([spaces.MultiBinary(2), spaces.Discrete(5, start=2)])),
            {"b": 1, "a": ([1, 0], 4)},
            np.int64([1, 1, 0, 4]),
        ),
        (
            spaces.Tuple([spaces.Box(-1, 1, (2,)), spaces.Box(-1, 1, (1, 1))]),
            (np.float32([0.5, 1]), np.float32([[-1]])),
            np.float32([0.5, 1, -1]),
        ),
    ],
)
def test_an_action_is_one_array_as_the_gym_domain_has_it(tmp_path, space, action, stored):
    (episode, *_), warnings = recorded(tmp_path, Odd(actions=space), lambda env: play(env, action=action))
    np.testing.assert_array_equal(episode.steps["action"], [stored] * LENGTH + [np.zeros_like(stored)])
    assert episode.steps["action"].dtype == stored.dtype
    joined = isinstance(space, spaces.Dict | spaces.Tuple)
    assert any(line.startswith("the parts of an action are one array") for line in warnings) == joined
    assert ("action_layout" in environment_facts(Odd(actions=space))) == joined


def test_joined_actions_of_a_vector_environment(tmp_path):
    space = spaces.Dict(a=spaces.Discrete(3), b=spaces.MultiBinary(2))
    batch = {"a": np.array([1, 2]), "b": np.int8([[0, 1], [1, 1]])}

    def loop(envs):
        envs.reset()
        for _ in range(LENGTH):
            envs.step(batch)

    envs = SyncVectorEnv([lambda: Odd(actions=space)] * 2)
    episodes, _ = recorded(tmp_path, envs, loop, RecordVectorEpisodes)
    assert [episode.steps["action"][0].tolist() for episode in episodes] == [[1, 0, 1], [2, 1, 1]]


def test_an_action_that_the_space_does_not_hold_loses_its_episode_alone(tmp_path):
    def loop(env):
        for action in (1, 0.7, 1):
            play(env, 1, action)

    episodes, warnings = recorded(tmp_path, Odd(), loop)
    assert len(episodes) == 2
    assert any("which has no 0.7" in line for line in warnings)


@pytest.mark.parametrize("mode", [AutoresetMode.NEXT_STEP, AutoresetMode.SAME_STEP])
def test_one_faulty_environment_of_several_loses_its_own_episode_alone(tmp_path, mode):
    def make():
        return Odd(info=lambda e, s: {"is_success": True}, reward=lambda e, s: 1.0)

    class Torn(gym.vector.VectorWrapper):
        steps = 0

        def step(self, actions):
            seen, _, *rest = super().step(actions)
            self.steps += 1
            return seen, np.array([np.nan if self.steps == 2 else 1.0, 1.0]), *rest

    def loop(envs):
        envs.reset(seed=[5, 6])
        for _ in range(3 * (LENGTH + 1)):
            envs.step(np.zeros(2, int))

    episodes, warnings = recorded(
        tmp_path, Torn(SyncVectorEnv([make] * 2, autoreset_mode=mode)), loop, RecordVectorEpisodes
    )
    expected = 3 if mode == AutoresetMode.NEXT_STEP else 4
    assert len(episodes) == 2 * expected - 1
    assert [line.split(":")[0] for line in warnings] == [
        "an episode (number 1 of its environment, seed 5, 3 steps) was left out"
    ]


def test_faults_in_episodes_that_begin_and_end_without_a_word_are_named_at_their_end(tmp_path, monkeypatch, caplog):
    given = {(2, 1): np.nan, (3, 0): np.nan}

    def loop(envs):
        envs.reset()
        for step in range(5 * (LENGTH + 1)):
            with monkeypatch.context() as patch:
                if step > 4 * (LENGTH + 1):
                    patch.setattr(os, "pwritev", lambda *_: exec("raise OSError(28, 'No space left on device')"))
                envs.step(np.zeros(1, int))
                seen.append(len(caplog.records))

    def observation(episode, step):
        return place(episode, given.get((episode, step), step))

    seen = []
    episodes, warnings = recorded(
        tmp_path, SyncVectorEnv([lambda: Odd(observation=observation)]), loop, RecordVectorEpisodes
    )
    assert len(episodes) == 2
    assert [line.split(" of its")[0] for line in warnings] == [f"an episode (number {n}" for n in (3, 4, 5)]
    assert ["3 steps" in line for line in warnings] == [True] * 3
    assert "observation holds NaN, first at step 1" in warnings[0]
    assert "No space left" in warnings[2]
    ends = [LENGTH + (LENGTH + 1) * n - 1 for n in range(5)]
    assert [step for step in range(1, len(seen)) if seen[step] > seen[step - 1]] == ends[2:]


def test_a_recorded_environment_is_copied_and_sent_as_before(tmp_path):
    env = Odd()
    with EpisodeLog(tmp_path, domain="gym", task="odd", dataset="d-v1") as log:
        recorder = RecordEpisodes(env, log)
        recorder.reset()
        for twin in (copy.deepcopy(env), pickle.loads(pickle.dumps(env))):
            twin.reset()
            assert (twin.episode, env.episode) == (1, 0)
        recorder.close()
    assert "reset" not in vars(env)
