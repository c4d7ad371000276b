"""Vectors of consecutive states: read ahead, without duplicates, in order."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float32, Int64

from pipeline.embedding.duplicates import Slots, slot_count
from pipeline.embedding.engine import Engine
from pipeline.embedding.states import StateInputs
from pipeline.machine.ahead import ahead

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class _Block:
    """Consecutive states: the slot of each, and the inputs (m, ...) of those that are in none yet."""

    slots: Int64[np.ndarray, "n"]
    fresh_slots: Int64[np.ndarray, "m"]
    fresh: torch.Tensor


VectorBlock = tuple[Float32[np.ndarray, "n d"], int]
"""Vectors of consecutive states, (n, d) float32, and for how many of them the network ran."""


def embedded(engine: Engine, inputs: StateInputs, start: int, stop: int, block: int) -> Iterator[VectorBlock]:
    """The vectors of the flat states [start, stop), in order.

    While the network runs, a thread reads, hashes and gathers the next block. Equal inputs are embedded once, as far
    as memory for their vectors reaches; the bits do not depend on it.
    """
    block = min(block, inputs.most)
    slots = Slots(min(slot_count(engine.dimensions, block), max(1, stop - start)))
    memory = np.empty((slots.count, engine.dimensions), np.float32)

    def prepared(begin: int) -> _Block:
        read = inputs.read(begin, min(begin + block, stop))
        where, new = slots.place(read.keys)
        fresh = engine.memory(len(new))
        read.take(new, fresh.numpy())
        return _Block(where, where[new], fresh)

    def finished(made: _Block, vectors: Float32[np.ndarray, "n d"]) -> VectorBlock:
        memory[made.fresh_slots] = vectors
        return memory[made.slots], len(made.fresh_slots)

    waiting = None
    for made in ahead(map(prepared, range(start, stop, block))):
        started = engine.start(made.fresh)
        if waiting is not None:
            yield finished(waiting[0], waiting[1]())
        waiting = made, started
    if waiting is not None:
        yield finished(waiting[0], waiting[1]())
