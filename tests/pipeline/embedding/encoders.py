"""Small networks for tests, at the top of a module so that a setting can name them."""

from __future__ import annotations

import torch
from torch import nn

from pipeline.embedding.networks import Module
from pipeline.embedding.preprocessing import Picture
from pipeline.embedding.settings import Embedding

PLAIN = Picture(None, None, "bilinear", False, False, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5))


class Small(nn.Module):
    """Eight numbers of a picture of any size."""

    def __init__(self, channels: int = 6) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, channels, 5, stride=2)
        self.second = nn.Conv2d(channels, channels, 3)
        self.last = nn.Conv2d(channels, 8, 1)

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        return self.last(torch.relu(self.second(torch.relu(self.first(pictures))))).mean((2, 3))


class Mixing(Small):
    """Looks at the others in its batch, as a network must not."""

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        vectors = super().forward(pictures)
        return vectors - vectors.mean(0)


class Pair(Small):
    """Gives two tensors."""

    def forward(self, pictures: torch.Tensor):
        return super().forward(pictures), pictures


class Broken(Small):
    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        raise RuntimeError("out of order")


def embedding(make=Small, **settings) -> Embedding:
    """Settings as `conf/embedding/module.yaml` gives them, for one of these networks."""
    given = {
        "name": "small",
        "network": Module(make),
        "features": 8,
        "weights": "random",
        "picture": PLAIN,
        "seed": 0,
        "width": None,
        "frames": 4,
        "layout": "vertical",
        "padding": "first",
        "batch": 512,
        "dtype": "float32",
        "device": "cpu",
        "compile": False,
    }
    return Embedding(**(given | settings))
