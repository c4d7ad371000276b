"""Which view each sample of a mixture is of, and which of its samples: computed number by number, in no memory."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float64, Int64
from numpy.typing import ArrayLike

from pipeline.errors import InvalidInput
from pipeline.machine.compiled import compiled
from pipeline.views.order import Order, check_divided, checked_weights
from pipeline.views.permutation import permuted
from pipeline.wording import check_count

BLOCK = 128
"""Samples of a mixture whose views are shuffled among themselves."""

WHOLE = 2**31
"""Shares of views are whole numbers that add up to no more: their products fit into 64 bits."""


class Picked(NamedTuple):
    """Of samples of a mixture the view that each is of, and its number there."""

    views: Int64[np.ndarray, "*n"]
    numbers: Int64[np.ndarray, "*n"]


class MixtureOrder(Order):
    """Deals the samples of a mixture to its views.

    Among the first m samples of an epoch each view has its share of m, give or take one or two. Its own samples come in
    its own order, none twice before it is through; in each block of 128 samples a key shuffles whose turn it is. With
    `seed=None` one view comes after the other.

    Args:
        lengths: (k,) samples of an epoch of each view.
        orders: (k,) of the views.
        seed, rank, world_size: as in `Order`.
        weights: (k,) not negative; None deals in proportion to the lengths, so that an epoch has each sample once.
        samples: of an epoch of all ranks together; None for as many as the views have together.
    """

    def __init__(
        self,
        lengths: Int64[np.ndarray, " k"],
        orders: Sequence[Order],
        seed: int | None,
        rank: int,
        world_size: int,
        weights: ArrayLike | None,
        samples: int | None,
    ) -> None:
        super().__init__(np.cumsum([order.count for order in orders]), seed, rank, world_size)
        if seed is None and (weights is not None or samples is not None):
            raise InvalidInput("With seed=None one view comes after the other: weights= and samples= need a seed.")
        if samples is not None:
            check_count("samples", samples)
        self.samples = int(lengths.sum()) if samples is None else samples
        check_divided(self.samples, world_size)
        given = lengths.astype(np.float64) if weights is None else checked_weights(weights, len(lengths), "views")
        exact = weights is None and self.samples <= WHOLE
        self.shares = lengths // np.gcd.reduce(lengths) if exact else whole_shares(given)
        self._bounds = np.concatenate([[0], np.cumsum(self.shares)])
        self._lengths, self._orders = lengths, list(orders)

    def identity(self) -> dict[str, Any]:
        return {
            "shares": self.shares.tolist(), "samples": self.samples, "seed": self.seed, "rank": self.rank,
            "world_size": self.world_size,
        }  # fmt: skip

    def places(self, numbers: Int64[np.ndarray, " n"]) -> Int64[np.ndarray, " n"]:
        picked = self.pick(numbers)
        out = np.empty(len(numbers), np.int64)
        for view in np.unique(picked.views).tolist():
            here = picked.views == view
            out[here] = self._orders[view].places(picked.numbers[here]) + self.ends[view] - self._orders[view].count
        return out

    def pick(self, numbers: Int64[np.ndarray, " n"]) -> Picked:
        """Numbers of samples, which count on through the epochs -> views, and numbers there, which count on as well."""
        epochs, within = np.divmod(numbers, len(self))
        among_all = within * self.world_size + self.rank
        return self._one_by_one(epochs, among_all) if self.seed is None else self._shuffled(epochs, among_all)

    def _one_by_one(self, epochs: Int64[np.ndarray, " n"], among_all: Int64[np.ndarray, " n"]) -> Picked:
        ends = np.cumsum(self._lengths)
        views = np.searchsorted(ends, among_all, "right")
        return Picked(views, among_all - (ends - self._lengths)[views] + epochs * self._lengths[views])

    def _shuffled(self, epochs: Int64[np.ndarray, " n"], among_all: Int64[np.ndarray, " n"]) -> Picked:
        blocks, turns = np.divmod(among_all, BLOCK)
        each_epoch = -(-self.samples // BLOCK)
        known, at = np.unique(epochs * each_epoch + blocks, return_inverse=True)
        picked = Picked(np.empty((len(known), BLOCK), np.int64), np.empty((len(known), BLOCK), np.int64))
        begins = known // each_epoch * self.samples + known % each_epoch * BLOCK
        sizes = np.minimum(BLOCK, self.samples - known % each_epoch * BLOCK)
        for size in np.unique(sizes).tolist():  # the last block of an epoch may be shorter
            here = sizes == size
            dealt = self._dealt(known[here], begins[here], size)
            picked.views[here, :size], picked.numbers[here, :size] = dealt.views, dealt.numbers
        return Picked(picked.views[at, turns], picked.numbers[at, turns])

    def _dealt(self, blocks: Int64[np.ndarray, " b"], begins: Int64[np.ndarray, " b"], size: int) -> Picked:
        """The samples of some blocks of one size, (b, size): whose turn it is, and which of its samples comes."""
        turns = permuted((np.arange(size) + blocks[:, None] * size).ravel(), size, self._key).reshape(-1, size)
        dealt = Picked(np.empty(turns.shape, np.int64), np.empty(turns.shape, np.int64))
        _deal(self._bounds, begins, turns, dealt.views, dealt.numbers)
        return dealt


def whole_shares(weights: Float64[np.ndarray, " k"]) -> Int64[np.ndarray, " k"]:
    """Weights as whole numbers that add up to 2**31, by largest remainders; at least 1 where a weight is above 0.

    >>> (whole_shares(np.array([3.0, 1.0, 0.0])) / 2**31).tolist()
    [0.75, 0.25, 0.0]
    """
    wanted = weights / weights.sum() * WHOLE
    shares = np.maximum(np.floor(wanted).astype(np.int64), weights > 0)
    missing = WHOLE - int(shares.sum())
    if missing > 0:
        shares[np.argsort(shares - wanted, kind="stable")[:missing]] += 1
    elif missing < 0:  # what tiny weights were given, the largest lacks
        shares[np.argmax(shares)] += missing
    return shares


@compiled()
def _deal(
    bounds: Int64[np.ndarray, " k+1"],
    begins: Int64[np.ndarray, " b"],
    turns: Int64[np.ndarray, "b size"],
    views: Int64[np.ndarray, "b size"],
    numbers: Int64[np.ndarray, "b size"],
) -> None:
    """Deal blocks of samples: by halves of the views, halves of these, and so on, each as Bresenham draws a line.

    bounds: shares up to each view. begins: the first sample of each block. turns: in which order the samples of a block
        take their views.
    """
    count, size = len(bounds) - 1, turns.shape[1]
    of_slot, following = np.empty(size, np.int64), np.empty(count, np.int64)
    residues, pending = np.zeros(count, np.int64), np.empty((count, 3), np.int64)
    for block in range(len(begins)):
        pending[0, 0], pending[0, 1], pending[0, 2] = 0, count, begins[block]
        waiting = 1
        while waiting:  # of each half, how many samples it had before this block
            waiting -= 1
            low, high, number = pending[waiting]
            if high - low == 1:
                following[low] = number
                continue
            middle = (low + high) // 2
            share, whole = bounds[middle] - bounds[low], bounds[high] - bounds[low]
            if whole == 0:
                continue
            due = number % whole * share + whole // 2
            left = number // whole * share + due // whole
            residues[middle] = due % whole
            pending[waiting, 0], pending[waiting, 1], pending[waiting, 2] = low, middle, left
            pending[waiting + 1, 0], pending[waiting + 1, 1], pending[waiting + 1, 2] = middle, high, number - left
            waiting += 2
        for slot in range(size):
            low, high = 0, count
            while high - low > 1:
                middle = (low + high) // 2
                whole = bounds[high] - bounds[low]
                residues[middle] += bounds[middle] - bounds[low]
                if residues[middle] >= whole:
                    residues[middle] -= whole
                    high = middle
                else:
                    low = middle
            of_slot[slot] = low
        for slot in range(size):
            view = of_slot[turns[block, slot]]
            views[block, slot], numbers[block, slot] = view, following[view]
            following[view] += 1
