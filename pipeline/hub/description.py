"""`published.json`: what a repository says about a task, and what is needed to build its bins again, byte for byte.

It holds no time, host or path, so the same artifacts give the same file.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.artifacts.artifact import Artifact
from pipeline.dataset.reader import EpisodeDataset
from pipeline.errors import DamagedArtifact, InvalidInput
from pipeline.machine.files import read_json
from pipeline.machine.secrets import values_without_secrets
from pipeline.regent.bins import STATISTICS
from pipeline.wording import json_words

FORMAT = 1
KEYS = {"format", "name", "held_out", "configs", "bins", "dataset", "retrieval", "figures", "versions", "warnings"}


@dataclass(frozen=True)
class Sources:
    """The artifacts that a published task comes from. `folder` is that of the bins."""

    parquet: Artifact
    bins: Artifact
    retrieval: Artifact
    episodes: Artifact
    folder: Path

    @property
    def name(self) -> str:
        return f"{self.parquet.domain}-{self.parquet.task}"


def describe(sources: Sources) -> bytes:
    """The content of `published.json`."""
    parquet, bins, parent = sources.parquet.manifest, sources.bins.manifest, sources.parquet.parent("episodes")
    warnings = [*sources.retrieval.manifest.warnings, *bins.warnings, *parquet.warnings]
    facts = {
        "format": FORMAT,
        "name": sources.name,
        "held_out": bool(parquet.parameters["unseen"]),
        "configs": _configs(sources.parquet),
        "bins": {
            "folder": sources.folder.name,
            "suffix": str(bins.parameters["suffix"]),
            "version": bins.version,
            "digest": bins.digest,
            "arrays": bins.arrays,
            "files": _below(bins.files, sources.folder.name),
        },
        "dataset": {
            "name": parent.version,
            "digest": parent.digest,
            "episodes": parent.episodes,
            "made_by": sources.episodes.manifest.parameters,
        },
        "retrieval": sources.retrieval.manifest.parameters,
        "figures": _figures(sources),
        "versions": {"parquet": parquet.versions, "program": parquet.commit},
        "warnings": list(dict.fromkeys(warnings)),
    }
    facts = values_without_secrets(facts)
    return (json.dumps(facts, indent=1, ensure_ascii=False) + "\n").encode()


def read_description(content: bytes, where: str) -> dict[str, Any]:
    """The facts of a `published.json`. Raises InvalidInput for one of a later program, DamagedArtifact for another."""
    try:
        facts = json.loads(content)
        number = facts["format"]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise DamagedArtifact(f"{where} is no description of a published task: {error}") from error
    if type(number) is not int:
        raise DamagedArtifact(f"{where} is no description of a published task: its format is {json_words(number)}.")
    if number != FORMAT:
        raise InvalidInput(f"{where} is of a later program (format {number}, known is {FORMAT}): update this one.")
    if missing := KEYS - facts.keys():
        raise DamagedArtifact(f"{where} lacks {', '.join(sorted(missing))}.")
    return dict(facts)


def _configs(parquet: Artifact) -> list[dict[str, Any]]:
    """Rows, bytes and columns of each configuration, and its files with their sizes and BLAKE3 checksums."""
    found = []
    files = _below(parquet.manifest.files, "data")
    for config in dict.fromkeys(path.split("/")[0] for path in files if "/" in path):
        arrays = [array for array in parquet.manifest.arrays if array["name"].startswith(f"{config}/")]
        found.append(
            {
                "config": config,
                "rows": arrays[0]["shape"][0],
                "raw_bytes": sum(_bytes(array) for array in arrays),
                "columns": {array["name"].split("/", 1)[1]: _feature(array) for array in arrays},
                "files": {path: record for path, record in files.items() if path.startswith(f"{config}/")},
            }
        )
    return sorted(found, key=lambda each: not each["config"].endswith("_subset"))


def _figures(sources: Sources) -> dict[str, Any]:
    """Measured over the episodes that the task's rows come from."""
    used = sources.parquet.parent("episodes").episodes
    dataset = EpisodeDataset.of(sources.episodes)
    returns = dataset.per_episode("return")[:used].astype(np.float64)
    success = dataset.per_episode("success")[:used]
    known = success[success >= 0]
    return {
        "episodes": used,
        "states": sources.parquet.manifest.counts["states"],
        "rows": sources.parquet.manifest.counts["rows"],
        "pool_episodes": sources.retrieval.manifest.counts["pool_episodes"],
        "return": {name: float(getattr(returns, name)()) for name in ("mean", "std", "min", "max")},
        "success": float(known.mean()) if len(known) else None,
        "distances": read_json(sources.folder / STATISTICS),
    }


def _below(files: Mapping[str, Any], folder: str) -> dict[str, Any]:
    return {path.removeprefix(f"{folder}/"): record for path, record in files.items() if path.startswith(f"{folder}/")}


def _bytes(array: Mapping[str, Any]) -> int:
    return int(np.prod(array["shape"], dtype=np.int64)) * np.dtype(array["dtype"]).itemsize


def _feature(array: Mapping[str, Any]) -> str:
    sizes = " x ".join(str(size) for size in array["shape"][1:]) or "scalar"
    return f"{sizes}, {array['dtype']}"
