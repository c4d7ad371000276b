"""What every view is: samples of a dataset, by number, in an order that follows from the seed alone."""

from __future__ import annotations

import operator
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Int64, Shaped
from numpy.typing import ArrayLike

from pipeline.errors import InvalidInput
from pipeline.views.collate import SampleList, know_samples
from pipeline.views.order import Order
from pipeline.wording import check_count

Samples = dict[str, Shaped[np.ndarray, "n ..."]]
"""Arrays of n samples by the name of their field."""


class View(ABC):
    """Samples of a dataset by number: `view[3]` is one, `view.batch(numbers)` many in one read.

    Numbers count on through the epochs: `len(view) * e + i` is sample i of epoch e. A subclass says what lies at a
    place; places count in natural order, episode by episode, state by state.

    Attributes:
        order: turns numbers into places.
    """

    order: Order
    _epoch = 0

    @abstractmethod
    def gather(self, places: Int64[np.ndarray, " n"]) -> Samples:
        """The samples at these places, which may be in any order and repeat."""

    @abstractmethod
    def identity(self) -> dict[str, Any]:
        """What decides which samples there are and in which order: a state that is loaded must agree on it."""

    def __len__(self) -> int:
        return len(self.order)

    @property
    def tasks(self) -> tuple[str, ...]:
        """Names of the datasets whose samples these are."""
        return (self.identity()["dataset"],)

    def batch(self, numbers: Int64[np.ndarray, " n"]) -> Samples:
        """The samples of these numbers, with an axis in front."""
        return self.gather(self.order.places(sample_numbers(numbers)))

    def set_epoch(self, epoch: int) -> None:
        """Let `view[0]` be the first sample of this epoch: for a plain `DataLoader`, before each of its iterations.

        `batch` goes by its numbers alone. Worker processes that outlive an epoch do not see it; `Loader` needs no such
        call.
        """
        check_count("epoch", epoch, 0)
        self._epoch = epoch

    def __getitem__(self, index: int) -> dict[str, Any]:
        if not hasattr(index, "__index__"):
            raise TypeError(f"{self}[{index!r}]: give an integer, a sample's number; many at once: view.batch([0, 1])")
        number = operator.index(index)
        if not -len(self) <= number < len(self):
            raise IndexError(f"sample {number} of {self}, which has {len(self):,}")
        batch = self.batch(np.array([number % len(self) + self._epoch * len(self)]))
        return {name: array[0] for name, array in batch.items()}

    def __getitems__(self, indices: Sequence[int]) -> SampleList:
        """Some samples, read together: what a torch `DataLoader` asks for, whose `default_collate` copies nothing."""
        know_samples()
        numbers = np.asarray(indices, np.int64) + self._epoch * len(self)
        if len(numbers) and numbers.min() < 0:
            raise IndexError(f"sample {min(indices)} of {self}: many samples at once are counted from 0 on")
        return SampleList(self.batch(numbers), len(numbers))


def sample_numbers(numbers: ArrayLike) -> Int64[np.ndarray, " n"]:
    """Numbers of samples as int64. Raises InvalidInput for what is no list of whole numbers from 0 on."""
    array = np.asarray(numbers)
    if array.ndim != 1 or (array.dtype.kind not in "iu" and array.size) or (array.size and array.min() < 0):
        raise InvalidInput(f"view.batch needs whole numbers from 0 on, a list or array of them; it is {numbers!r:.80}.")
    return array.astype(np.int64)
