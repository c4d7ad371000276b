"""The dataset that a view reads, opened as its caller names it."""

from __future__ import annotations

from pathlib import Path

from pipeline.dataset.reader import EpisodeDataset
from pipeline.dataset.workspace import Workspace
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
    return dataset if episodes is None else dataset.first(episodes)
