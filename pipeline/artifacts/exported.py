"""Where an export lies within its artifact, and what its manifest says of it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from pipeline.artifacts.artifact import ALL_TASKS, EPISODES, Artifact, Parent
from pipeline.errors import DamagedArtifact
from pipeline.machine.files import human_bytes

EXPORT = "export"
"""The kind of an export."""

DATA = "data"
"""The folder of the artifact that holds what the form wrote."""

PLACE, LOST = "place", "lost"
"""Facts of its manifest: the file or folder below `data`; of what the form does not hold, what becomes of it."""

TASKS = "tasks"
"""Among the parameters of an export that joins tasks: which ones, in the order of its datasets."""


def place_in(export: Artifact) -> Path:
    """The file or folder that the form wrote. Raises DamagedArtifact for a manifest that names another folder's."""
    place = PurePosixPath(str(export.manifest.facts.get(PLACE, "..")))
    if place.is_absolute() or ".." in place.parts:
        raise DamagedArtifact(f"{export.path} does not say where in it the export lies.")
    return export.path / DATA / place


def tasks_in(export: Artifact) -> list[str]:
    """Its tasks, in the order of its datasets."""
    return [export.task] if export.task != ALL_TASKS else [str(task) for task in export.manifest.parameters[TASKS]]


def datasets_in(export: Artifact) -> list[Parent]:
    """The datasets that it is of, one for each task; it may be made of their frames, too."""
    return [parent for parent in export.parents if parent.kind == EPISODES]


def lost_sentence(lost: Sequence[str]) -> str:
    """What becomes of what a form does not hold, what becomes of several things once.

    >>> lost_sentence(["seeds: dropped", "infos: dropped", "rewards: stored as float32"])
    'seeds, infos: dropped; rewards: stored as float32'
    """
    things: dict[str, list[str]] = {}
    for each in lost:
        thing, _, becomes = each.partition(": ")
        things.setdefault(becomes, []).append(thing)
    return "; ".join(f"{', '.join(names)}: {becomes}" for becomes, names in things.items())


def export_words(export: Artifact) -> tuple[str, str]:
    """An export on the terminal: its form and size, and what becomes of what the form does not hold."""
    manifest = export.manifest
    lost = lost_sentence(manifest.facts.get(LOST, []))
    size = human_bytes(sum(int(record["size"]) for record in manifest.files.values()))
    return f"{manifest.parameters.get('format')}, {size}", lost or "nothing is lost"
