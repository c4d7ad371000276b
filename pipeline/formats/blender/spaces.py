"""Observation and action space as RLHF-Blender's registry keeps them: facts of plain JSON."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Shaped

from pipeline.dataset.columns import RowSpec
from pipeline.dataset.ends import BLOCK
from pipeline.errors import InvalidInput
from pipeline.formats.contract import Outgoing

LIMIT = 1e9
"""Stands for infinity among bounds: RLHF-Blender reads its registry as Python literals, which have none."""

_Bounds = tuple[Shaped[np.ndarray, "..."], Shaped[np.ndarray, "..."]]

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ActionChoice:
    """Discrete actions: the numbers of the first and of the last one."""

    first: int
    last: int

    def __len__(self) -> int:
        return self.last - self.first + 1


def observation_space_info(row: RowSpec) -> dict[str, Any]:
    """A Box of what one row of `obs` is: `label`, `shape`, `dtype`, and the numbers of its last axis as `labels`."""
    shape = row.shape or (1,)
    return {
        "label": _label("Box", shape),
        "shape": list(shape),
        "dtype": row.dtype.name,
        "labels": _labels(shape[-1]),
    }


def action_space_info(data: Outgoing, names: Mapping[int, str]) -> dict[str, Any]:
    """As `observation_space`; a Box has `low` and `high`, too, where they are known.

    Args:
        data: the manifest says how many discrete actions there are; where it does not, the environment is made once,
            and where that cannot be, the greatest action of the dataset is the last one.
        names: what discrete actions are called, by their number.
    """
    row = data.rows["action"]
    bounds = None
    if (choice := _recorded_choice(data)) is None:
        bounds = _made_bounds(data)
        choice = _choice(data, row, bounds)
    if choice is not None:
        count = len(choice)
        labels = {str(action): names.get(action, action) for action in range(choice.first, choice.last + 1)}
        return {"label": _label("Discrete", (count,)), "shape": [count], "dtype": "int64", "labels": labels}
    shape = row.shape or (1,)
    dtype = "float32" if row.dtype.kind == "f" else "int64"
    space = {"label": _label("Box", shape), "shape": list(shape), "dtype": dtype, "labels": _labels(shape[-1])}
    if bounds is not None:
        space |= {name: _bounded(bound, shape) for name, bound in zip(("low", "high"), bounds, strict=True)}
    return space


def recorded_environment(data: Outgoing) -> Mapping[str, Any]:
    """The identity of the environment that was played, from the dataset's manifest."""
    facts: Mapping[str, Any] = data.provenance.get("parameters", {}).get("environment", {})
    return facts


def is_discrete(row: RowSpec) -> bool:
    """Whether an action is one whole number."""
    return not row.shape and row.dtype.kind in "iub"


def _label(kind: str, shape: tuple[int, ...]) -> str:
    return f"{kind}({shape})"


def _labels(count: int) -> dict[str, Any]:
    return {str(number): number for number in range(count)}


def _bounded(bound: Shaped[np.ndarray, "..."], shape: tuple[int, ...]) -> list[Any]:
    capped = np.clip(np.broadcast_to(bound, shape).astype(np.float64), -LIMIT, LIMIT)
    return capped.tolist() if bound.dtype.kind == "f" else capped.astype(np.int64).tolist()


def _recorded_choice(data: Outgoing) -> ActionChoice | None:
    """The discrete actions of the environment that was played, where its identity tells."""
    facts = recorded_environment(data)
    if isinstance(actions := facts.get("actions"), list):
        return ActionChoice(0, len(actions) - 1)
    layout = facts.get("action_layout")
    if isinstance(layout, list) and len(layout) == 1 and layout[0].get("space") == "Discrete":
        return ActionChoice(int(layout[0]["first"]), int(layout[0]["last"]))
    return None


def _choice(data: Outgoing, row: RowSpec, bounds: _Bounds | None) -> ActionChoice | None:
    if not is_discrete(row):
        return None
    if bounds is not None:
        return ActionChoice(*(int(bound.item()) for bound in bounds))
    starts = range(0, data.dataset.states, BLOCK)
    actions = (data.dataset.state_rows("action", at, min(at + BLOCK, data.dataset.states)) for at in starts)
    ends = [(int(block.min()), int(block.max())) for block in actions]
    return ActionChoice(min(0, *(low for low, _ in ends)), max(high for _, high in ends))


def _made_bounds(data: Outgoing) -> _Bounds | None:
    """The bounds of actions of the very environment that was played, which is made for it; None where it has none."""
    if data.environment is None:
        return None
    try:
        environment = data.environment()
        try:
            if dict(environment.identity()) != dict(recorded_environment(data)):
                log.info("%s/%s: bounds of actions are left out: its environment has changed", data.domain, data.task)
                return None
            spec = environment.action_spec
        finally:
            environment.close()
    except InvalidInput as error:  # its package is not installed here
        log.info("%s/%s: bounds of actions are left out: %s", data.domain, data.task, error)
        return None
    return None if spec.low is None or spec.high is None else (np.asarray(spec.low), np.asarray(spec.high))
