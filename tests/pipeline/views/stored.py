"""Datasets for the tests of views: made-up episodes in small parts."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pipeline.artifacts.artifact import EPISODES, Spec
from pipeline.dataset.amount import Amount
from pipeline.dataset.bulk import StoredPart
from pipeline.dataset.grow import EPISODES_FORMAT, Noticed, grow
from pipeline.dataset.parts import pack, save_part
from pipeline.dataset.reader import EpisodeDataset
from pipeline.dataset.references import References, derive, derived_spec
from pipeline.dataset.workspace import Workspace
from pipeline.dataset.writer import DatasetWriter
from pipeline.episode import Episode, with_last_row

LISTED = "toy/corner/listed-v1"


def stored(
    workspace: Workspace,
    episodes: Sequence[Episode],
    name: str = "listed-v1",
    per_part: int = 2,
    task: str = "corner",
    domain: str = "toy",
    **parameters: object,
) -> EpisodeDataset:
    """A dataset of these episodes, `per_part` in each part; one that is there already grows to them."""

    def fill(writer: DatasetWriter, amount: Amount) -> Noticed:
        for first in range(writer.count, len(episodes), per_part):
            some = episodes[first : first + per_part]
            folder = writer.spill / f"part-{first}"
            files = save_part(workspace.storage, folder, pack(some))
            writer.adopt(StoredPart(folder, files, np.array([each.length for each in some])))
        return Noticed()

    spec = Spec(domain, task, EPISODES, EPISODES_FORMAT, parameters, name=name)
    return EpisodeDataset.of(grow(workspace, spec, Amount(episodes=len(episodes)), fill))


def derived(
    workspace: Workspace, parents: Sequence[EpisodeDataset], owners: Sequence[int], numbers: Sequence[int], name: str
) -> EpisodeDataset:
    """A dataset that refers to the episodes `numbers` of the parents `owners`."""
    spec = derived_spec(name, "stitch", {}, parents)
    return EpisodeDataset.of(derive(workspace, spec, parents, References(np.array(owners), np.array(numbers))))


def episode_of(
    rng: np.random.Generator, length: int, terminated: bool = False, nested: bool = True, **facts: object
) -> Episode:
    """An episode with a small picture and a vector as its observation, and sometimes an info."""
    steps: dict[str, np.ndarray] = {
        "action": with_last_row("action", rng.integers(0, 4, length)),
        "reward": with_last_row("reward", rng.normal(size=length)),
        "discount": with_last_row("discount", np.ones(length)),
    }
    picture = rng.integers(0, 255, (length + 1, 4, 5), dtype=np.uint8)
    if nested:
        steps |= {"observation/image": picture, "observation/state": rng.normal(size=(length + 1, 3))}
    else:
        steps["observation"] = picture
    if terminated:
        steps["discount"][-2] = 0
    if not facts.get("has_final_observation", True):
        for name in steps:
            steps[name][-1] = 0
    reason = "terminated" if terminated else "time_limit"
    return Episode(steps=steps, terminated=terminated, truncated=not terminated, end_reason=reason, **facts)  # type: ignore[arg-type]
