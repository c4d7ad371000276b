"""A view whose samples say where they are from, so that a batch that was changed or mixed up is seen."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any

import numpy as np

from pipeline.errors import DamagedArtifact
from pipeline.views.buffers import Buffers
from pipeline.views.order import Order
from pipeline.views.view import View

WIDTH = 4096
"""Numbers of one sample's observation: a batch of a few is large enough for memory of its own."""


class Numbered(View):
    """Each array of a sample is filled with its place. `damaged` is a place that cannot be read."""

    def __init__(self, count: int, seed: int | None = 0, rank: int = 0, world_size: int = 1, damaged: int = -1) -> None:
        self.order = Order(np.array([count]), seed, rank, world_size)
        self._damaged, self._buffers = damaged, Buffers()

    def gather(self, places: np.ndarray) -> dict[str, np.ndarray]:
        if self._damaged in places:
            raise DamagedArtifact(f"Part 7 in process {os.getpid()} is torn.", "python run.py stage=collect domain=toy")
        specs = {
            "observation": ((len(places), WIDTH), np.dtype(np.float32)),
            "reward": ((len(places), 3), np.dtype(np.float32)),
            "nothing": ((len(places), 0), np.dtype(np.int32)),
        }
        batch = self._buffers.take(specs)
        for array in batch.values():
            array[...] = places[:, None]
        return batch | {"place": places, "mask": np.ones((len(places), 2), np.bool_)}

    def identity(self) -> dict[str, Any]:
        return {"view": "Numbered", **self.order.identity()}


def all_places(batches: Iterable[dict[str, Any]]) -> list[int]:
    """The places of some batches, one after the other."""
    return [place for batch in batches for place in places_of(batch)]


def places_of(batch: dict[str, Any]) -> list[int]:
    """The places of a batch, whose arrays all agree on them."""
    places = np.asarray(batch["place"])
    assert np.asarray(batch["nothing"]).shape == (len(places), 0)
    assert np.asarray(batch["mask"]).all()
    for name in ("observation", "reward"):
        assert (np.asarray(batch[name]) == places[:, None]).all(), "a batch was changed under its reader"
    return places.tolist()
