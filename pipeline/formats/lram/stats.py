"""`stats.json`: LRAM's figures of a folder, and what made the episodes in it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import Num

from pipeline.formats.contract import Outgoing

DIGITS = 4


def statistics(data: Outgoing) -> dict[str, Any]:
    """LRAM's keys, and ours; null where a source does not say."""
    artifact = data.dataset.artifact
    source = dict(data.provenance.get("parameters", {})).get("source", {})
    quirks = Counter[str]()
    for each in artifact.manifest.quirks if artifact else []:  # a grown dataset may have one twice, with other words
        quirks[each["name"]] = max(quirks[each["name"]], each["count"])
    checkpoints = [each[0] for each in source.get("checkpoints", [])] or None
    return {
        "slices": len(checkpoints) if checkpoints else None,
        "episodes": len(data),
        "transitions": data.dataset.states,
        **_of(data.dataset.lengths, "episode_len"),
        **_of(data.dataset.per_episode("return"), "episode_return"),
        "reward_clipping": data.provenance.get("reward_clipping"),
        "run": source.get("run"),
        "checkpoints": checkpoints,
        "selection": source.get("rows"),
        "padding_stripped": _padding(data, source),
        "incomplete_dropped": source.get("edges") in ("stitch", "drop") if checkpoints else None,
        "missing_checkpoints": quirks["missing_checkpoints"] + quirks["unavailable_checkpoints"]
        if checkpoints
        else None,
        "source_sha256": None,
        "digest": data.provenance.get("digest"),
        "version": data.provenance.get("tool"),
    }


def _padding(data: Outgoing, source: Mapping[str, Any]) -> int | None:
    """Rows of padding that were taken away from these episodes, where all of the dataset are among them."""
    artifact = data.dataset.artifact
    if artifact is None or source.get("rows") != "clean" or artifact.manifest.counts["episodes"] != len(data):
        return None
    return int(artifact.manifest.counts.get("padding_rows", 0))


def _of(values: Num[np.ndarray, "n"], name: str) -> dict[str, float]:
    """Mean, least and most."""
    figures = {"mean": values.mean(), "min": values.min(), "max": values.max()}
    return {f"{key}_{name}": round(float(value), DIGITS) for key, value in figures.items()}
