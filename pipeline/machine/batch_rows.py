"""Whether a row's result depends on the rest of its batch: some kernels round a row by its place or its neighbours."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np
from jaxtyping import Int, Shaped

Batch = Mapping[str, Shaped[np.ndarray, "rows ..."]]
"""The inputs of a batch by name."""


def rows_stand_alone(
    run: Callable[[Batch], Sequence[Shaped[np.ndarray, "rows ..."]]],
    rows: Batch,
    orders: Iterable[Sequence[int] | Int[np.ndarray, "rows"]],
    outputs: Sequence[Shaped[np.ndarray, "rows ..."]] | None = None,
) -> bool:
    """Whether every row gives the same bits in whichever place it lies, and among whichever other rows.

    Tried with the rows in each of the `orders`, and with every second row set to zeros.

    Args:
        run: the outputs of a batch, as many rows each as the batch has.
        rows: examples, all different.
        orders: permutations of the rows' numbers.
        outputs: what `run` gives for `rows`, where that is known already.
    """
    straight = run(rows) if outputs is None else outputs
    for order in orders:
        places = np.asarray(order)
        moved = run({name: np.ascontiguousarray(each[places]) for name, each in rows.items()})
        if not all(_same_bits(a[places], b) for a, b in zip(straight, moved, strict=True)):
            return False
    among_zeros = {name: each.copy() for name, each in rows.items()}
    for each in among_zeros.values():
        each[1::2] = 0
    return all(_same_bits(a[::2], b[::2]) for a, b in zip(straight, run(among_zeros), strict=True))


def _same_bits(a: Shaped[np.ndarray, "rows ..."], b: Shaped[np.ndarray, "rows ..."]) -> bool:
    return np.ascontiguousarray(a).tobytes() == np.ascontiguousarray(b).tobytes()
