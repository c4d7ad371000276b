"""Behaviour cloning: a small network learns to act as the expert of a robot's task does, from single transitions.

python run.py stage=collect domain=metaworld task=pick-place    # the expert's 100 episodes: 20 seconds
python examples/behaviour_cloning.py                            # 20 seconds
"""

from __future__ import annotations

import sys

import numpy as np
import torch
from play import OUTPUTS, play
from torch import nn
from torch.nn.functional import mse_loss

from pipeline import Loader, Transitions, Workspace
from pipeline.envs.metaworld import MetaWorld


def train(batches: Loader, epochs: int) -> tuple[nn.Module, list[float]]:
    """The network that gives an observation's action, and the loss of each step of its training."""
    torch.manual_seed(0)
    torch.set_num_threads(1)  # such a small network loses more by handing work to threads than it gains
    network = nn.Sequential(
        nn.BatchNorm1d(39, affine=False),  # metres of very different ranges
        *(nn.Linear(39, 256), nn.ReLU(), nn.Linear(256, 256), nn.ReLU(), nn.Linear(256, 4), nn.Tanh()),
    )
    optimizer = torch.optim.Adam(network.parameters(), 1e-3)
    losses = []
    for _ in range(epochs):
        for batch in batches:
            loss = mse_loss(network(batch["observation"]), batch["action"])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
    return network.eval(), losses


def main(outputs: str = str(OUTPUTS)) -> None:
    """Train, then play."""
    data = Workspace(outputs)["metaworld/pick-place/scripted-v1"]
    transitions = Transitions.of(data, fields=("observation", "action"))
    network, losses = train(Loader(transitions, batch_size=128), epochs=20)
    print(f"loss {losses[0]:.3f}, in the end {np.mean(losses[-50:]):.3f}")

    @torch.inference_mode()
    def act(observations, actions, rewards):
        return network(torch.from_numpy(np.float32(observations[-1:])))[0].numpy()

    play(MetaWorld("pick-place"), act, data)


if __name__ == "__main__":
    main(*sys.argv[1:])
