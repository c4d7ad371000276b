"""What a page is made from: the dataset, and what else of it is there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from pipeline.artifacts.artifact import Artifact
from pipeline.command import Command, domain_overrides, is_of_domain, typed
from pipeline.dataset.prefix import covering
from pipeline.dataset.reader import EpisodeDataset
from pipeline.dataset.workspace import Workspace
from pipeline.domains.domain import Domain
from pipeline.errors import ArtifactNotFound, InvalidInput
from pipeline.frames.store import FRAMES
from pipeline.regent.chain import Chain
from pipeline.regent.recipe import Recipe
from pipeline.report.screens import Screens, screens_of


@dataclass(frozen=True)
class Missing:
    """Why a page leaves something out, and the command that makes it; no command where none can."""

    why: str
    command: str = ""


@dataclass(frozen=True)
class Retrieved:
    """Neighbours, and what they were found with."""

    chain: Chain
    neighbours: Artifact


@dataclass(frozen=True)
class PageSources:
    """What a page is made from.

    Attributes:
        vectors: embeddings of the observations, where they are there.
        retrieved: None where `no_neighbours` says why.
        distances: None where `no_distances` says why.
        frames: None where `no_frames` says why.
        screens: observations that are pictures; None where there are none.
        doctor: the number of the doctor's checks whose findings are shown; None where they are not asked for.
    """

    domain: Domain
    artifact: Artifact
    dataset: EpisodeDataset
    vectors: Artifact | None
    retrieved: Retrieved | None
    no_neighbours: Missing | None
    distances: Artifact | None
    no_distances: Missing | None
    frames: Artifact | None
    no_frames: Missing
    screens: Screens | None
    doctor: int | None

    @property
    def artifacts(self) -> list[Artifact]:
        """The dataset first."""
        neighbours = self.retrieved.neighbours if self.retrieved else None
        others = (self.vectors, neighbours, self.distances, self.frames)
        return [self.artifact, *(each for each in others if each)]


def page_sources(recipe: Recipe, workspace: Workspace, doctor: int | None = None) -> PageSources:
    """Find what is there. `doctor` is the number of the doctor's checks to be shown.

    Raises ArtifactNotFound where there is no such dataset, and for nothing else.
    """
    chain = Chain.of(recipe, workspace)
    vectors: list[Artifact] = []
    neighbours = distances = no_distances = None
    try:
        vectors = chain.observed.sources()
        neighbours = chain.require("retrieval")
        distances = chain.require("distances")
    except ArtifactNotFound as error:
        chained = ("embeddings", "retrieval", "distances")
        missing = chained[chained.index(error.command.stages[0]) :]
        no_distances = Missing(str(error.args[0]), _command(recipe.domain, chain.episodes, [*missing, "report"]))
    except InvalidInput as error:
        no_distances = Missing(str(error))
    return PageSources(
        domain=recipe.domain,
        artifact=chain.episodes,
        dataset=chain.dataset,
        vectors=vectors[0] if vectors else None,
        retrieved=Retrieved(chain, neighbours) if neighbours else None,
        no_neighbours=None if neighbours else no_distances,
        distances=distances,
        no_distances=no_distances,
        frames=covering(workspace, chain.episodes, FRAMES),
        no_frames=_no_frames(recipe.domain, chain.episodes),
        screens=screens_of(chain.dataset),
        doctor=doctor,
    )


def _no_frames(domain: Domain, artifact: Artifact) -> Missing:
    if "environment" not in artifact.manifest.parameters:
        return Missing("there are no frames of these episodes, and no simulator here can play them again.")
    return Missing(
        "there are no frames of these episodes yet. Make them, then this page again:",
        _with_its_simulator(artifact, _page(domain, artifact, ["frames", "report"])),
    )


def _command(domain: Domain, artifact: Artifact, stages: Sequence[str]) -> str:
    """Make what is missing, then this page again."""
    return _page(domain, artifact, stages).line(replace(typed(), script="run.py"))  # a page is read elsewhere, too


def _page(domain: Domain, artifact: Artifact, stages: Sequence[str]) -> Command:
    settings = {"dataset": artifact.manifest.version, "episodes": artifact.episodes}
    return Command(tuple(stages), artifact.task, domain.words, settings)


def _with_its_simulator(artifact: Artifact, command: Command) -> str:
    """The command with the domain's settings that the dataset was made with, whatever was typed for the page."""
    recorded = domain_overrides(artifact.manifest.command)
    kept = [word for word in typed().words if not (recorded and is_of_domain(word))]
    return command.line(replace(typed(), words=(*kept, *recorded), script="run.py"))
