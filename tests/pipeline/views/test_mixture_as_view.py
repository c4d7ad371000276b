"""A mixture is a view as any other."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

import numpy as np
from hypothesis import strategies as st

from pipeline.dataset.reader import EpisodeDataset
from pipeline.dataset.workspace import Workspace
from pipeline.views.mixture import Mixture
from pipeline.views.view import View
from pipeline.views.windows import Windows
from tests.contracts.view import ViewContract
from tests.pipeline.views import loops
from tests.pipeline.views.loops import Sample

OF_MIXTURE = ("rank", "world_size")


class TestMixture(ViewContract):
    """Of the padded and the whole windows of one dataset, in other orders each."""

    defaults: ClassVar[Mapping[str, Any]] = {"length": 2, "fields": ("observation", "episode", "timestep")}
    weighted: ClassVar[bool] = False

    def view(self, workspace: Workspace, dataset: str, seed: int | None = 0, **settings: Any) -> View:
        own = {name: settings.pop(name) for name in OF_MIXTURE if name in settings}
        seeds = (None, None) if seed is None else (seed, seed + 1)
        views = [
            Windows(workspace, dataset, padding=padding, seed=each, **settings)
            for padding, each in zip(("left", None), seeds, strict=True)
        ]
        return Mixture(views, seed=seed, **own)

    def loop(self, dataset: EpisodeDataset, **settings: Any) -> Iterable[Sample]:
        for task, padding in enumerate(("left", None)):
            for sample in loops.windows(dataset, padding=padding, **settings):
                yield {**sample, "task": np.array(task)}

    def choices(self, dataset: EpisodeDataset) -> st.SearchStrategy[dict[str, Any]]:
        return st.fixed_dictionaries(
            {
                "length": st.integers(1, int(dataset.lengths.max())),
                "fields": st.sampled_from([("observation", "action", "mask", "episode"), ("reward", "return_to_go")]),
                "frame_stack": st.integers(1, 2),
                "float64": st.booleans(),
            }
        )
