"""What an export of ours says of itself, beside RLHF-Blender's files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.errors import DamagedArtifact, InvalidInput
from pipeline.machine.files import is_plain_file, read_json


@dataclass(frozen=True)
class OwnFacts:
    """What `experiment.json` says.

    Attributes:
        path: the file.
        environment: the id of the environment.
        rows: of each episode.
        action_space: `label`, `shape`, ... of one action.
        provenance: where the episodes came from.
    """

    path: Path
    environment: str
    rows: Sequence[int]
    action_space: Mapping[str, Any]
    provenance: Mapping[str, Any]


def read_own_facts(path: Path) -> OwnFacts | None:
    """The file's facts; None where it is not there. Raises InvalidInput for a damaged one: it says what rows mean."""
    if not is_plain_file(path):
        return None
    try:
        facts = read_json(path)
        rows, environment, provenance = facts["rows"], facts["environment"], facts["provenance"]
        known = OwnFacts(path, str(environment["id"]), rows, environment.get("action_space", {}), provenance)
        if not isinstance(rows, list) or not all(type(each) is int for each in rows):
            raise TypeError("rows should be a list of numbers")
        if not isinstance(provenance, dict) or not isinstance(known.action_space, dict):
            raise TypeError("provenance should be an object")
    except (DamagedArtifact, KeyError, TypeError, AttributeError) as error:
        raise InvalidInput(
            f"{path} cannot be read: {error}. It says how the rows beside it are laid out. Copy it again, or move it "
            f"away to read the folder as RLHF-Blender's own."
        ) from error
    return known
