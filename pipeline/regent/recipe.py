"""What the reading stages need: the dataset, and its derived artifacts for the asked settings."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import numpy as np

from pipeline.artifacts.artifact import Artifact, Spec
from pipeline.dataset.prefix import episodes_parent
from pipeline.dataset.reader import EpisodeDataset
from pipeline.dataset.workspace import Workspace
from pipeline.domains.domain import Domain
from pipeline.embedding.artifact import as_recorded, embeddings_spec
from pipeline.embedding.settings import Embedding
from pipeline.errors import InvalidInput
from pipeline.regent.pools import QueryPlan
from pipeline.regent.rows import ReadStates, RowLayout, read_states
from pipeline.regent.settings import RetrievalSettings, choose_queries
from pipeline.search.metric import Metric
from pipeline.storage.choice import open_arrays

RETRIEVAL_FORMAT = 1
DISTANCES_FORMAT = 1
BINS_FORMAT = 1
PARQUET_FORMAT = 1
REPORT_FORMAT = 3


@dataclass(frozen=True)
class Inputs:
    """A dataset seen as REGENT's queries and pool, and the specs of what is derived from it.

    Attributes:
        read: the vectors that are compared, (n, d), at a range of flat states.
        source: the artifact that they lie in: episodes, or embeddings.
        embedding: names the network and the width of the vectors, `resnet18_512`; None where observations are vectors.
        padding: what stands before an episode's first picture.
    """

    artifact: Artifact
    dataset: EpisodeDataset
    layout: RowLayout
    choice: QueryPlan
    neighbours: int
    metric: Metric
    read: ReadStates
    source: Artifact
    embedding: str | None
    padding: str
    retrieval: Spec

    @property
    def by_mission(self) -> bool:
        """Whether queries retrieve inside their own mission."""
        return bool(self.choice.pools[0].mission)

    @property
    def vector_shape(self) -> tuple[int, ...]:
        """The shape of one vector."""
        return self.read(0, 1).shape[1:]

    def vectors(self, states: np.ndarray) -> np.ndarray:
        """(n, d): the vectors of some ascending flat states, at least one, as they are stored."""
        return read_states(self.read, states)

    def child(self, kind: str, number: int, parameters: dict[str, object], *parents: Artifact) -> Spec:
        """The spec of an artifact made from the episodes and from `parents`."""
        used = episodes_parent(self.artifact, self.dataset, self.choice.episodes)
        spec = self.retrieval
        return Spec(spec.domain, spec.task, kind, number, parameters, (used, *(p.as_parent() for p in parents)))


def regent_inputs(
    domain: Domain,
    task: str,
    workspace: Workspace,
    dataset: str,
    episodes: int | None,
    settings: RetrievalSettings,
    embedding: Embedding | None = None,
) -> Inputs:
    """Find the dataset and choose queries and pool. Raises ArtifactNotFound with the command that collects it."""
    artifact = workspace.dataset(domain.name, task, dataset, episodes)
    reader = EpisodeDataset.of(artifact)
    queries = choose_queries(domain, task, reader, settings)
    choice = queries.choice
    used = episodes_parent(artifact, reader, choice.episodes)
    parents, source = [used], artifact
    read: ReadStates = partial(reader.state_rows, "observation")
    shows = _shows_pictures(reader)
    if shows:
        embedding = as_recorded(embedding, artifact) if embedding else None
        source = _embedded(domain, task, workspace, dataset, choice.episodes, embedding)
        parents.append(source.as_parent())
        read = _reader(source)
    else:
        require_vectors(reader, f"{domain.name}/{task}")
    return Inputs(
        artifact=artifact,
        dataset=reader,
        layout=queries.layout,
        choice=choice,
        neighbours=queries.neighbours,
        metric=settings.metric,
        read=read,
        source=source,
        embedding=embedding.label if shows and embedding else None,
        padding=embedding.padding if embedding else "first",
        retrieval=Spec(domain.name, task, "retrieval", RETRIEVAL_FORMAT, queries.parameters, tuple(parents)),
    )


def _shows_pictures(dataset: EpisodeDataset) -> bool:
    names = dataset.array_names()
    return "observation" in names and len(dataset.spec("observation")[0]) in (2, 3)


def _embedded(
    domain: Domain, task: str, workspace: Workspace, dataset: str, episodes: int, embedding: Embedding | None
) -> Artifact:
    if embedding is None:
        raise InvalidInput(
            f"The observations of {domain.name}/{task} are pictures; retrieval compares vectors of them. Say which "
            "network makes those: embedding=resnet18_regent embedding.weights=FILE (or random)"
        )
    spec = embeddings_spec(domain, task, workspace, dataset, episodes, embedding)
    return workspace.require(spec, "embeddings")


def _reader(embeddings: Artifact) -> ReadStates:
    array = open_arrays(embeddings.arrays)["embeddings"]

    def read(start: int, stop: int) -> np.ndarray:
        return array[start:stop]

    return read


def require_vectors(dataset: EpisodeDataset, label: str) -> None:
    """Raises InvalidInput unless each observation is one vector of numbers."""
    names = [name for name in dataset.array_names() if name.split("/")[0] == "observation"]
    if names != ["observation"] or len(dataset.spec("observation")[0]) != 1:
        shapes = ", ".join(f"{name} {list(dataset.spec(name)[0])}" for name in names)
        raise InvalidInput(f"QueryPlan compares vectors; the observations of {label} are {shapes}.")


def vectors(dataset: EpisodeDataset, start: int, stop: int) -> np.ndarray:
    """(stop - start, d): the observation vectors of some flat states, as stored."""
    return dataset.state_rows("observation", start, stop)
