"""The workspace: all artifacts below one folder, and the datasets among them by name."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from pipeline.artifacts.artifact import EPISODES, MANIFEST, WHOLE_SOURCE, Artifact, Spec
from pipeline.artifacts.remake import larger
from pipeline.artifacts.store import ArtifactStore, artifact_in_place
from pipeline.command import again, making
from pipeline.dataset.amount import Amount
from pipeline.dataset.indexing import kept_index
from pipeline.dataset.open_parts import MANY_PARTS
from pipeline.dataset.reader import EpisodeDataset
from pipeline.errors import ArtifactNotFound, InvalidInput, PipelineError, unknown_name
from pipeline.storage.choice import storages, without_suffix


class Workspace(ArtifactStore):
    """An artifact store that opens datasets: `workspace["toy/corner/scripted-v1"]`. `list(workspace)` names them all.

    Args:
        root: the folder that holds `artifacts`: `outputs`, or what `paths.root` says. It may be empty or not there.
        storage: `zarr` or `bin`: how new artifacts are written, and which of two equal ones is read. What is there in
            one storage only is read from that one.
    """

    def __getitem__(self, name: str) -> EpisodeDataset:
        """The dataset `domain/task/dataset`, opened. Raises UnknownName, a KeyError, which lists what is there."""
        return self.opened(name)

    def opened(self, name: str, episodes: int | None = None) -> EpisodeDataset:
        """The dataset `domain/task/dataset`, or its first `episodes`.

        One of many parts is known by its index, without reading its manifest. Raises UnknownName for one that is not
        there, otherwise as `dataset`.
        """
        known = list(self)
        if name not in known:
            of_task = [each for each in known if each.startswith(f"{name}/")]
            there = "" if self.root.is_dir() else ", which is not there: name the folder that run.py writes to, outputs"
            hint = f"A name is domain/task/dataset, below {self.root}{there}.\nWhat is there: {self._catalog().line()}"
            raise unknown_name("dataset", str(name), of_task or known, hint)
        folder = self.folder_of(name)
        index = kept_index(folder) if (folder / MANIFEST).is_file() else None
        if index and index.parts > MANY_PARTS and index.name == name and (episodes or 1) <= len(index):
            return EpisodeDataset.indexed(index.first(episodes or len(index)))
        domain, task, dataset = name.split("/")
        return EpisodeDataset.of(self.dataset(domain, task, dataset, episodes))

    def folder_of(self, name: str) -> Path:
        """Where the dataset `domain/task/dataset` lies, or where it would be written to."""
        domain, task, dataset = name.split("/")
        spec = Spec(domain, task, EPISODES, 0, {}, name=dataset)
        folders = [self.folder(spec, storage) for storage in (self.storage, *storages())]
        return next((folder for folder in folders if (folder / MANIFEST).is_file()), folders[0])

    def __iter__(self) -> Iterator[str]:
        """The names of all datasets, sorted."""
        folders = (path.parent for path in self.root.glob(f"*/*/{EPISODES}/[!.]*/{MANIFEST}"))
        return iter(sorted({"/".join((*path.parts[-4:-2], without_suffix(path.name))) for path in folders}))

    def dataset(self, domain: str, task: str, name: str, episodes: int | None = None) -> Artifact:
        """A dataset by name, in any storage, limited to its first `episodes`. Raises ArtifactNotFound.

        Raises InvalidInput for a name that no dataset can have, and for fewer episodes than one.
        """
        Amount(episodes)
        spec = Spec(domain, task, EPISODES, 0, {}, name=check_dataset_name(name))
        small: list[Artifact] = []
        for storage in (self.storage, *storages()):
            folder = self.folder(spec, storage)
            if (folder / MANIFEST).is_file():
                artifact = replace(artifact_in_place(folder), episodes=episodes)
                if episodes is None or artifact.manifest.counts["episodes"] >= episodes:
                    return artifact
                small.append(artifact)
        if small and episodes:
            have = dict.fromkeys(f"{each.path.name} has {each.manifest.counts['episodes']}" for each in small)
            message = f"Dataset {name} of {domain}/{task} has too few episodes: {episodes} asked, {', '.join(have)}."
            raise _too_few(small[0], message, episodes)
        there = ", ".join(sorted({a.manifest.version for a in self.of_kind(domain, task, EPISODES)})) or "none"
        message = f"There is no dataset {name} of {domain}/{task} under {self.root}. Datasets of this task: {there}."
        settings = {"episodes": episodes, "states": None} if episodes else {}
        raise ArtifactNotFound(message, making(name, task, f"domain={domain}", settings))

    def __repr__(self) -> str:
        return f"Workspace({str(self.root.parent)!r}, {self.storage.name!r})"


def _too_few(dataset: Artifact, message: str, episodes: int) -> PipelineError:
    """What to say of a dataset that is too small: how to make it larger, where that can be."""
    parameters, counts = dataset.manifest.parameters, dataset.manifest.counts
    if dataset.is_derived:
        return InvalidInput(f"{message} It refers to no more.\nUse them all: {again(episodes=None)}")
    if "source" in parameters and counts.get(WHOLE_SOURCE) == counts["episodes"]:
        return InvalidInput(f"{message} Its source has no more.\nUse them all: {again(episodes=None)}")
    if dataset.is_derived:
        return InvalidInput(f"{message} It refers to the episodes of others.\nUse all: {again(episodes=None)}")
    if "facts" in parameters:
        return InvalidInput(f"{message} A training loop recorded it: record more.\nUse all: {again(episodes=None)}")
    return ArtifactNotFound(message, larger(dataset, episodes))


def check_dataset_name(name: object) -> str:
    """A dataset's name is the name of its folder. Raises InvalidInput."""
    suffixes = tuple(storage.suffix for storage in storages() if storage.suffix)
    if not isinstance(name, str):
        raise InvalidInput(f"{name} cannot name a dataset: it was read as a number. Add a letter, such as v{name}.")
    if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.-]*", name) or name.endswith(suffixes):
        raise InvalidInput(
            f"{name!r} cannot name a dataset: use letters, digits, - _ and ., not ending in {' or '.join(suffixes)}."
        )
    return name
