"""How vectors are compared."""

from __future__ import annotations

from typing import Literal, get_args

from pipeline.errors import unknown_name

Metric = Literal["l2", "cosine"]

UNITS = {"l2": "units of the vectors, L2", "cosine": "1 - cosine"}
"""Of distances."""


def check_metric(metric: str, setting: str = "metric") -> None:
    """Raises UnknownName for one that is not known."""
    if metric not in get_args(Metric):
        raise unknown_name(setting, metric, get_args(Metric))
