"""The dataset that a view reads, opened as its caller names it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from pipeline.artifacts.artifact import MANIFEST, Artifact
from pipeline.artifacts.remake import larger
from pipeline.artifacts.store import artifact_in_place
from pipeline.dataset.indexing import kept_index
from pipeline.dataset.reader import EpisodeDataset
from pipeline.dataset.workspace import Workspace
from pipeline.errors import InvalidInput
from pipeline.storage.choice import storages, without_suffix
from pipeline.wording import check_count


def dataset_named(
    root: str | Path | Workspace, dataset: str | EpisodeDataset, episodes: int | None, storage: str
) -> EpisodeDataset:
    """A dataset by name, or one that is open already, limited to its first `episodes`."""
    if episodes is not None:
        check_count("episodes", episodes)
    if isinstance(dataset, str):
        workspace = root if isinstance(root, Workspace) else Workspace(str(root), storage)
        dataset = workspace.opened(dataset)
        if episodes is None:
            _require_newest(workspace, dataset)
    return dataset if episodes is None else dataset.first(episodes)


def _require_newest(workspace: Workspace, dataset: EpisodeDataset) -> None:
    """Raises InvalidInput where the same dataset has more episodes in another storage: this is then an older copy."""
    if dataset.index is None:
        return
    folder = dataset.index.folder
    for storage in storages():
        other = folder.with_name(without_suffix(folder.name) + storage.suffix)
        index = kept_index(other) if other != folder and (other / MANIFEST).is_file() else None
        if index and len(index) > len(dataset):
            own = max(storages(), key=lambda each: len(each.suffix) * folder.name.endswith(each.suffix)).name
            raise InvalidInput(
                f"The {own} copy of {dataset.name} has {len(dataset)} episodes, the {storage.name} one {len(index)}.\n"
                f"Read all: storage={storage.name!r}; or the first: episodes={len(dataset)}"
                + _renewed(artifact_in_place(folder), own, len(index), workspace)
            )


def _renewed(copy: Artifact, storage: str, episodes: int, workspace: Workspace) -> str:
    """What to say of how a copy gets the other episodes: where a command made it, that copies them."""
    if copy.is_derived or "facts" in copy.manifest.parameters:  # derived from others; recorded by a training loop
        return ""
    command = larger(copy, episodes)
    settings = {**command.settings, "storage": storage, "paths.root": str(workspace.root.parent)}
    return f"\nCopy the others: {replace(command, settings=settings).line()}"
