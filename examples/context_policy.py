"""A policy like REGENT's (arXiv:2412.04759): the nearest state's action, and a transformer where no state is near.

python run.py stage=all domain=metaworld 'task=[pick-place,push]'    # experts, neighbours, distances, bins: a minute
python examples/context_policy.py                                    # a minute
"""

from __future__ import annotations

import sys

import numpy as np
import torch
from play import OUTPUTS, Act, play
from torch import nn
from torch.nn.functional import mse_loss
from torch.utils.data import DataLoader

from pipeline import Contexts, EpisodeDataset, ExactIndex, Workspace
from pipeline.envs.metaworld import MetaWorld

TASKS, ROWS = ("pick-place", "push"), 20


class ContextPolicy(nn.Module):
    """Two tokens a row, what was seen and what was done: 19 retrieved states, nearest first, and the query."""

    def __init__(self, observation: int, action: int, width: int = 64) -> None:
        super().__init__()
        self.scale = nn.BatchNorm1d(observation + 1, affine=False)
        self.seen, self.acted = nn.Linear(observation + 1, width), nn.Linear(action, width)
        self.place = nn.Parameter(torch.randn(2 * ROWS, width) / 10)
        layer = nn.TransformerEncoderLayer(width, 4, 2 * width, 0.0, batch_first=True, norm_first=True)
        self.layers = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.action = nn.Sequential(nn.Linear(width, action), nn.Tanh())

    def forward(self, batch: dict[str, torch.Tensor]) -> torch.Tensor:
        """(n, 20, actions): each row's action, of what it and the rows before it show."""
        seen = torch.cat([batch["continuous_observations"], batch["rewards"][..., None]], dim=-1)
        seen = self.scale(seen.flatten(0, 1)).view_as(seen)
        tokens = torch.stack([self.seen(seen), self.acted(batch["continuous_actions"])], dim=2).flatten(1, 2)
        later = torch.ones(2 * ROWS, 2 * ROWS, dtype=torch.bool).triu(1)
        own = self.action(self.layers(tokens + self.place, later)[:, ::2])
        near = batch["exp_lamda_distances"]  # 1 at the nearest state itself, 0 far from it
        return near * batch["continuous_RandP_actions"] + (1 - near) * own


def train(tasks: list[DataLoader], epochs: int) -> tuple[ContextPolicy, list[float]]:
    """The policy after so many epochs, each step on a batch of every task, and the loss of each step."""
    torch.manual_seed(0)
    torch.set_num_threads(1)  # such a small network loses more by handing work to threads than it gains
    policy = ContextPolicy(observation=39, action=4)
    optimizer = torch.optim.AdamW(policy.parameters(), 2e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 2e-3, total_steps=epochs * len(tasks[0]))
    losses = []
    for _ in range(epochs):
        for batches in zip(*tasks, strict=True):
            loss = sum(mse_loss(policy(batch), batch["continuous_actions"]) for batch in batches)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            losses.append(loss.item() / len(batches))
    return policy.eval(), losses


def player(policy: ContextPolicy, data: EpisodeDataset, p95: float) -> Act:
    """Acts by contexts that are made as those of the bins: a new query, and its neighbours in the data."""
    states = data.state_rows("observation", 0, data.states).astype(np.float32)
    acted = data.state_rows("action", 0, data.states)
    received = np.roll(data.state_rows("reward", 0, data.states), 1)  # before acting
    received[data.state_ends - data.lengths] = 0
    index = ExactIndex(states)

    @torch.inference_mode()
    def act(observations, actions, rewards):
        query = np.float32(observations[-1:])
        rows = index.search(query, k=ROWS - 1).rows[0]
        seen = np.concatenate([states[rows], query])
        batch = {
            "continuous_observations": seen,
            "continuous_actions": np.concatenate([acted[rows], np.zeros_like(acted[:1])]),  # the query's is not seen
            "rewards": np.float32([*received[rows], rewards[-1] if rewards else 0]),
            "exp_lamda_distances": np.exp(-10 / p95 * np.linalg.norm(seen - seen[0], axis=1, keepdims=True)),
            "continuous_RandP_actions": acted[rows[:1]].repeat(ROWS, axis=0),
        }
        return policy({name: torch.from_numpy(each)[None] for name, each in batch.items()})[0, -1].numpy()

    return act


def main(outputs: str = str(OUTPUTS)) -> None:
    """Train one policy on both tasks, then play each."""
    workspace = Workspace(outputs)
    contexts = [Contexts.of(workspace.find("bins", f"metaworld/{task}", metric="l2")) for task in TASKS]
    loaders = [DataLoader(each, batch_size=32, shuffle=True, drop_last=True) for each in contexts]
    policy, losses = train(loaders, epochs=3)
    print(f"loss {losses[0]:.3f}, in the end {np.mean(losses[-50:]):.4f}")
    for task, each in zip(TASKS, contexts, strict=True):
        data = workspace[f"metaworld/{task}/scripted-v1"]
        print(task)
        play(MetaWorld(task), player(policy, data, each.p95), data)


if __name__ == "__main__":
    main(*sys.argv[1:])
