"""What a log says of itself, as JSON can hold it."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import numpy as np
from jaxtyping import Num

from pipeline.sources.envlogger.stream import LoggedLeaf

LISTED = 64
"""Numbers of an array that are listed; a longer one is told by its only value, or by its dtype and shape."""


def nested_values(columns: Iterable[LoggedLeaf]) -> dict[str, Any]:
    """Mappings in mappings of what columns of one row hold, by their keys without the first; lists as from `0` on."""
    found: dict[str, Any] = {}
    for column in columns:
        inside = found
        for key in column.keys[1:-1]:
            inside = inside.setdefault(str(key), {})
        inside[str(column.keys[-1])] = _value(column)
    return found


def _value(column: LoggedLeaf) -> Any:
    if column.texts is not None:
        return column.texts[0]
    return f"left out: {column.unfit}" if column.values is None else _plain(column.values[0])


def _plain(array: Num[np.ndarray, "..."]) -> Any:
    """Numbers as lists; one that all are as itself; what is not finite as a text."""
    if array.size > 1 and (array == array.flat[0]).all():
        return _number(array.flat[0].item())
    if array.size > LISTED:
        return f"{array.dtype}{list(array.shape)}"
    return _number(array.item()) if array.ndim == 0 else [_plain(each) for each in array]


def _number(value: float | int | bool) -> Any:
    return value if math.isfinite(value) else str(value)
