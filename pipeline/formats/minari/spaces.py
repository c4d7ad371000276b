"""Gymnasium's spaces as Minari keeps them, made of the arrays of a dataset."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from pipeline.dataset.columns import RowSpec
from pipeline.dataset.ends import BLOCK
from pipeline.dataset.reader import EpisodeDataset
from pipeline.formats.contract import Outgoing
from pipeline.sources.minari.layout import ArrayPlace

MOST_ACTIONS = 2**31
"""Beyond it a scalar whole number is no choice among actions: a Box holds it."""


@dataclass(frozen=True)
class MinariSpaces:
    """Observation and action space, as JSON."""

    observation: Mapping[str, Any]
    action: Mapping[str, Any]

    @property
    def is_discrete(self) -> bool:
        """Whether an action is one of some choices."""
        return bool(self.action["type"] == "Discrete")


def observation_space(places: Iterable[ArrayPlace]) -> dict[str, Any]:
    """A Box, MultiBinary, or a Dict of these, of the observations."""
    rows = {each.at.partition("/")[2]: each.row for each in places if each.is_observation}
    return _array_space(rows[""]) if "" in rows else _nested(rows)


def action_space(data: Outgoing) -> dict[str, Any]:
    """Discrete for one whole number, else a Box or MultiBinary.

    How many actions there are the environment's identity says; else the greatest of the dataset is the last one.
    """
    row = data.rows["action"]
    if row.shape or row.dtype.kind not in "iu":
        return _array_space(row)
    first, last = _known_actions(data.provenance) or _range(data.dataset)
    if first < -MOST_ACTIONS or last - first >= MOST_ACTIONS:
        return _array_space(row)
    return {"type": "Discrete", "dtype": "int64", "start": first, "n": last - first + 1}


def _array_space(row: RowSpec) -> dict[str, Any]:
    """The space of an array: truth values a MultiBinary, whole numbers with the bounds of their dtype."""
    if row.dtype.kind == "b":
        return {"type": "MultiBinary", "n": [*row.shape]}
    low, high = (-np.inf, np.inf) if row.dtype.kind == "f" else (np.iinfo(row.dtype).min, np.iinfo(row.dtype).max)
    bounds = {"low": np.full(row.shape, low, row.dtype).tolist(), "high": np.full(row.shape, high, row.dtype).tolist()}
    return {"type": "Box", "dtype": str(row.dtype), "shape": [*row.shape], **bounds}


def _nested(rows: Mapping[str, RowSpec]) -> dict[str, Any]:
    inside: dict[str, dict[str, RowSpec]] = {}
    for name, row in sorted(rows.items()):
        first, _, rest = name.partition("/")
        inside.setdefault(first, {})[rest] = row
    spaces = {name: _array_space(each[""]) if "" in each else _nested(each) for name, each in inside.items()}
    return {"type": "Dict", "subspaces": spaces}


def _known_actions(provenance: Mapping[str, Any]) -> tuple[int, int] | None:
    """First and last action of the environment that was played, where its identity tells."""
    environment = provenance.get("parameters", {}).get("environment", {})
    if isinstance(actions := environment.get("actions"), list):
        return 0, len(actions) - 1
    layout = environment.get("action_layout")
    if isinstance(layout, list) and len(layout) == 1 and layout[0].get("space") == "Discrete":
        return int(layout[0]["first"]), int(layout[0]["last"])
    return None


def _range(dataset: EpisodeDataset) -> tuple[int, int]:
    first = last = 0
    for start in range(0, dataset.states, BLOCK):
        block = dataset.state_rows("action", start, min(start + BLOCK, dataset.states))
        first, last = min(first, int(block.min())), max(last, int(block.max()))
    return first, last
