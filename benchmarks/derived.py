"""A million episodes of one step each, selected from, split and stitched, against the five seconds that each may take.

python -m benchmarks.doors --only select --clock process_time
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from benchmarks.measure import Row
from pipeline.artifacts.artifact import EPISODES, Spec
from pipeline.dataset.amount import Amount
from pipeline.dataset.bulk import StoredPart
from pipeline.dataset.grow import EPISODES_FORMAT, Noticed, grow
from pipeline.dataset.parts import PART_EPISODES, pack, save_part
from pipeline.dataset.reader import EpisodeDataset
from pipeline.dataset.workspace import Workspace
from pipeline.dataset.writer import DatasetWriter
from pipeline.domains.domain import Domain, Regent
from pipeline.episode import Episode, with_last_row
from stages import select as select_stage
from stages import split as split_stage
from stages import stitch as stitch_stage

COUNT = 1_000_000
SECONDS = 5.0
"""What selecting and splitting may take."""

MISSIONS = ("go to the red ball", "go to the grey box", "pick up a key", "open the blue door")
WHERE = 'success == 1 and return > quantile(return, 0.2) and "go to" in mission'
DOMAIN = Domain("toy", None, 5, dict, ["corner"], Regent(32, 5, 20, 100))


def stored(workspace: Workspace, count: int = COUNT) -> None:
    """The dataset `short-v1` of episodes of one step, in parts as collect cuts them."""
    arrays = pack([_episode(number) for number in range(PART_EPISODES)])
    rng = np.random.default_rng(0)

    def fill(writer: DatasetWriter, amount: Amount) -> Noticed:
        for first in range(0, count, PART_EPISODES):
            arrays["episodes/digest"] = rng.integers(0, 256, (PART_EPISODES, 32), np.uint8)
            arrays["episodes/return"] = rng.normal(size=PART_EPISODES)
            arrays["episodes/seed"] = np.arange(first, first + PART_EPISODES) // 2
            folder = writer.spill / f"part-{first}"
            files = save_part(workspace.storage, folder, arrays)
            writer.adopt(StoredPart(folder, files, np.ones(PART_EPISODES, np.int64)))
        return Noticed()

    spec = Spec(DOMAIN.name, "corner", EPISODES, EPISODES_FORMAT, {}, name="short-v1")
    grow(workspace, spec, Amount(count), fill)


def _episode(number: int) -> Episode:
    return Episode(
        steps={
            "observation": np.zeros((2, 9), np.float32),
            "action": with_last_row("action", np.full(1, number % 4)),
            "reward": np.zeros(2),
            "discount": np.zeros(2),
        },
        seed=number,
        terminated=True,
        success=number % 2,
        mission=MISSIONS[number % len(MISSIONS)],
        end_reason="terminated",
    )


def derive_a_million(clock: str) -> list[Row]:
    """Rows of select, of splits by episode, mission and seed, of stitching, and of opening what was selected."""
    with tempfile.TemporaryDirectory() as place:
        workspace = Workspace(place)
        stored(workspace)
        common: dict[str, Any] = {"domain": DOMAIN, "task": "corner", "workspace": workspace, "force": False}
        common["episodes"] = None
        halves = {"train": 0.9, "test": 0.1}
        work: dict[str, Callable[[], Any]] = {
            f"select where {WHERE}": partial(select_stage.run, of="short-v1", where=WHERE, dataset="good-v1", **common),
            **{
                f"split by {by}": partial(
                    split_stage.run, of="short-v1", parts=halves, by=by, seed=0, dataset=f"by-{by}", **common
                )
                for by in ("episode", "mission", "seed")
            },
            "stitch two halves of a split": partial(
                stitch_stage.run, datasets=["by-episode-train", "by-episode-test"], dataset="both-v1", **common
            ),
            "open what was selected": lambda: EpisodeDataset.of(workspace.dataset("toy", "corner", "good-v1")),
        }
        return [_row(name, function, clock) for name, function in work.items()]


def _row(name: str, function: Callable[[], Any], clock: str) -> Row:
    now = getattr(time, clock)
    start = now()
    function()
    return Row(f"{COUNT:,} episodes: {name}", now() - start, limit="what it may take", limit_s=SECONDS, limit_goal=1)
