"""What the examples share: a policy plays new episodes in a simulator, and its score is printed beside the data's."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from pipeline import EpisodeDataset
from pipeline.interfaces import Environment

OUTPUTS = Path(__file__).resolve().parent.parent / "outputs"
"""Where run.py and the other examples write."""

FIRST_SEED = 1_000_000
"""New episodes begin with this seed and those after it, which no dataset is likely to hold."""

Act = Callable[[Sequence[np.ndarray], Sequence[np.ndarray], Sequence[float]], np.ndarray]
"""The next action of an episode with T+1 observations, T actions and T rewards so far."""


def play(environment: Environment, act: Act, data: EpisodeDataset, episodes: int = 20) -> float:
    """Play so many episodes to their ends. Returns their mean return, and prints it beside that of the data."""
    returns, solved = [], []
    for seed in range(FIRST_SEED, FIRST_SEED + episodes):
        observations, actions, rewards, successes = [environment.reset(seed)], [], [], []
        over = False
        while not over:
            actions.append(act(observations, actions, rewards))
            after = environment.step(actions[-1])
            observations.append(after.observation)
            rewards.append(after.reward)
            successes.append(after.success)
            over = after.terminated or after.truncated
        returns.append(sum(rewards))
        solved.append(max(successes))
    for who, scores, known in (
        ("played", np.array(returns), np.array(solved)),
        ("the data", data.per_episode("return"), data.per_episode("success")),
    ):
        line = f"{who:>8}: {len(scores):>4} episodes, mean return {scores.mean():6.1f} ({scores.min():.1f} to {scores.max():.1f})"
        print(line if (known < 0).any() else f"{line}, {np.mean(known == 1):.0%} solved")
    return float(np.mean(returns))
