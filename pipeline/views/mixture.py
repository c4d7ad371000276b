"""Several tasks at once: samples of some views, each with its share of a batch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from jaxtyping import Int64, Shaped
from numpy.typing import ArrayLike

from pipeline.dataset.columns import RowSpec
from pipeline.errors import InvalidInput
from pipeline.storage.copying import copy_rows
from pipeline.views.buffers import Buffers
from pipeline.views.fields import Fields
from pipeline.views.mixing import MixtureOrder
from pipeline.views.view import Samples, View, sample_numbers
from pipeline.views.windows import Windows
from pipeline.wording import how_many

TASK = "task"
"""The field that says which of the `tasks` a sample is of."""


class Mixture(View):
    """Samples of several views: of different tasks, or of different datasets of one.

    Each view keeps its own order and gives no sample twice before it is through. How many of a batch are of which view
    hardly varies: see `pipeline.views.mixing.MixtureOrder`. A batch is one read of each view that has a part in it.

    All views give the same fields, of one shape and dtype; `task` (int64) is added, a place in `tasks`. A mixture may
    be one of the views: its tasks stand in the place of one.

    Args:
        views: what is mixed.
        weights: (k,) how often each comes, compared with the others; None: in proportion to their lengths, so that an
            epoch has each sample of each view once.
        seed: decides whose turn it is; the views have seeds of their own. None: one view after the other.
        samples: of an epoch of all ranks together; None for as many as the views have together.
        rank, world_size: of a distributed training, as of `Windows`; given here, the views do not have them.

    Attributes:
        tasks: names of the datasets.

    Raises InvalidInput for views that cannot stand in one batch, and weights that do not fit.

    >>> names = "atari/pong/random-v1", "atari/alien/random-v1"
    >>> views = [Windows("outputs", name, length=32, full_actions=True) for name in names]  # doctest: +SKIP
    >>> Mixture(views, weights=[1, 3]).batch(np.arange(128))["task"].mean()  # doctest: +SKIP
    0.75
    """

    def __init__(
        self,
        views: Sequence[View],
        weights: ArrayLike | None = None,
        seed: int | None = 0,
        *,
        samples: int | None = None,
        rank: int = 0,
        world_size: int = 1,
    ) -> None:
        if isinstance(views, View | str):
            raise InvalidInput(
                f"A Mixture needs a list of views, such as [Windows(...), Windows(...)]; it got {views!r}."
            )
        self.views, self._buffers = list(views), Buffers()
        if not self.views:
            raise InvalidInput("A Mixture needs views, such as Mixture([Windows(...), Windows(...)]); there is none.")
        for number, view in enumerate(self.views):
            if not isinstance(view, View):
                raise InvalidInput(
                    f"View {number} of the mixture is none: {view!r}. Make it one, such as Windows(...)."
                )
        self._check_ranks(world_size)
        self._check_fields()
        self._check_actions()
        self.order: MixtureOrder = MixtureOrder(
            np.array([len(view) for view in self.views]), [view.order for view in self.views],
            seed, rank, world_size, weights, samples,
        )  # fmt: skip
        self._first_tasks = np.cumsum([0, *(len(view.tasks) for view in self.views)])

    @property
    def tasks(self) -> tuple[str, ...]:
        return tuple(task for view in self.views for task in view.tasks)

    def batch(self, numbers: Int64[np.ndarray, " n"]) -> Samples:
        numbers = sample_numbers(numbers)
        if self.is_direct():
            arrays = self._buffers.take(
                {name: ((len(numbers), *row.shape), row.dtype) for name, row in self._specs.items()}
            )
            self.read_into(numbers, arrays, np.arange(len(numbers)))
            return arrays
        picked = self.order.pick(numbers)
        return self._joined(picked.views, lambda view, here: self.views[view].batch(picked.numbers[here]))

    def is_direct(self) -> bool:
        """Whether all views read into the arrays of the mixture, without a copy: windows, and mixtures of them."""
        return all(isinstance(view, Windows) or (isinstance(view, Mixture) and view.is_direct()) for view in self.views)

    def read_into(self, numbers: Int64[np.ndarray, " n"], arrays: Samples, at: Int64[np.ndarray, " n"]) -> None:
        """As `batch`, to these places of the arrays of a larger batch. The mixture is direct."""
        picked = self.order.pick(numbers)
        arrays[TASK][at] = 0
        for number in np.unique(picked.views).tolist():
            here, view = at[picked.views == number], self.views[number]
            assert isinstance(view, Windows | Mixture)
            view.read_into(picked.numbers[picked.views == number], arrays, here)
            arrays[TASK][here] += self._first_tasks[number]

    def gather(self, places: Int64[np.ndarray, " n"]) -> Samples:
        ends = self.order.ends
        views = np.searchsorted(ends, places, "right")
        begins = ends - np.diff(ends, prepend=0)
        return self._joined(views, lambda view, here: self.views[view].gather(places[here] - begins[view]))

    def identity(self) -> dict[str, Any]:
        views = [view.identity() for view in self.views]
        return {"view": "Mixture", "dataset": "+".join(self.tasks), **self.order.identity(), "views": views}

    def __repr__(self) -> str:
        return f"Mixture({how_many(len(self.tasks), 'tasks')}: {len(self):,} samples)"

    def _joined(
        self, views: Int64[np.ndarray, " n"], read: Callable[[int, Int64[np.ndarray, " k"]], Samples]
    ) -> Samples:
        """One read of each view that some of n samples are of; `here` are these samples' places in the batch."""
        parts = []
        for view in np.unique(views).tolist() or [0]:
            here = np.flatnonzero(views == view)
            part = {name: np.asarray(array) for name, array in read(view, here).items()}
            tasks = part.get(TASK, np.zeros(len(here), np.int64)) + self._first_tasks[view]
            parts.append((here, {**part, TASK: tasks}))
        if len(parts) == 1:
            return parts[0][1]
        arrays = self._buffers.take(
            {name: _spec([part[name] for _, part in parts], len(views)) for name in self._specs}
        )
        return {name: _spread([(here, part[name]) for here, part in parts], arrays[name]) for name in self._specs}

    def _check_fields(self) -> None:
        """Raises InvalidInput where a view gives other fields than the first, or others of that name."""
        found = [
            {name: RowSpec.of(array) for name, array in view.gather(np.zeros(0, np.int64)).items()}
            for view in self.views
        ]
        self._specs = {**found[0], TASK: RowSpec(np.dtype(np.int64), ())}
        for number, specs in enumerate(found):
            for name in sorted({*self._specs, *specs} - {TASK}):
                have, want = specs.get(name), self._specs.get(name)
                if have != want:
                    raise InvalidInput(
                        f"Views of a mixture give the same fields. {name} of view {number}, {self._name(number)}, is "
                        f"{have or 'not there'}; of view 0, {self._name(0)}, it is {want or 'not there'}. "
                        f"{_advice(name, have, want)}"
                    )

    def action_meanings(self) -> set[tuple[int, ...]]:
        """What the numbers of Atari's actions mean in these views."""
        return set().union(*(_meanings(view) for view in self.views))

    def _check_actions(self) -> None:
        """Raises InvalidInput for games of Atari that have different actions under the same numbers."""
        first = _meanings(self.views[0])
        for number, view in enumerate(self.views):
            if len(meanings := _meanings(view)) > 1 or meanings != first:
                raise InvalidInput(
                    f"The actions of view {number}, {self._name(number)}, do not mean what those of view 0, "
                    f"{self._name(0)}, do. Give all views full_actions=True, or leave action out of fields=."
                )

    def _check_ranks(self, world_size: int) -> None:
        for number, view in enumerate(self.views):
            if view.order.world_size > 1 and world_size > 1:
                raise InvalidInput(
                    f"View {number}, {self._name(number)}, has rank={view.order.rank} and world_size="
                    f"{view.order.world_size} already. Give them to the views or to the mixture, not to both."
                )

    def _name(self, number: int) -> str:
        return ", ".join(self.views[number].tasks)


def _meanings(view: View) -> set[tuple[int, ...]]:
    source = view if isinstance(view, Mixture) else getattr(view, "fields", None)
    return source.action_meanings() if isinstance(source, Mixture | Fields) else set()


def _spec(parts: list[Shaped[np.ndarray, "k ..."]], count: int) -> tuple[tuple[int, ...], np.dtype]:
    """Shape and dtype of an array that holds the samples of all parts."""
    shapes = (array.shape[1:] for array in parts)
    return (count, *(max(sides) for sides in zip(*shapes, strict=True))), parts[0].dtype


def _spread(
    parts: list[tuple[Int64[np.ndarray, " k"], Shaped[np.ndarray, "k ..."]]], out: Shaped[np.ndarray, "n ..."]
) -> Shaped[np.ndarray, "n ..."]:
    """The samples of all parts at their places. Where some are shorter, as padded episodes are, zeros follow."""
    if all(array.shape[1:] == out.shape[1:] for _, array in parts):
        for here, array in parts:
            copy_rows(np.ascontiguousarray(array), np.arange(len(here)), np.ones(len(here), np.int64), out, here)
        return out
    out[...] = 0
    for here, array in parts:
        out[(slice(None), *map(slice, array.shape[1:]))][here] = array
    return out


def _advice(name: str, have: RowSpec | None, want: RowSpec | None) -> str:
    if have is None or want is None:
        return "Choose those that all have by fields=."
    if name == "action":
        return "Atari's actions become the same 18 by full_actions=True; or leave action out of fields=."
    return f"Leave {name} out of fields=, or give the views settings that make it the same."
