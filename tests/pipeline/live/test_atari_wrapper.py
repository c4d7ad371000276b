"""A training in Stable-Baselines3's Atari wrapper, recorded inside and outside of it: both hold what was sent."""

import ale_py
import gymnasium
import numpy as np
from stable_baselines3.common.atari_wrappers import AtariWrapper

from pipeline import EpisodeLog, RecordEpisodes
from pipeline.dataset.workspace import Workspace

gymnasium.register_envs(ale_py)
LIVES, SKIP = 5, 4


def test_presses_are_frames_inside_of_the_wrapper_and_lives_are_episodes_outside(tmp_path):
    names = {name: {"domain": "gym", "task": "breakout", "dataset": f"{name}-v1"} for name in ("inside", "outside")}
    with EpisodeLog(tmp_path, **names["inside"]) as inside, EpisodeLog(tmp_path, **names["outside"]) as outside:
        console = RecordEpisodes(gymnasium.make("BreakoutNoFrameskip-v4"), inside)
        env, rng = RecordEpisodes(AtariWrapper(console, noop_max=7), outside), np.random.default_rng(0)
        for _ in range(LIVES):
            env.reset(seed=3)
            over = False
            while not over:
                _, _, terminated, truncated, _ = env.step(int(rng.integers(4)))
                over = terminated or truncated
    workspace = Workspace(str(tmp_path))
    (game,), lives = workspace["gym/breakout/inside-v1"], list(workspace["gym/breakout/outside-v1"])
    assert len(lives) == LIVES
    assert all(life.terminated and life.steps["observation"].shape[1:] == (84, 84, 1) for life in lives)
    sent = game.steps["action"][:-1].tolist()
    at = sent.index(1)  # after the frames without action
    for number, life in enumerate(lives):
        presses = [1, 2] if number == 0 else [0, 1, 2]
        chosen = [*presses, *life.steps["action"][:-1].tolist()]
        frames = [action for action in chosen for _ in range(SKIP)]
        if number == LIVES - 1:  # the last decision ends with the game
            frames = frames[: len(sent) - at]
        assert sent[at : at + len(frames)] == frames
        at += len(frames)
    assert at == len(sent)
