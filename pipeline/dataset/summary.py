"""What a manifest says of a dataset, made from summaries of its parts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float64, Int8, Shaped, UInt8

from pipeline.artifacts.artifact import PARTS, Part
from pipeline.dataset.columns import RowSpec, row_specs, step_arrays
from pipeline.dataset.index import READ
from pipeline.dataset.parts import ENDS, split_texts, unpack
from pipeline.dataset.resets import reset_specs
from pipeline.dataset.stuck import STUCK, stuck
from pipeline.digest import combine
from pipeline.episode import INFO_TEXTS, PRESENT
from pipeline.storage.choice import open_arrays
from pipeline.storage.contract import ReadableArray


class PartSummary(NamedTuple):
    """What a dataset's manifest needs to know of a part.

    Attributes:
        returns, success, digests: of its episodes.
        gave_up: episodes that the policy gave up.
        stuck: episodes in which nothing happens on the screen; None where the screens were not read for it.
        rows: of its step arrays.
        steps: one row of each step array, by name.
        indexed: the arrays of which an index is made (`pipeline.dataset.index.READ`), where they were in memory.
    """

    returns: Float64[np.ndarray, " n"]
    success: Int8[np.ndarray, " n"]
    digests: UInt8[np.ndarray, "n 32"]
    gave_up: int
    stuck: int | None
    rows: int
    steps: Mapping[str, RowSpec]
    indexed: dict[str, Shaped[np.ndarray, "n ..."]] = {}  # noqa: RUF012  # of a NamedTuple


def summary_of(arrays: Mapping[str, ReadableArray]) -> PartSummary:
    """The summary of a part on disk, or of one just packed."""
    reasons = split_texts(arrays["texts/end_reason/bytes"][:], arrays["texts/end_reason/ends"][:])
    return PartSummary(
        returns=arrays["episodes/return"][:],
        success=arrays["episodes/success"][:],
        digests=arrays["episodes/digest"][:],
        gave_up=reasons.count("gave_up"),
        stuck=_stuck(arrays),
        rows=int(arrays[ENDS][:][-1]),
        steps=row_specs(step_arrays(arrays)),
        indexed=_indexed(arrays),
    )


def _stuck(arrays: Mapping[str, ReadableArray]) -> int | None:
    """Only of arrays in memory: screens on disk were looked at when they were written, and their part says so."""
    steps = step_arrays(arrays)
    memory = {name: array for name, array in steps.items() if isinstance(array, np.ndarray)}
    return int(stuck(memory, arrays[ENDS][:]).sum()) if len(memory) == len(steps) else None


def _indexed(arrays: Mapping[str, ReadableArray]) -> dict[str, Shaped[np.ndarray, "n ..."]]:
    """Copies, for a map of a part's file would stay open; nothing of arrays on disk, which few need."""
    return {name: np.array(arrays[name]) for name in READ} if isinstance(arrays[ENDS], np.ndarray) else {}


def step_bytes(arrays: Mapping[str, ReadableArray]) -> int:
    """`nbytes` of the episodes, without what packing adds where an episode lacks an info."""
    steps = step_arrays(arrays)
    if any(name.startswith(PRESENT) for name in steps) or reset_specs(arrays) or f"texts/{INFO_TEXTS}/ends" in arrays:
        return sum(episode.nbytes for episode in unpack({name: array[:] for name, array in arrays.items()}))
    return sum(len(array) * RowSpec.of(array).nbytes for array in steps.values())


def summarise(
    folder: Path, parts: Sequence[Part], known: Mapping[str, PartSummary] = MappingProxyType({})
) -> dict[str, Any]:
    """Digest, counts, arrays and return statistics of a dataset, as its manifest holds them.

    Opens each part once, but for those whose summaries are `known`, by the part's name.
    """
    return described(
        [known.get(part.name) or summary_of(open_arrays(folder / PARTS / part.name)) for part in parts], parts
    )


def described(summaries: Sequence[PartSummary], parts: Sequence[Part] = ()) -> dict[str, Any]:
    """As `summarise`, of the summaries of the parts; `parts` say what is counted besides."""
    returns = np.concatenate([each.returns for each in summaries])
    rows = sum(each.rows for each in summaries)
    steps = {name: row for each in reversed(summaries) for name, row in each.steps.items()}
    return {
        "digest": combine(each.digests.tobytes() for each in summaries),
        "counts": _counts(parts, summaries),
        "arrays": [
            {"name": name, "shape": [rows, *row.shape], "dtype": row.dtype.name, "unit": "as the source gave it"}
            for name, row in sorted(steps.items())
        ],
        "return_": {
            "mean": float(returns.mean()),
            "std": float(returns.std()),
            "min": float(returns.min()),
            "max": float(returns.max()),
        },
    }


def _counts(parts: Sequence[Part], summaries: Sequence[PartSummary]) -> dict[str, int | float]:
    """Episodes, states, successes where they are known, and what the parts' facts count."""
    success = np.concatenate([each.success for each in summaries])
    known = success[success >= 0]
    counts: dict[str, int | float] = {
        "episodes": len(success),
        "states": sum(each.rows for each in summaries) - len(success),
    }
    if len(known):
        counts |= {"successes": int(known.sum()), "success_known": len(known)}
    if gave_up := sum(each.gave_up for each in summaries):
        counts["gave_up"] = gave_up
    if still := sum(part.stuck or 0 for part in parts):
        counts[STUCK] = still
    for part in parts:
        for name, fact in (part.facts or {}).items():
            if isinstance(fact, int):
                counts[name] = counts.get(name, 0) + fact
    return counts
