"""What the reading stages need: the dataset, and its derived artifacts for the asked settings."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pipeline.artifact import Artifact, Spec
from pipeline.context import RETRIEVED
from pipeline.dataset import EpisodeDataset
from pipeline.domain import Domain
from pipeline.errors import InvalidInput
from pipeline.pools import Retrieval, choose
from pipeline.rows import RowLayout
from pipeline.workspace import Workspace, episodes_parent

RETRIEVAL_FORMAT = 1
DISTANCES_FORMAT = 1
BINS_FORMAT = 1
PARQUET_FORMAT = 1
REPORT_FORMAT = 1


@dataclass(frozen=True)
class RetrievalSettings:
    """What the config group `retrieval` sets; None takes the domain's own value.

    Attributes:
        metric: `l2`.
        demos: episodes of the pool.
        neighbours: kept per state, at least 19.
        states: query rows are taken until they hold this many.
    """

    metric: str = "l2"
    demos: int | None = None
    neighbours: int | None = None
    states: int | None = None

    def __post_init__(self) -> None:
        for name in ("demos", "neighbours", "states"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise InvalidInput(f"retrieval.{name}={value} must be at least 1.")


@dataclass(frozen=True)
class Inputs:
    """A dataset seen as REGENT's queries and pool, and the specs of what is derived from it."""

    artifact: Artifact
    dataset: EpisodeDataset
    layout: RowLayout
    choice: Retrieval
    neighbours: int
    retrieval: Spec

    def child(self, kind: str, number: int, parameters: dict[str, object], *parents: Artifact) -> Spec:
        """The spec of an artifact made from the episodes and from `parents`."""
        used = episodes_parent(self.artifact, self.dataset, self.choice.episodes)
        spec = self.retrieval
        return Spec(spec.domain, spec.task, kind, number, parameters, (used, *(p.as_parent() for p in parents)))


def regent_inputs(
    domain: Domain, task: str, workspace: Workspace, dataset: str, episodes: int | None, settings: RetrievalSettings
) -> Inputs:
    """Find the dataset and choose queries and pool. Raises ArtifactNotFound with the command that collects it."""
    artifact = workspace.dataset(domain.name, task, dataset, episodes)
    reader = EpisodeDataset.of(artifact)
    require_vectors(reader, f"{domain.name}/{task}")
    if settings.metric != "l2":
        raise InvalidInput(f"retrieval.metric={settings.metric} is not known; use retrieval.metric=l2")
    regent = domain.regent
    neighbours = settings.neighbours or regent.neighbours
    if neighbours < RETRIEVED:
        raise InvalidInput(
            f"retrieval.neighbours={neighbours} is too few: distances and bins use the first {RETRIEVED}."
        )
    demos = settings.demos or regent.demos
    states = settings.states or regent.states
    layout = RowLayout(reader.lengths, regent.row_width)
    unseen = task in domain.unseen
    choice = choose(layout, demos, states, unseen)
    parameters = {
        "metric": settings.metric,
        "demos": demos,
        "neighbours": neighbours,
        "states": None if unseen else states,
        "queries": "pool" if unseen else "leading rows",
        "row_width": regent.row_width,
    }
    used = episodes_parent(artifact, reader, choice.episodes)
    spec = Spec(domain.name, task, "retrieval", RETRIEVAL_FORMAT, parameters, (used,))
    return Inputs(artifact, reader, layout, choice, neighbours, spec)


def require_vectors(dataset: EpisodeDataset, label: str) -> None:
    """Raises InvalidInput unless each observation is one vector of numbers."""
    names = [name for name in dataset.array_names() if name.split("/")[0] == "observation"]
    if names != ["observation"] or len(dataset.spec("observation")[0]) != 1:
        shapes = ", ".join(f"{name} {list(dataset.spec(name)[0])}" for name in names)
        raise InvalidInput(f"Retrieval compares vectors; the observations of {label} are {shapes}.")


def vectors(dataset: EpisodeDataset, start: int, stop: int) -> np.ndarray:
    """(stop - start, d): the observation vectors of some flat states, as stored."""
    return dataset.state_rows("observation", start, stop)
