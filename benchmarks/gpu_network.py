"""REGENT's ResNet-18 of torch's own layers, for machines without torchvision; weights of either fit the other."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from pipeline.embedding.networks import GROUPS, Unpublished


class Block(nn.Module):
    """Two convolutions of 3 x 3 beside a shortcut."""

    def __init__(self, planes_in: int, planes: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(planes_in, planes, 3, stride, 1, bias=False)
        self.bn1 = nn.GroupNorm(GROUPS, planes)
        self.conv2 = nn.Conv2d(planes, planes, 3, 1, 1, bias=False)
        self.bn2 = nn.GroupNorm(GROUPS, planes)
        self.downsample = None if stride == 1 else _shortcut(planes_in, planes, stride)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = torch.relu(self.bn1(self.conv1(x)))
        return torch.relu(self.bn2(self.conv2(y)) + (x if self.downsample is None else self.downsample(x)))


class PlainResNet18(nn.Module):
    """(b, 3, h, w) to (b, 512)."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 64, 7, 2, 3, bias=False)
        self.bn1 = nn.GroupNorm(GROUPS, 64)
        self.layer1 = nn.Sequential(Block(64, 64, 1), Block(64, 64, 1))
        self.layer2 = nn.Sequential(Block(64, 128, 2), Block(128, 128, 1))
        self.layer3 = nn.Sequential(Block(128, 256, 2), Block(256, 256, 1))
        self.layer4 = nn.Sequential(Block(256, 512, 2), Block(512, 512, 1))
        for each in self.modules():
            if isinstance(each, nn.Conv2d):
                nn.init.kaiming_normal_(each.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = nn.functional.max_pool2d(torch.relu(self.bn1(self.conv1(x))), 3, 2, 1)
        y = self.layer4(self.layer3(self.layer2(self.layer1(y))))
        return y.mean(dim=(2, 3))


class PlainNetwork(Unpublished):
    """The network of `pipeline.embedding.networks` that builds it."""

    headless = True
    advice = ""

    def identity(self) -> Mapping[str, Any]:
        return {"name": "resnet18", "norm": f"group {GROUPS}"}

    def build(self, weights: str | None) -> nn.Module:
        return PlainResNet18()


def _shortcut(planes_in: int, planes: int, stride: int) -> nn.Module:
    return nn.Sequential(nn.Conv2d(planes_in, planes, 1, stride, bias=False), nn.GroupNorm(GROUPS, planes))
