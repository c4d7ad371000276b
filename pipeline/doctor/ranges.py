"""Which actions there are: from the manifest, else from the simulator of the command."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float64, Num

from pipeline.doctor.block import Subject
from pipeline.domains.actions import action_names
from pipeline.errors import PipelineError
from pipeline.wording import error_text

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ActionRange:
    """Bounds of each dimension of an action, both included; infinite where nothing bounds it."""

    low: Float64[np.ndarray, " columns"]
    high: Float64[np.ndarray, " columns"]

    def of_type(self, dtype: np.dtype[Any]) -> tuple[Num[np.ndarray, " columns"], Num[np.ndarray, " columns"]]:
        """Both as an action of that type holds them: 0.1 is a little more in float32."""
        own = dtype if dtype.kind == "f" else np.dtype(np.float64)
        return self.low.astype(own), self.high.astype(own)


def action_range(subject: Subject, columns: int, whole: bool) -> ActionRange | None:
    """The bounds of `columns` dimensions; None where nobody says them. `whole`: actions are whole numbers."""
    stated = _stated(subject.parameters, columns) if whole else None
    return stated or _of_simulator(subject, columns)


def _stated(parameters: Mapping[str, Any], columns: int) -> ActionRange | None:
    layout = dict(parameters.get("environment") or {}).get("action_layout")
    if isinstance(layout, list) and (found := _of_layout(layout, columns)) is not None:
        return found
    names = action_names(parameters)
    return ActionRange(np.zeros(1), np.full(1, max(names))) if names and columns == 1 else None


def _of_layout(layout: list[Mapping[str, Any]], columns: int) -> ActionRange | None:
    """From the parts that a Gymnasium space was taken apart into."""
    low, high = np.full(columns, -np.inf), np.full(columns, np.inf)
    try:
        for part in layout:
            start, stop = part["at"]
            if "first" in part:
                low[start:stop], high[start:stop] = np.ravel(part["first"]), np.ravel(part["last"])
            elif part["space"] == "MultiBinary":
                low[start:stop], high[start:stop] = 0, 1
    except (KeyError, TypeError, ValueError):  # another version wrote it
        return None
    return ActionRange(low, high) if np.isfinite(low).any() else None


def _of_simulator(subject: Subject, columns: int) -> ActionRange | None:
    """From the environment that made the data, where it can be made here."""
    if subject.simulator is None or not subject.environment:
        return None
    try:
        environment = subject.simulator.environment(task=subject.task)
        try:
            spec = environment.action_spec
        finally:
            environment.close()
    except (PipelineError, ImportError, RuntimeError) as error:  # not installed, or not of these settings
        log.debug("%s: the simulator's actions are not known: %s", subject.where, error_text(error))
        return None
    if spec.low is None or spec.high is None or math.prod(spec.shape) != columns:
        return None
    low, high = (np.broadcast_to(np.asarray(each, np.float64), spec.shape).ravel() for each in (spec.low, spec.high))
    return ActionRange(low.copy(), high.copy())
