"""What an export says of where its episodes come from, as JSON: for the form's own place, or `provenance.json`."""

from __future__ import annotations

import re
import shlex
from importlib import metadata
from typing import Any

from pipeline.artifacts.artifact import EPISODES, Artifact
from pipeline.command import key_of
from pipeline.dataset.reader import EpisodeDataset
from pipeline.dataset.rewards import reward_clipping

PROVENANCE = "provenance.json"
"""The file of a form that has no place of its own for it."""

TOOL = "repertoire"

_FOLDERS = re.compile(r"(?<![\w:/.~])(?:~|\.{1,2})?/(?:[^/,\[\]{}]*/)*")
"""The folders of a path that says where it lies on a machine, also in a list; addresses have none."""


def provenance(artifact: Artifact, dataset: EpisodeDataset, settings: dict[str, Any]) -> dict[str, Any]:
    """What made the episodes of a dataset, and the settings of their export.

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
        "command": _without_paths(manifest.command),
        "warnings": manifest.warnings,
        **({"reward_clipping": list(clipping)} if clipping else {}),
        "export": settings,
    }


def _without_paths(command: str) -> str:
    """A command without the folders of the machine that it ran on, of each path its last name stays, and without how
    many processes it had there: the same data have the same words.

    >>> _without_paths("python run.py stage=ingest source.path=/home/anna/log.hdf5 'paths.root=/my data' workers=8")
    'python run.py stage=ingest source.path=log.hdf5'
    """
    try:
        words = shlex.split(command)
    except ValueError:  # a quotation without an end: nobody ran that
        return ""
    kept = [word for word in words if not key_of(word).startswith(("paths.", "hydra.", "format.out", "workers"))]
    return shlex.join(_FOLDERS.sub("", word) for word in kept)
