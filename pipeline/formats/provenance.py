"""What an export says of where its episodes come from, as JSON: for the form's own place, or `provenance.json`."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import metadata
from typing import Any

from pipeline.artifacts.artifact import EPISODES, Artifact
from pipeline.dataset.reader import EpisodeDataset
from pipeline.dataset.rewards import reward_clipping
from pipeline.formats.aspects import Aspect

PROVENANCE = "provenance.json"
"""The file of a form that has no place of its own for it."""

TOOL = "repertoire"


def provenance(artifact: Artifact, dataset: EpisodeDataset, settings: dict[str, Any]) -> dict[str, Any]:
    """What made the episodes of a dataset, and what of them an export holds.

    `digest` is that of the content, `parameters` what the dataset was asked to be (environment, policy with the hash of
    its file, source), `command` how it was made. Holds no path, no host and no secret.
    """
    manifest = artifact.manifest
    assert manifest.kind == EPISODES
    clipping = reward_clipping(manifest.parameters)
    return {
        "tool": f"{TOOL} {metadata.version(TOOL)}",
        "domain": artifact.domain,
        "task": artifact.task,
        "dataset": manifest.version,
        "digest": dataset.digest(),
        "episodes": len(dataset),
        "states": dataset.states,
        "parameters": manifest.parameters,
        "versions": manifest.versions,
        "command": manifest.command,
        "warnings": manifest.warnings,
        **({"reward_clipping": list(clipping)} if clipping else {}),
        "export": settings,
    }


def lost_words(lost: Sequence[Aspect]) -> list[str]:
    """As they stand in an export and are printed: `reset infos: dropped`."""
    return [f"{aspect}: dropped" for aspect in lost]
