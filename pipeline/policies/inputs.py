"""What a network sees of every slot: observations scaled, stacked and laid in its rows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Shaped

from pipeline.interfaces import Observation
from pipeline.observation import observation_arrays
from pipeline.policies.network import zeros
from pipeline.policies.normalize import Scaling
from pipeline.policies.stack import Arrangement, Stack

if TYPE_CHECKING:
    import torch


class Input:
    """One array of an observation in all slots.

    Args:
        arrangement: how it becomes the network's input.
        dtype: of the network's input.
        padding: what a stack begins with.
        scaling: VecNormalize's, for one observation or for the stack as its shape says.
    """

    def __init__(
        self,
        arrangement: Arrangement,
        dtype: np.dtype[Any],
        padding: str = "zero",
        scaling: Scaling | None = None,
    ) -> None:
        late = scaling is not None and scaling.mean.shape != arrangement.observation
        self._before, self._after = None if late else scaling, scaling if late else None
        self.rows = zeros(arrangement.shape, np.dtype(np.float32) if scaling else dtype)
        seen = np.zeros(tuple(self.rows.shape)) if late else self.rows.numpy()
        self._stack = Stack(arrangement, seen, padding)

    def clear(self, slot: int) -> None:
        self._stack.clear(slot)

    def push(self, slot: int, observation: Shaped[np.ndarray, "..."]) -> None:
        self._stack.push(slot, self._before(observation) if self._before else observation)
        if self._after:
            self.rows.numpy()[slot] = self._after(self._stack.rows[slot])


class NetworkInputs:
    """All arrays of an observation; one that is a single array has the name PLAIN."""

    def __init__(self, inputs: Mapping[str, Input]) -> None:
        self._inputs = inputs

    @property
    def tensors(self) -> dict[str, torch.Tensor]:
        return {name: each.rows for name, each in self._inputs.items()}

    def clear(self, slot: int) -> None:
        """An episode begins in the slot."""
        for each in self._inputs.values():
            each.clear(slot)

    def push(self, slot: int, observation: Observation) -> None:
        """Take the slot's newest observation in; arrays that the network does not see are passed over."""
        arrays = observation_arrays(observation)
        for name, each in self._inputs.items():
            each.push(slot, arrays[name])
