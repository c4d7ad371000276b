"""What a manifest tells of a dataset, made from summaries of its parts."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np

from pipeline.dataset.parts import ENDS, split_texts, unpack
from pipeline.dataset.reader import PARTS
from pipeline.digest import combine
from pipeline.episode import PRESENT
from pipeline.storage.choice import open_arrays
from pipeline.storage.contract import ReadableArray


class PartSummary(NamedTuple):
    """What a dataset's manifest tells of a part.

    Attributes:
        returns: (n,) float64, of its episodes.
        success: (n,) int8.
        digests: (n, 32) uint8.
        gave_up: episodes that the policy gave up.
        rows: of its step arrays.
        steps: shape of a row and dtype of the step arrays, by name.
    """

    returns: np.ndarray
    success: np.ndarray
    digests: np.ndarray
    gave_up: int
    rows: int
    steps: dict[str, tuple[tuple[int, ...], np.dtype[Any]]]


def summary_of(arrays: Mapping[str, ReadableArray]) -> PartSummary:
    """The summary of a part on disk, or of one just packed."""
    reasons = split_texts(arrays["texts/end_reason/bytes"][:], arrays["texts/end_reason/ends"][:])
    return PartSummary(
        returns=arrays["episodes/return"][:],
        success=arrays["episodes/success"][:],
        digests=arrays["episodes/digest"][:],
        gave_up=reasons.count("gave_up"),
        rows=int(arrays[ENDS][:][-1]),
        steps={
            name.removeprefix("steps/"): (tuple(arrays[name].shape[1:]), np.dtype(arrays[name].dtype))
            for name in arrays
            if name.startswith("steps/")
        },
    )


def step_bytes(arrays: Mapping[str, ReadableArray]) -> int:
    """Bytes of the episodes' own step arrays, without what packing adds where an episode lacks an info."""
    if any(name.startswith(f"steps/{PRESENT}") for name in arrays):
        return sum(episode.nbytes for episode in unpack({name: array[:] for name, array in arrays.items()}))
    steps = [array for name, array in arrays.items() if name.startswith("steps/")]
    return sum(int(np.prod(array.shape)) * np.dtype(array.dtype).itemsize for array in steps)


def summarise(
    folder: Path, parts: list[dict[str, Any]], known: Mapping[str, PartSummary] = MappingProxyType({})
) -> dict[str, Any]:
    """Digest, counts, arrays and return statistics of a dataset, as its manifest holds them.

    Opens each part once, but for those whose summaries are `known`, by the part's name.
    """
    told = [
        known[name] if name in known else summary_of(open_arrays(folder / PARTS / name))
        for name in (str(part["name"]) for part in parts)
    ]
    returns = np.concatenate([part.returns for part in told])
    success = np.concatenate([part.success for part in told])
    rows = sum(part.rows for part in told)
    told_success = success[success >= 0]
    counts: dict[str, int | float] = {"episodes": len(returns), "states": rows - len(returns)}
    if len(told_success):
        counts["successes"] = int(told_success.sum())
        counts["success_known"] = len(told_success)
    if gave_up := sum(part.gave_up for part in told):
        counts["gave_up"] = gave_up
    for part in parts:
        for name, fact in part.get("facts", {}).items():
            if isinstance(fact, int):
                counts[name] = counts.get(name, 0) + fact
    steps = {name: spec for part in reversed(told) for name, spec in part.steps.items()}
    return {
        "digest": combine(bytes(row) for part in told for row in part.digests),
        "counts": counts,
        "arrays": [
            {"name": name, "shape": [rows, *shape], "dtype": dtype.name, "unit": "as the source gave it"}
            for name, (shape, dtype) in sorted(steps.items())
        ],
        "return_": {
            "mean": float(returns.mean()),
            "std": float(returns.std()),
            "min": float(returns.min()),
            "max": float(returns.max()),
        },
    }


def part_entry(name: str, ends: np.ndarray, size: int) -> dict[str, Any]:
    """What a manifest lists of a part whose episodes end at the rows `ends`."""
    return {"name": name, "episodes": len(ends), "states": int(ends[-1]) - len(ends), "bytes": size}
