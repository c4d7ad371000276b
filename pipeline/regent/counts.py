"""What preparing JAT again must give: rows and states that REGENT made of each task (regent-research/regent).

`counts.csv` holds for JAT's own episodes, the demonstrations and states of the paper, and rows of 32 (Atari) or 256
steps. Rows and states are those that retrieve: leading rows or those of missions in turn; of tasks held out from
training (`unseen`) the pool itself.
"""

from __future__ import annotations

import csv
from functools import cache
from pathlib import Path
from typing import NamedTuple

TABLE = Path(__file__).with_name("counts.csv")


class Counts(NamedTuple):
    """Of one task.

    Attributes:
        rows: that hold its queries.
        states: in these rows; None where only the domain's total is known.
        missions: that take part, where there are missions.
        unseen: the task is held out from training.
    """

    rows: int
    states: int | None = None
    missions: int | None = None
    unseen: bool = False


SEEN_STATES = {"atari": 5_200_930, "babyai": 3_912_320, "metaworld": 4_500_000, "mujoco": 900_230}
"""States of all seen tasks of each domain."""

TRAINING_ITEMS = 14_195_712
"""States that are left for training, as REGENT splits each seen task: 27,726 steps of 512, those of its checkpoint."""


@cache
def published() -> dict[tuple[str, str], Counts]:
    """Counts of every task that REGENT prepared, by domain and task."""
    with TABLE.open(newline="") as file:
        return {(line["domain"], line["task"]): _counts(line) for line in csv.DictReader(file)}


def expected(domain: str, task: str) -> Counts | None:
    """What preparing a task of JAT must give; None for what REGENT did not prepare.

    >>> expected("mujoco", "hopper")
    Counts(rows=219, states=45652, missions=None, unseen=True)
    """
    return published().get((domain, task))


def _counts(line: dict[str, str]) -> Counts:
    states, missions = (int(line[name]) if line[name] else None for name in ("states", "missions"))
    return Counts(int(line["rows"]), states, missions, line["unseen"] == "yes")
