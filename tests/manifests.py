"""Manifests as other programs, or accidents, leave them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pipeline.artifacts.artifact import MANIFEST, Artifact, Manifest
from pipeline.artifacts.record import CHECKSUM, LAYOUT, with_checksum


def edited(folder: Path, **changes: Any) -> Artifact:
    """The artifact with other values in its manifest, which is whole by its checksum."""
    path = folder / MANIFEST
    path.write_text(json.dumps(with_checksum(json.loads(path.read_text()) | changes)))
    return Artifact(folder, Manifest.read(folder))


def as_before(folder: Path, *without: str, **changes: Any) -> Artifact:
    """The artifact as a program left it that knew no checksum, without some keys and with other values."""
    path = folder / MANIFEST
    values = json.loads(path.read_text()) | changes
    values["versions"].pop(LAYOUT, None)
    path.write_text(json.dumps({key: each for key, each in values.items() if key not in (CHECKSUM, *without)}))
    return Artifact(folder, Manifest.read(folder))
