"""What the records of runs, beside the artifacts, say of an artifact: for where its own manifest says nothing."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

RUNS, SWEEPS = "runs", "sweeps"
"""The folders of `paths.root` that hold the records of runs and of sweeps."""

MADE, JOB = "artifacts.json", "job.json"
"""Of one run, or of one job of a sweep: what it has made or found; its words."""


@dataclass(frozen=True)
class MadeBy:
    """The job that has made an artifact.

    Attributes:
        stage: the one that made it.
        command: the job's whole command, as a manifest records it.
    """

    stage: str
    command: str


def made_by(folder: Path) -> MadeBy | None:
    """The last job that has made what lies in an artifact's folder, or else has found it; None where no record is left.

    One that made it again with `force=true`, to compare it, has only found it: that may have been a part of it. A root
    may have been moved since: the folder is known by what lies below `artifacts`.
    """
    found: MadeBy | None = None
    for made in _newest_first(folder.parents[4]):
        for entry in _entries(made):
            if Path(str(entry.get("path"))).parts[-5:] != folder.parts[-5:]:
                continue
            words = _words(made.with_name(JOB))
            if words and isinstance(stage := entry.get("stage"), str):
                job = MadeBy(stage, shlex.join(["python", "run.py", *words]))
                if entry.get("built") is True and "force=true" not in words:
                    return job
                found = found or job
    return found


def _newest_first(root: Path) -> list[Path]:
    found = [*root.glob(f"{RUNS}/*/*/{MADE}"), *root.glob(f"{SWEEPS}/*/*/*/{MADE}")]
    return sorted(found, key=lambda path: path.relative_to(root).parts[1:], reverse=True)


def _entries(made: Path) -> Iterator[dict[str, Any]]:
    entries = plain_json(made)
    yield from (each for each in reversed(entries) if isinstance(each, dict)) if isinstance(entries, list) else ()


def _words(job: Path) -> list[str]:
    note = plain_json(job)
    words = note.get("words") if isinstance(note, dict) else None
    return words if isinstance(words, list) and all(isinstance(word, str) for word in words) else []


def plain_json(path: Path) -> Any:
    """What a JSON file holds; None where there is none, or one that is torn."""
    try:
        return json.loads(path.read_bytes())
    except (OSError, ValueError):
        return None
