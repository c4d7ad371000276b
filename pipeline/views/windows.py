"""Windows of a fixed length over the states of a dataset's episodes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int64
from numpy.typing import ArrayLike

from pipeline.dataset.reader import EpisodeDataset
from pipeline.dataset.workspace import Workspace
from pipeline.errors import InvalidInput
from pipeline.views.fields import Fields, check_fields
from pipeline.views.normalize import FieldStatistics, chosen_statistics
from pipeline.views.opened import dataset_named
from pipeline.views.order import Order
from pipeline.views.view import Samples, View
from pipeline.wording import check_choice, check_count

LEFT, RIGHT = "left", "right"


class Windows(View):
    """Windows of `length` states of one episode, every `skip`-th of them.

    Without padding there is a window for each start at which a whole one fits. With `padding="right"` one begins at
    each state, with `padding="left"` one ends at each state; rows that no state has are zeros, and `mask` is False.

    Args:
        root: the folder that holds `artifacts`, such as `outputs`; or a workspace.
        dataset: `domain/task/dataset`; or one that is open already.
        length: rows of a window.
        fields: step arrays by name, and what is computed: see `pipeline.views.fields`.
        frame_stack: each observation together with those before it, so many in all, the newest last.
        skip: the rows of a window lie so many states apart.
        padding: None, "left" or "right".
        discount: of `return_to_go`.
        full_actions: an Atari game's actions by their place among all 18.
        weights: (n,) of episodes, or "return"; see `Order`.
        samples: of an epoch, with weights.
        normalize: names of arrays that come without mean and deviation, of all states of this dataset; or the
            `statistics` of another view, as a test set has those of its training set. See `pipeline.views.normalize`.
        float64: keep what is float64 so; otherwise it comes as float32.
        seed: decides the order; None gives the natural one.
        rank, world_size: of a distributed training; see `Order`.
        episodes: the first so many alone.
        storage: `zarr` or `bin`: which of two equal ones is read.

    Raises UnknownName for a field that there is not, InvalidInput where no window fits, and for settings that
    contradict each other.

    >>> windows = Windows("outputs", "atari/pong/random-v1", length=32, frame_stack=4)  # doctest: +SKIP
    >>> windows.batch(np.arange(128))["observation"].shape  # doctest: +SKIP
    (128, 32, 4, 84, 84)
    """

    def __init__(
        self,
        root: str | Path | Workspace,
        dataset: str | EpisodeDataset,
        *,
        length: int,
        fields: Sequence[str] = ("observation", "action", "reward"),
        frame_stack: int = 1,
        skip: int = 1,
        padding: str | None = None,
        discount: float = 1.0,
        full_actions: bool = False,
        weights: str | ArrayLike | None = None,
        samples: int | None = None,
        normalize: Sequence[str] | Mapping[str, FieldStatistics] = (),
        float64: bool = False,
        seed: int | None = 0,
        rank: int = 0,
        world_size: int = 1,
        episodes: int | None = None,
        storage: str = "zarr",
    ) -> None:
        found = dataset_named(root, dataset, episodes, storage)
        check_fields(fields)
        check_count("length", length)
        check_count("skip", skip)
        if padding is not None:
            check_choice("padding", padding, (LEFT, RIGHT))
        self.length, self.skip, self.padding = length, skip, padding
        self.span = (length - 1) * skip + 1
        self.statistics = chosen_statistics(found, normalize, fields)
        self.fields = Fields(found, fields, frame_stack, discount, full_actions, float64, statistics=self.statistics)
        lengths = found.lengths
        starts = lengths if padding else np.maximum(lengths - self.span + 1, 0)
        if not starts.any():
            raise InvalidInput(
                f"No episode of {found.name} has {self.span} states, which a window of length={length} with "
                f"skip={skip} needs; the longest has {lengths.max(initial=0)}. Take a shorter one, or padding='left'."
            )
        self.order = Order.of(
            found, np.cumsum(starts), seed=seed, rank=rank, world_size=world_size, weights=weights, samples=samples
        )
        self._settings = {
            "length": length, "fields": list(fields), "frame_stack": frame_stack, "skip": skip, "padding": padding,
            "discount": discount, "full_actions": full_actions, "float64": float64,
        }  # fmt: skip

    @classmethod
    def of(cls, dataset: EpisodeDataset, **settings: Any) -> Windows:
        """The windows of a dataset that is open already; the settings are those of the class."""
        return cls("", dataset, **settings)

    def gather(self, places: Int64[np.ndarray, " n"]) -> Samples:
        return self.fields.read(*self._rows(places))

    def read_into(self, numbers: Int64[np.ndarray, " n"], arrays: Samples, at: Int64[np.ndarray, " n"]) -> None:
        """As `batch`, to these places of the arrays of a larger batch."""
        found = self.fields.read(*self._rows(self.order.places(numbers)), into=(arrays, at))
        for name, array in found.items():
            if array is not arrays[name]:
                arrays[name][at] = array

    def _rows(self, places: Int64[np.ndarray, " n"]) -> tuple[Int64[np.ndarray, " n"], Int64[np.ndarray, "n length"]]:
        """The episodes of samples, and their rows in these."""
        ends = self.order.ends
        episodes = np.searchsorted(ends, places, "right")
        begins = places - np.where(episodes > 0, ends[episodes - 1], 0)
        if self.padding == LEFT:
            begins = begins - (self.span - 1)
        rows = begins[:, None] + np.arange(self.length) * self.skip
        return episodes, rows

    def identity(self) -> dict[str, Any]:
        return {"view": "Windows", **self._settings, **self.fields.identity(), **self.order.identity()}

    def __repr__(self) -> str:
        return f"Windows({self.fields.dataset.name}: {len(self):,} of length {self.length})"
