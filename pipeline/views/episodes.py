"""Whole episodes of a dataset, of any length."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int64
from numpy.typing import ArrayLike

from pipeline.dataset.reader import EpisodeDataset
from pipeline.dataset.workspace import Workspace
from pipeline.views.fields import Fields, check_fields
from pipeline.views.normalize import FieldStatistics, chosen_statistics
from pipeline.views.opened import dataset_named
from pipeline.views.order import Order
from pipeline.views.view import Samples, View
from pipeline.wording import check_choice

BATCH, DATASET = "batch", "dataset"
LENGTH, HAS_FINAL = "length", "has_final_observation"
ONCE = (LENGTH, HAS_FINAL)
"""Fields of a whole episode: the number of its states, and whether its last observation is known."""


class Episodes(View):
    """Whole episodes: `view[3]` is one, with an axis of its T states in front of each field.

    A batch is padded on the right with zeros, to the longest episode in it; `mask` says which rows are real, `length`
    (int64) how many states there are. `unpadded` gives each episode as long as it is.

    With `final_observation=True` there are T+1 rows: the last one has an observation alone, its action and reward are
    zeros as in the dataset. Where the source dropped that observation it is zeros, too, and the field
    `has_final_observation` (bool) is False.

    Args:
        root: the folder that holds `artifacts`, such as `outputs`; or a workspace.
        dataset: `domain/task/dataset`; or one that is open already.
        fields: step arrays by name, and what is computed: see `pipeline.views.fields`; and `length` and
            `has_final_observation`, once an episode.
        final_observation: whether the row after the last action is given.
        padding: `batch`, or `dataset` for the length of the longest episode of all: every batch has the same shape.
        frame_stack, discount, full_actions, weights, samples, normalize, float64, seed, rank, world_size, episodes,
            storage: as of `Windows`.

    Raises UnknownName for a field that there is not, InvalidInput for settings that contradict each other.

    >>> episodes = Episodes("outputs", "metaworld/assembly/scripted-v1")  # doctest: +SKIP
    >>> batch = episodes.batch(np.arange(16))  # doctest: +SKIP
    >>> batch["observation"].shape == (16, batch["length"].max(), 39)  # doctest: +SKIP
    True
    """

    def __init__(
        self,
        root: str | Path | Workspace,
        dataset: str | EpisodeDataset,
        *,
        fields: Sequence[str] = ("observation", "action", "reward", "mask", LENGTH),
        final_observation: bool = False,
        padding: str = BATCH,
        frame_stack: int = 1,
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
        check_choice("padding", padding, (BATCH, DATASET))
        self.padding, self.final_observation = padding, final_observation
        self._once = [name for name in fields if name in ONCE]
        rows = [name for name in fields if name not in ONCE]
        self.statistics = chosen_statistics(found, normalize, rows)
        self.fields = Fields(found, rows, frame_stack, discount, full_actions, float64, ONCE, self.statistics)
        self._known = found.per_episode(HAS_FINAL)
        self.order = Order.of(
            found,
            np.arange(1, len(found) + 1),
            seed=seed,
            rank=rank,
            world_size=world_size,
            weights=weights,
            samples=samples,
        )
        self._settings = {
            "fields": list(fields), "final_observation": final_observation, "padding": padding,
            "frame_stack": frame_stack, "discount": discount, "full_actions": full_actions, "float64": float64,
        }  # fmt: skip

    @classmethod
    def of(cls, dataset: EpisodeDataset, **settings: Any) -> Episodes:
        """The episodes of a dataset that is open already; the settings are those of the class."""
        return cls("", dataset, **settings)

    def gather(self, places: Int64[np.ndarray, " n"]) -> Samples:
        lengths = self.fields.dataset.lengths
        counts = lengths[places] + self.final_observation
        longest = counts if self.padding == BATCH else lengths + self.final_observation
        rows = np.broadcast_to(np.arange(longest.max(initial=0)), (len(places), longest.max(initial=0)))
        once = {LENGTH: lengths[places], HAS_FINAL: self._known[places]}
        return self.fields.read(places, rows, rows < counts[:, None]) | {name: once[name] for name in self._once}

    def unpadded(self, numbers: Int64[np.ndarray, " n"]) -> list[Samples]:
        """Each of some samples as long as its episode is, for networks that pack sequences."""
        alone = (self.batch(numbers[number : number + 1]) for number in range(len(numbers)))
        return [{name: array[0] for name, array in each.items()} for each in alone]

    def identity(self) -> dict[str, Any]:
        return {"view": "Episodes", **self._settings, **self.fields.identity(), **self.order.identity()}

    def __repr__(self) -> str:
        longest = self.fields.dataset.lengths.max(initial=0)
        return f"Episodes({self.fields.dataset.name}: {len(self):,} of at most {longest:,} states)"
