"""A small decision transformer (arXiv:2106.01345) on windows: told which return is wanted, it acts to reach it.

python examples/log_training.py            # all that an agent played while it learned CartPole: half a minute
python examples/decision_transformer.py    # a minute
"""

from __future__ import annotations

import sys

import numpy as np
import torch
from play import OUTPUTS, Act, play
from torch import nn
from torch.nn.functional import cross_entropy

from pipeline import Loader, Windows, Workspace
from pipeline.envs.gym.environment import Gym

ROWS, HEADS, LONGEST = 20, 4, 500
FIELDS = ("observation", "action", "return_to_go", "timestep", "mask")


class DecisionTransformer(nn.Module):
    """Three tokens a row: return-to-go, observation, action. The logits of an action are read at its observation."""

    def __init__(self, observation: int, actions: int, width: int = 64) -> None:
        super().__init__()
        self.wanted, self.seen = nn.Linear(1, width), nn.Linear(observation, width)
        self.acted, self.time = nn.Embedding(actions, width), nn.Embedding(LONGEST, width)
        layer = nn.TransformerEncoderLayer(width, HEADS, 2 * width, 0.0, batch_first=True, norm_first=True)
        self.layers = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.logits = nn.Linear(width, actions)

    def forward(self, batch: dict[str, torch.Tensor]) -> torch.Tensor:
        """(n, rows, actions) logits, each of what its row and those before it show."""
        wanted = self.wanted(batch["return_to_go"][..., None] / LONGEST)
        row = torch.stack([wanted, self.seen(batch["observation"]), self.acted(batch["action"])], dim=2)
        tokens = (row + self.time(batch["timestep"])[:, :, None]).flatten(1, 2)
        earlier = torch.ones(tokens.shape[1], tokens.shape[1], dtype=torch.bool).tril()
        itself = torch.eye(len(earlier), dtype=torch.bool)  # in padding, too: nothing has no softmax
        sees = earlier & batch["mask"].repeat_interleave(3, 1)[:, None] | itself
        return self.logits(self.layers(tokens, ~sees.repeat_interleave(HEADS, 0))[:, 1::3])


def train(batches: Loader, epochs: int) -> tuple[DecisionTransformer, list[float]]:
    """The model after so many epochs, and the loss of each step."""
    torch.manual_seed(0)
    torch.set_num_threads(1)  # such a small network loses more by handing work to threads than it gains
    model = DecisionTransformer(observation=4, actions=2)
    optimizer = torch.optim.AdamW(model.parameters(), 1e-3)
    losses = []
    for _ in range(epochs):
        for batch in batches:
            loss = cross_entropy(model(batch)[batch["mask"]], batch["action"][batch["mask"]])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
    return model.eval(), losses


def player(model: DecisionTransformer, target: float) -> Act:
    """Acts for the return `target`: what is still wanted is what is left of it."""

    @torch.inference_mode()
    def act(observations, actions, rewards):
        to_go = target - np.cumsum([0, *rewards], dtype=np.float32)
        batch = {
            "observation": np.array(observations[-ROWS:]),
            "action": np.array([*actions, 0][-ROWS:]),  # the action to be found is not seen
            "return_to_go": to_go[-ROWS:],
            "timestep": np.arange(len(observations))[-ROWS:],
            "mask": np.ones(len(observations[-ROWS:]), bool),
        }
        return model({name: torch.from_numpy(rows)[None] for name, rows in batch.items()})[0, -1].argmax().numpy()

    return act


def main(outputs: str = str(OUTPUTS)) -> None:
    """Train, then play for a high and a middle return."""
    data = Workspace(outputs)["gym/cartpole-v1/ppo-online-v1"]
    windows = Windows.of(data, length=ROWS, padding="left", fields=FIELDS)
    model, losses = train(Loader(windows, batch_size=64), epochs=1)
    print(f"loss {losses[0]:.3f}, in the end {np.mean(losses[-50:]):.3f}")
    for target in (500, 100):
        print(f"wanted: a return of {target}")
        play(Gym("cartpole-v1", "CartPole-v1"), player(model, target), data, episodes=10)


if __name__ == "__main__":
    main(*sys.argv[1:])
