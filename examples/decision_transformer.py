"""A small decision transformer (arXiv:2106.01345): it is told which return is wanted, and acts to reach it.

python examples/log_training.py            # an agent learns CartPole, all its episodes are kept: half a minute
python examples/decision_transformer.py    # a minute
"""

from __future__ import annotations

import sys
from collections.abc import Callable

import numpy as np
import torch
from play import OUTPUTS, Batch, SoFar, learn, play
from torch import nn
from torch.nn.functional import cross_entropy

from pipeline import Loader, Windows, Workspace
from pipeline.envs.gym.environment import Gym

ROWS, HEADS, LONGEST = 20, 4, 500
FIELDS = ("return_to_go", "observation", "action", "timestep", "mask")


class DecisionTransformer(nn.Module):
    """Three tokens a row: return-to-go, observation, action. The logits of an action are read at its observation."""

    def __init__(self, width: int = 64) -> None:
        super().__init__()
        self.wanted, self.seen, self.acted = nn.Linear(1, width), nn.Linear(4, width), nn.Embedding(2, width)
        self.time = nn.Embedding(LONGEST, width)
        layer = nn.TransformerEncoderLayer(width, HEADS, 2 * width, 0.0, batch_first=True, norm_first=True)
        self.layers = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.logits = nn.Linear(width, 2)

    def forward(self, batch: Batch) -> torch.Tensor:
        """(n, rows, 2) logits; each row sees itself and those before it."""
        to_go, observation, action, timestep, mask = (batch[name] for name in FIELDS)
        tokens = torch.stack([self.wanted(to_go[..., None] / LONGEST), self.seen(observation), self.acted(action)], 2)
        tokens = (tokens + self.time(timestep)[:, :, None]).flatten(1, 2)
        past = torch.ones(tokens.shape[1], tokens.shape[1], dtype=torch.bool).tril()
        itself = torch.eye(len(past), dtype=torch.bool)  # padding, too: there is no softmax of nothing
        sees = past & mask.repeat_interleave(3, 1)[:, None] | itself
        return self.logits(self.layers(tokens, ~sees.repeat_interleave(HEADS, 0))[:, 1::3])

    def loss(self, batch: Batch) -> torch.Tensor:
        """Of the actions that were taken, without the padding."""
        return cross_entropy(self(batch)[batch["mask"]], batch["action"][batch["mask"]])


def player(model: DecisionTransformer, target: float) -> Callable[[SoFar], np.ndarray]:
    """Acts for the return `target`; what is still wanted is what is left of it."""

    @torch.inference_mode()
    def act(so_far: SoFar) -> np.ndarray:
        to_go = target - np.cumsum([0, *so_far.rewards], dtype=np.float32)
        actions = [*so_far.actions, 0]  # the last is the one to be found: nothing sees it
        rows = to_go, so_far.observations, actions, np.arange(len(to_go)), np.ones(len(to_go), bool)
        newest = [torch.from_numpy(np.array(each[-ROWS:]))[None] for each in rows]
        return model(dict(zip(FIELDS, newest, strict=True)))[0, -1].argmax().numpy()

    return act


def main(outputs: str = str(OUTPUTS)) -> None:
    """Train, then play for a high and for a low return."""
    data = Workspace(outputs)["gym/cartpole-v1/ppo-online-v1"]
    windows = Windows.of(data, length=ROWS, padding="left", fields=FIELDS, seed=0)
    torch.manual_seed(0)
    model = DecisionTransformer()
    learn(model, Loader(windows, batch_size=64), model.loss, epochs=1, rate=3e-3)
    for target in (500, 100):
        print(f"wanted   return {target}")
        play(Gym("cartpole-v1", "CartPole-v1"), player(model, target), data, episodes=10)


if __name__ == "__main__":
    main(*sys.argv[1:])
