"""Equal inputs are embedded once: which are new, and where the vectors of the others stand."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

import numpy as np
from jaxtyping import Int64

MEMORY_BYTES = 64 * 2**20
"""For vectors that are kept: 32,768 of 512 numbers. What was not seen for longer is embedded again, with equal bits; so
memory does not grow with the dataset."""


class Slots:
    """Gives each key a slot, and a key that was seen lately the slot that it had.

    Slots of keys that were not seen for longest are given away first. A block of at most `count` keys never loses a
    slot that it uses itself.
    """

    def __init__(self, count: int) -> None:
        self.count = count
        self._slots: OrderedDict[bytes, int] = OrderedDict()

    def place(self, keys: Sequence[bytes]) -> tuple[Int64[np.ndarray, "n"], Int64[np.ndarray, "m"]]:
        """The slot of each key, (n,) int64, and the positions of the keys that were in no slot, (m,) int64."""
        slots, new = np.empty(len(keys), np.int64), []
        for position, key in enumerate(keys):
            slot = self._slots.get(key)
            if slot is None:
                slot = len(self._slots) if len(self._slots) < self.count else self._slots.popitem(last=False)[1]
                self._slots[key] = slot
                new.append(position)
            else:
                self._slots.move_to_end(key)
            slots[position] = slot
        return slots, np.asarray(new, np.int64)


def slot_count(dimensions: int, block: int) -> int:
    """As many vectors as fit into memory, and a block's in any case."""
    return max(block, MEMORY_BYTES // (4 * dimensions))
