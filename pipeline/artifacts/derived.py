"""Datasets that refer to the episodes of others, and where those others lie: in the folders beside them."""

from __future__ import annotations

from pipeline.artifacts.artifact import MANIFEST, Artifact, Manifest
from pipeline.command import making
from pipeline.errors import DamagedArtifact
from pipeline.storage.choice import storages

REFERENCES = "references"
"""The folder of a derived dataset that says which episodes it has."""

STITCH, SELECT, SPLIT = DERIVED_BY = ("stitch", "select", "split")
"""The stages that make them; each keeps its settings under its own name in the parameters of the manifest."""


def derived_by(dataset: Artifact) -> str:
    """The stage that made a derived dataset; empty for one of its own episodes."""
    return next((stage for stage in DERIVED_BY if stage in dataset.manifest.parameters and dataset.is_derived), "")


def is_stitched(dataset: Artifact) -> bool:
    """Whether a dataset, or one that it was derived from, was stitched; of what is gone nothing is known."""
    if STITCH in dataset.manifest.parameters:
        return True
    try:
        return bool(derived_by(dataset)) and any(map(is_stitched, referred_to(dataset)))
    except DamagedArtifact:
        return False


def referred_to(dataset: Artifact) -> list[Artifact]:
    """The datasets that a derived one refers to, in the order of its parents, limited to what it was derived from.

    Each in the storage of the dataset itself, where it lies there, too. Raises DamagedArtifact for one that is gone.
    """
    return [_one(dataset, parent.version, parent.episodes or 0) for parent in dataset.parents]


def _one(dataset: Artifact, version: str, episodes: int) -> Artifact:
    own = dataset.path.name.removeprefix(dataset.manifest.version)
    for suffix in (own, *(storage.suffix for storage in storages())):
        folder = dataset.path.parent / f"{version}{suffix}"
        if (folder / MANIFEST).is_file():
            manifest = Manifest.read(folder)
            if manifest.counts["episodes"] >= episodes:
                return Artifact(folder, manifest, episodes=episodes)
    command = making(version, dataset.task, f"domain={dataset.domain}").line()
    raise DamagedArtifact(
        f"{dataset.path} refers to the first {episodes:,} episodes of {version}, which are not beside it.\n"
        f"Make those again: {command}"
    )
