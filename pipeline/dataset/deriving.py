"""What the stages that derive datasets from others share: which they read, and the name of what they make."""

from __future__ import annotations

from collections.abc import Sequence

from pipeline.command import again
from pipeline.dataset.reader import EpisodeDataset
from pipeline.dataset.workspace import Workspace, check_dataset_name
from pipeline.errors import InvalidInput
from pipeline.wording import few


def parents_of(
    workspace: Workspace, label: tuple[str, str], names: Sequence[str], episodes: int | None
) -> list[EpisodeDataset]:
    """Datasets of a task, `label` is its domain and name, limited to their first `episodes`.

    Raises ArtifactNotFound with the command that makes a missing one.
    """
    return [EpisodeDataset.of(workspace.dataset(*label, name, episodes)) for name in names]


def own_name(dataset: str | None, of: Sequence[str], proposal: str) -> str:
    """The name of the derived dataset. Raises InvalidInput where none was given, or that of a dataset it is made of."""
    if dataset and dataset not in of:
        return check_dataset_name(dataset)
    why = f"{dataset} is what it is made of" if dataset else "it has none yet"
    raise InvalidInput(f"A derived dataset needs a name of its own: {why}.\nSuch as: {again(dataset=proposal)}")


def parent_name(setting: str, of: str | None, domain: str, workspace: Workspace) -> str:
    """The name of the dataset that a stage reads. Raises InvalidInput where none is given: those that are there."""
    if of:
        return check_dataset_name(of)
    there = dataset_names(workspace, domain)
    known = f"Datasets of {domain}: {few(there)}.\n" if there else ""
    name = there[0] if there else "scripted-v1"
    raise InvalidInput(
        f"Say which dataset is read: {setting}=NAME\n{known}Such as: {again(**{setting.replace('.', '__'): name})}"
    )


def dataset_names(workspace: Workspace, domain: str) -> list[str]:
    """The names that the datasets of a domain have, sorted."""
    names = (each.split("/") for each in workspace)
    return sorted({name for of, _, name in names if of == domain})
