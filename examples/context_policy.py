"""A policy like REGENT's (arXiv:2412.04759): the nearest state's action where one is near, else a transformer's.

python run.py stage=all domain=metaworld 'task=[pick-place,push]'    # experts, neighbours, bins: a minute
python examples/context_policy.py                                    # a minute
"""

from __future__ import annotations

import sys
from collections.abc import Callable

import numpy as np
import torch
from play import OUTPUTS, Batch, SoFar, learn, play
from torch import nn
from torch.nn.functional import mse_loss

from pipeline import Contexts, EpisodeDataset, ExactIndex, Loader, Mixture, Workspace
from pipeline.envs.metaworld import MetaWorld

TASKS, ROWS = ("pick-place", "push"), 20


class ContextPolicy(nn.Module):
    """Two tokens a row, what was seen and what was done: 19 retrieved states, nearest first, and the query."""

    def __init__(self, width: int = 64) -> None:
        super().__init__()
        self.scale, self.seen, self.acted = nn.BatchNorm1d(39, affine=False), nn.Linear(39, width), nn.Linear(4, width)
        self.place = nn.Parameter(torch.randn(2 * ROWS, width) / 10)
        layer = nn.TransformerEncoderLayer(width, 4, 2 * width, 0.0, batch_first=True, norm_first=True)
        self.layers = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.action = nn.Sequential(nn.Linear(width, 4), nn.Tanh())

    def forward(self, batch: Batch) -> torch.Tensor:
        """(n, 20, 4) actions; each row sees itself and those before it."""
        seen = self.scale(batch["continuous_observations"].mT).mT
        tokens = torch.stack([self.seen(seen), self.acted(batch["continuous_actions"])], dim=2).flatten(1, 2)
        future = torch.ones(2 * ROWS, 2 * ROWS, dtype=torch.bool).triu(1)
        own = self.action(self.layers(tokens + self.place, future)[:, ::2])
        near = batch["exp_lamda_distances"]  # exp(-10 d): 1 at the nearest state itself
        return near * batch["continuous_RandP_actions"] + (1 - near) * own


def player(policy: ContextPolicy, data: EpisodeDataset, p95: float) -> Callable[[SoFar], np.ndarray]:
    """Acts by the context of the newest state, made of the data as those of the bins are."""
    states = data.state_rows("observation", 0, data.states).astype(np.float32)
    acted, index = data.state_rows("action", 0, data.states), ExactIndex(states)

    @torch.inference_mode()
    def act(so_far: SoFar) -> np.ndarray:
        query = np.array(so_far.observations[-1:], np.float32)
        rows = index.search(query, k=ROWS - 1).rows[0]
        seen = np.concatenate([states[rows], query])
        batch = {
            "continuous_observations": seen,
            "continuous_actions": np.concatenate([acted[rows], np.zeros_like(acted[:1])]),  # the query's is to be found
            "exp_lamda_distances": np.exp(-10 / p95 * np.linalg.norm(seen - seen[0], axis=1, keepdims=True)),
            "continuous_RandP_actions": acted[rows[:1]].repeat(ROWS, axis=0),
        }
        return policy({name: torch.from_numpy(array)[None] for name, array in batch.items()})[0, -1].numpy()

    return act


def main(outputs: str = str(OUTPUTS)) -> None:
    """Train one policy on both tasks, then play each."""
    workspace = Workspace(outputs)
    contexts = [Contexts.of(workspace.find("bins", f"metaworld/{task}", metric="l2"), seed=0) for task in TASKS]
    torch.manual_seed(0)
    policy = ContextPolicy()
    batches = Loader(Mixture(contexts), batch_size=64)
    learn(policy, batches, lambda batch: mse_loss(policy(batch), batch["continuous_actions"]), epochs=3, rate=2e-3)
    for task, of_task in zip(TASKS, contexts, strict=True):
        print(task)
        data = workspace[f"metaworld/{task}/scripted-v1"]
        play(MetaWorld(task), player(policy, data, float(of_task.p95)), data)


if __name__ == "__main__":
    main(*sys.argv[1:])
