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
from pipeline.interfaces import ArraySpec

LARGEST_BOUND = 1e9
"""Stands for infinity among bounds: RLHF-Blender reads its registry as Python literals, which have none."""

ActionBounds = tuple[Shaped[np.ndarray, "..."], Shaped[np.ndarray, "..."]]

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
    """The space of a dataset's actions; see `space_of_actions`.

    The manifest says how many discrete actions there are; where it does not, the environment is made once, and where
    that cannot be, the greatest action of the dataset is the last one.
    """
    row = data.rows["action"]
    if (choice := recorded_choice(recorded_environment(data))) is not None:
        return space_of_actions(row, choice, None, names)
    bounds = _made_bounds(data)
    return space_of_actions(row, choice_between(row, bounds) or _choice(data, row), bounds, names)


def space_of_actions(
    row: RowSpec, choice: ActionChoice | None, bounds: ActionBounds | None, names: Mapping[int, str]
) -> dict[str, Any]:
    """A Discrete or a Box, with the keys of `observation_space_info`; a Box has `low` and `high` where they are known.

    Args:
        row: one action.
        choice: the discrete actions; None for a Box.
        bounds: of a Box.
        names: what discrete actions are called, by their number.
    """
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


def nested_space() -> dict[str, Any]:
    """A Dict or Tuple: it has no shape, and no labels."""
    return {"label": _label("Dict", ()), "shape": [], "dtype": "", "labels": {}}


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
    capped = np.clip(np.broadcast_to(bound, shape).astype(np.float64), -LARGEST_BOUND, LARGEST_BOUND)
    return capped.tolist() if bound.dtype.kind == "f" else capped.astype(np.int64).tolist()


def recorded_choice(identity: Mapping[str, Any]) -> ActionChoice | None:
    """The discrete actions of an environment, where its identity tells."""
    if isinstance(actions := identity.get("actions"), list):
        return ActionChoice(0, len(actions) - 1)
    layout = identity.get("action_layout")
    if isinstance(layout, list) and len(layout) == 1 and layout[0].get("space") == "Discrete":
        return ActionChoice(int(layout[0]["first"]), int(layout[0]["last"]))
    return None


def choice_between(row: RowSpec, bounds: ActionBounds | None) -> ActionChoice | None:
    """The whole numbers between two bounds; None where an action is not one of them."""
    if not is_discrete(row) or bounds is None:
        return None
    return ActionChoice(*(int(bound.item()) for bound in bounds))


def _choice(data: Outgoing, row: RowSpec) -> ActionChoice | None:
    if not is_discrete(row):
        return None
    starts = range(0, data.dataset.states, BLOCK)
    actions = (data.dataset.state_rows("action", at, min(at + BLOCK, data.dataset.states)) for at in starts)
    ends = [(int(block.min()), int(block.max())) for block in actions]
    return ActionChoice(min(0, *(low for low, _ in ends)), max(high for _, high in ends))


def _made_bounds(data: Outgoing) -> ActionBounds | None:
    """The bounds of actions of the very environment that was played, which is made for it; None where it has none."""
    if data.environment is None:
        return None
    try:
        environment = data.environment()
        try:
            if dict(environment.identity()) != dict(recorded_environment(data)):
                log.info("%s/%s: bounds of actions are left out: its environment has changed", data.domain, data.task)
                return None
            return bounds_of(environment.action_spec)
        finally:
            environment.close()
    except InvalidInput as error:  # its package is not installed here
        log.info("%s/%s: bounds of actions are left out: %s", data.domain, data.task, error)
        return None


def bounds_of(spec: ArraySpec) -> ActionBounds | None:
    """The lowest and the highest action; None where nothing bounds them."""
    return None if spec.low is None or spec.high is None else (np.asarray(spec.low), np.asarray(spec.high))
