"""Programs of a cluster that say what a test wants them to."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

SYSTEM = ("bash", "cat", "env", "grep", "touch", "wc")


def put(folder: Path, monkeypatch: pytest.MonkeyPatch, **scripts: str) -> Path:
    """Programs by their names, each the text of a shell script: the PATH has these, and a few of the system."""
    place = folder / "programs"
    place.mkdir(exist_ok=True)
    for name in SYSTEM:
        if not (place / name).exists():
            (place / name).symlink_to(shutil.which(name, path=os.defpath))
    for name, script in scripts.items():
        (place / name).write_text(f"#!/bin/sh\n{script}\n")
        (place / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(place))
    return place
