"""Behaviour cloning: a small network learns from single transitions to act as the expert of a robot's task does.

python run.py stage=collect domain=metaworld task=pick-place    # 100 episodes of the expert: 20 seconds
python examples/behaviour_cloning.py                            # 20 seconds
"""

from __future__ import annotations

import sys

import numpy as np
import torch
from play import OUTPUTS, SoFar, learn, play
from torch import nn
from torch.nn.functional import mse_loss

from pipeline import EpisodeDataset, Loader, Transitions, Workspace
from pipeline.envs.metaworld import MetaWorld


def train(data: EpisodeDataset, epochs: int) -> tuple[nn.Module, list[float]]:
    """A network from observations to actions, and the loss of each step of its training."""
    transitions = Transitions.of(data, fields=("observation", "action"), seed=0)
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.BatchNorm1d(39, affine=False),  # metres, and some hardly vary
        nn.Linear(39, 256),
        nn.ReLU(),
        nn.Linear(256, 256),
        nn.ReLU(),
        nn.Linear(256, 4),
        nn.Tanh(),
    )
    batches = Loader(transitions, batch_size=128)
    losses = learn(network, batches, lambda batch: mse_loss(network(batch["observation"]), batch["action"]), epochs)
    return network, losses


def main(outputs: str = str(OUTPUTS)) -> None:
    """Train, then play."""
    data = Workspace(outputs)["metaworld/pick-place/scripted-v1"]
    network, _ = train(data, epochs=40)

    @torch.inference_mode()
    def act(so_far: SoFar) -> np.ndarray:
        return network(torch.from_numpy(np.array(so_far.observations[-1:], np.float32)))[0].numpy()

    play(MetaWorld("pick-place"), act, data)


if __name__ == "__main__":
    main(*sys.argv[1:])
