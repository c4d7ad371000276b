"""A network that gives a row the same bits in whichever slot it stands, and whatever the other slots hold."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Shaped

from pipeline.machine.batch_rows import rows_stand_alone

if TYPE_CHECKING:
    import torch

SLOTS = 8
"""Rows of every batch: matrix products of another height round in another way."""

Tensors = Mapping[str, "torch.Tensor"]


class SlotNetwork:
    """Runs `forward` over all slots at once, on one thread, without gradients.

    Some matrix products round a row according to its place in the batch (seen with Intel's library for odd widths
    and under 12 outputs). So the network is tried before its first use; one that does this has its rows computed one
    after the other, each in the first place of a batch of the same width.

    Args:
        forward: from the inputs, (SLOTS, ...) each, to outputs of as many rows.
        inputs: the tensors that the caller fills in.
        examples: for each input (SLOTS, ...) rows such as it will hold, all different.
    """

    def __init__(
        self,
        forward: Callable[[Tensors], Sequence[torch.Tensor]],
        inputs: Tensors,
        examples: Mapping[str, Shaped[np.ndarray, "slots ..."]],
    ) -> None:
        self._forward, self._inputs, self._examples = forward, inputs, examples

    def __call__(self, slots: Sequence[int]) -> list[Shaped[np.ndarray, "slots ..."]]:
        """The outputs; only the rows of `slots` mean anything."""
        if self.rows_stand_alone:
            return self._run(self._inputs)
        alone = {name: tensor.new_zeros(tensor.shape) for name, tensor in self._inputs.items()}
        found: list[np.ndarray] = []
        for slot in slots:
            for name, tensor in self._inputs.items():
                alone[name][0] = tensor[slot]
            outputs = self._run(alone)
            found = found or [np.zeros_like(output) for output in outputs]
            for whole, output in zip(found, outputs, strict=True):
                whole[slot] = output[0]
        return found

    @cached_property
    def rows_stand_alone(self) -> bool:
        """Whether a row's result depends on the row alone: tried with every row in every place."""
        import torch

        def run(rows: Mapping[str, Shaped[np.ndarray, "slots ..."]]) -> list[Shaped[np.ndarray, "slots ..."]]:
            # a clone lies in torch's memory, as the inputs do: some kernels round by the alignment
            contiguous = {name: np.ascontiguousarray(each) for name, each in rows.items()}
            return self._run({name: torch.from_numpy(each).clone() for name, each in contiguous.items()})

        return rows_stand_alone(run, self._examples, [np.roll(np.arange(SLOTS), shift) for shift in range(1, SLOTS)])

    def _run(self, inputs: Tensors) -> list[Shaped[np.ndarray, "slots ..."]]:
        import torch

        with _one_thread(), torch.inference_mode():
            return [output.cpu().numpy() for output in self._forward(inputs)]


def zeros(shape: tuple[int, ...], dtype: np.dtype) -> torch.Tensor:
    """A row for every slot, in torch's memory: its alignment is fixed, and some kernels round by it."""
    import torch

    return torch.zeros((SLOTS, *shape), dtype=torch.from_numpy(np.zeros(0, dtype)).dtype)


@contextmanager
def _one_thread() -> Iterator[None]:
    """The same bits in a worker, which has one thread anyway, and in a process that has more."""
    import torch

    before = torch.get_num_threads()
    if before != 1:
        torch.set_num_threads(1)
    try:
        yield
    finally:
        if before != 1:
            torch.set_num_threads(before)
