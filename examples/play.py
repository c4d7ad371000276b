"""What the examples that train share: a training loop, and a policy that plays, its score printed beside the data's."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import nn

from pipeline import EpisodeDataset, Loader
from pipeline.interfaces import Environment

OUTPUTS = Path(__file__).resolve().parent.parent / "outputs"
"""Where run.py and the other examples write."""

FIRST_SEED = 1_000_000
"""Of the new episodes; no dataset is likely to have them."""

Batch = dict[str, torch.Tensor]


class SoFar(NamedTuple):
    """What an episode has brought until now: T+1 observations, T actions, T rewards."""

    observations: list[Any]
    actions: list[np.ndarray]
    rewards: list[float]


def learn(
    network: nn.Module,
    batches: Loader,
    loss_of: Callable[[Batch], torch.Tensor],
    epochs: int,
    rate: float = 1e-3,
) -> list[float]:
    """Train a network for so many epochs; returns the loss of each step, and prints where it began and ended."""
    torch.set_num_threads(1)  # such small networks lose more by handing work to threads than they gain
    optimizer = torch.optim.AdamW(network.parameters(), rate)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, rate, total_steps=epochs * len(batches))
    losses = []
    for _ in range(epochs):
        for batch in batches:
            loss = loss_of(batch)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            losses.append(loss.item())
    network.eval()
    print(f"loss {losses[0]:.4f}, after {len(losses)} steps {np.mean(losses[-20:]):.4f}")
    return losses


def play(
    environment: Environment, act: Callable[[SoFar], np.ndarray], data: EpisodeDataset, episodes: int = 20
) -> float:
    """Play so many new episodes to their ends; returns their mean return, and prints it beside that of the data."""
    returns, solved = [], []
    for seed in range(FIRST_SEED, FIRST_SEED + episodes):
        so_far, success, over = SoFar([environment.reset(seed)], [], []), -1, False
        while not over:
            so_far.actions.append(act(so_far))
            after = environment.step(so_far.actions[-1])
            so_far.observations.append(after.observation)
            so_far.rewards.append(after.reward)
            success = max(success, after.success)
            over = after.terminated or after.truncated
        returns.append(sum(so_far.rewards))
        solved.append(success)
    print("played  ", score(np.array(returns), np.array(solved)))
    print("the data", score(data.per_episode("return"), data.per_episode("success")))
    return float(np.mean(returns))


def score(returns: np.ndarray, solved: np.ndarray) -> str:
    """Of (n,) episodes; `solved` is 1, 0, or -1 where nobody knows."""
    line = f"mean return {returns.mean():.1f} ({returns.min():.1f} to {returns.max():.1f}) of {len(returns)} episodes"
    return line if (solved < 0).any() else f"{line}, {np.mean(solved == 1):.0%} of them solved"
