"""A small network that learns actions from batches, to see how long a training step waits for them."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import nn

from pipeline.machine.threads import available_cores

STATES = 4
"""The network sees so many states of a window, the last ones, as channels."""

RATE = 1e-3

PICTURE = 32 * 32
"""Bytes from which on an observation counts as a picture."""


class Trainer:
    """A network of two convolutions for pictures, of two layers for vectors.

    It is made for batches like `example` (arrays or tensors (n, length, ...) by name): the largest array is what it
    sees, the last four states of each window; it learns the last action, in the array whose name has "action".
    Computes on a GPU where there is one.

    Attributes:
        device: `cuda` or `cpu`.
    """

    def __init__(self, example: Mapping[str, Any]) -> None:
        self.device = "cuda" if torch.cuda.is_available() else "cpu"
        self._seen = max(example, key=lambda name: example[name].nbytes)
        self._learned = next((name for name in example if "action" in name and name != self._seen), self._seen)
        torch.manual_seed(0)
        seen, learned = self._inputs(example), self._targets(example)
        self._network = _network(seen.shape[1:], learned.shape[1]).to(self.device)

    def step(self, batch: Mapping[str, Any]) -> None:
        """One step of gradient descent, finished when it returns."""
        loss = nn.functional.mse_loss(self._network(self._inputs(batch)), self._targets(batch))
        weights = list(self._network.parameters())
        for each, gradient in zip(weights, torch.autograd.grad(loss, weights), strict=True):
            each.data.sub_(gradient, alpha=RATE)  # not torch.optim, which takes a second to load
        if self.device == "cuda":
            torch.cuda.synchronize()

    def seconds(self, batch: Mapping[str, Any], steps: int = 5) -> float:
        """The median time of a step whose batch is there already."""
        taken = []
        with _threads(0):
            for _ in range(steps + 1):
                start = time.perf_counter()
                self.step(batch)
                taken.append(time.perf_counter() - start)
        return float(np.median(taken[1:]))

    def waiting(self, batches: Iterator[Mapping[str, Any]], seconds: float, workers: int) -> float:
        """The share of the time of training steps, for so many seconds, that goes by until their batches are there.

        The network has the cores that the workers leave.
        """
        waited = trained = 0.0
        with _threads(workers):
            self.step(next(batches))
            while waited + trained < seconds:
                start = time.perf_counter()
                batch = next(batches)
                ready = time.perf_counter()
                self.step(batch)
                waited, trained = waited + ready - start, trained + time.perf_counter() - ready
        return waited / (waited + trained)

    def _inputs(self, batch: Mapping[str, Any]) -> torch.Tensor:
        """What the network sees: (n, channels, height, width) or (n, features) float32, of the last states."""
        seen = torch.as_tensor(batch[self._seen])[:, -STATES:].to(self.device, non_blocking=True)
        row = seen.shape[2:]
        if seen.dtype != torch.uint8 or row.numel() < PICTURE or min(_sides(tuple(row))) < 8:
            return seen.reshape(len(seen), -1).float()
        return seen.reshape(len(seen), -1, *_sides(tuple(row))).float().div_(255)

    def _targets(self, batch: Mapping[str, Any]) -> torch.Tensor:
        learned = torch.as_tensor(batch[self._learned])[:, -1].to(self.device, non_blocking=True)
        return learned.reshape(len(learned), -1).float()


def _sides(row: tuple[int, ...]) -> tuple[int, int]:
    """Height and width of a picture: its two largest axes, in their order."""
    largest = sorted(sorted(range(len(row)), key=lambda axis: -row[axis])[:2])
    return (row[largest[0]], row[largest[1]]) if len(largest) == 2 else (1, row[0])


def _network(row: torch.Size, outputs: int) -> nn.Module:
    if len(row) == 1:
        return nn.Sequential(nn.Linear(row[0], 64), nn.ReLU(), nn.Linear(64, outputs))
    channels = row[0]
    seeing = nn.Sequential(
        nn.AvgPool2d(2), nn.Conv2d(channels, 16, 5, 3, padding=2), nn.ReLU(),
        nn.Conv2d(16, 32, 3, 2, padding=1), nn.ReLU(), nn.AdaptiveAvgPool2d(4), nn.Flatten(),
    )  # fmt: skip
    return nn.Sequential(seeing, nn.Linear(32 * 16, 64), nn.ReLU(), nn.Linear(64, outputs))


@contextmanager
def _threads(workers: int) -> Iterator[None]:
    """Torch with the cores that workers leave."""
    before = torch.get_num_threads()
    torch.set_num_threads(max(1, available_cores() - workers))
    try:
        yield
    finally:
        torch.set_num_threads(before)
