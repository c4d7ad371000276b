"""The chain of one task: a recipe applied to a dataset, which says what each artifact is made from and finds it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Float32, Int

from pipeline.artifacts.artifact import Artifact, Spec
from pipeline.artifacts.remake import larger
from pipeline.command import again
from pipeline.dataset.prefix import episodes_parent
from pipeline.dataset.reader import EpisodeDataset
from pipeline.dataset.workspace import Workspace
from pipeline.embedding.artifact import as_recorded, embeddings_spec
from pipeline.embedding.settings import Embedding
from pipeline.errors import InvalidInput
from pipeline.regent.bins import RowArray, as_compared, folder_suffix
from pipeline.regent.observed import (
    Observed,
    ObservedMissions,
    ObservedPictures,
    ObservedVectors,
    atari_actions,
    require_numbers,
    shows_pictures,
    stored_array,
)
from pipeline.regent.pools import NothingToRetrieve, QueryPlan
from pipeline.regent.recipe import Recipe
from pipeline.regent.rows import RowLayout, read_states

KINDS = ("embeddings", "retrieval", "distances", "bins", "parquet")
"""Artifacts of the chain, in order; each is called like the stage that makes it."""

RETRIEVAL_FORMAT = 1
DISTANCES_FORMAT = 2  # 1 measured real numbers before they were rounded to float32, as the bins hold them
BINS_FORMAT = 2  # holds distances; what is fetched has a number of its own
PARQUET_FORMAT = 2  # 1 had a card whose example could read another folder's rows from a cache

PER_STATE = ("distances", "indices")
"""Arrays of the bins that have a line for each query, not for each row."""


@dataclass(frozen=True)
class Chain:
    """A recipe and the dataset that it is applied to, opened once.

    Attributes:
        episodes: the dataset, limited to the recipe's first episodes.
        dataset: reads it.
    """

    recipe: Recipe
    workspace: Workspace
    episodes: Artifact
    dataset: EpisodeDataset

    @staticmethod
    def of(recipe: Recipe, workspace: Workspace) -> Chain:
        """Open the recipe's dataset. Raises ArtifactNotFound with the command that collects it."""
        found = workspace.dataset(recipe.domain.name, recipe.one_task, recipe.dataset, recipe.episodes)
        return Chain(recipe, workspace, found, EpisodeDataset.of(found))

    @property
    def label(self) -> str:
        """`metaworld/assembly`, as in logs."""
        return self.episodes.manifest.task

    @property
    def name(self) -> str:
        """`metaworld-assembly`, as in the names of folders and configurations."""
        return f"{self.episodes.domain}-{self.episodes.task}"

    @cached_property
    def layout(self) -> RowLayout:
        """The rows of all episodes."""
        return RowLayout(self.dataset.lengths, self.recipe.domain.regent.row_width)

    @cached_property
    def plan(self) -> QueryPlan:
        """Queries and pools. Raises InvalidInput where nothing is left to retrieve."""
        try:
            return self.recipe.choose(self.layout, lambda: self.dataset.texts("mission"))
        except NothingToRetrieve as error:
            raise InvalidInput(f"{error} {self.with_two_episodes()}") from error

    def with_two_episodes(self) -> str:
        """What to say where one episode is not enough."""
        if self.episodes.manifest.counts["episodes"] > 1:
            return f"Use at least two episodes: {again(episodes=None, retrieval__demos=2)}"
        return f"Make at least two episodes: {larger(self.episodes, 2).line()}"

    @cached_property
    def embedding(self) -> Embedding:
        """The recipe's, padded as the dataset's own stacks were. Raises InvalidInput where there is none."""
        if self.recipe.embedding is None:
            command = again(embedding="resnet18_regent", embedding__weights="FILE", inputs="build")
            raise InvalidInput(
                f"The observations of {self.label} are pictures; retrieval compares vectors of them. Say which network "
                f"makes those, with its weights, or random, in the place of FILE: {command}"
            )
        return as_recorded(self.recipe.embedding, self.episodes)

    @cached_property
    def observed(self) -> Observed:
        """What of the observations is compared and stands in the rows.

        Raises InvalidInput for observations of several arrays or of no number, and for pictures without a network.
        """
        dataset, recipe = self.dataset, self.recipe
        if shows_pictures(dataset):
            actions = atari_actions(self.episodes)
            return ObservedPictures(
                dataset, self.embedding, recipe.images, actions, lambda: self.require("embeddings"), self.label
            )
        require_numbers(dataset, self.label)
        if recipe.domain.regent.missions:
            return ObservedMissions(dataset, tokenizer=recipe.tokenizer)
        return ObservedVectors(dataset)

    def row_arrays(self) -> list[RowArray]:
        """The arrays of the bins' rows, in the order in which they are written."""
        return [*self.observed.arrays(), stored_array(self.dataset, "action"), stored_array(self.dataset, "reward")]

    def vectors(self, states: Int[np.ndarray, "n"]) -> Float32[np.ndarray, "n d"]:
        """The vectors of some ascending flat states, at least one, as they are compared: with the bins' numbers."""
        return as_compared(read_states(self.observed.read, states))

    def spec(self, kind: str) -> Spec:
        """The identity of an artifact of one of the `KINDS`.

        Raises ArtifactNotFound, with the command that makes it, where an artifact that it is made from is missing.
        """
        return _SPECS[kind](self)

    def require(self, kind: str) -> Artifact:
        """The finished artifact of one of the `KINDS`. Raises ArtifactNotFound with the command that makes it."""
        return self.workspace.require(self.spec(kind), kind)


def _embeddings(chain: Chain) -> Spec:
    return embeddings_spec(chain.episodes, chain.dataset, chain.plan.episodes, chain.embedding)


def _retrieval(chain: Chain) -> Spec:
    parameters = chain.recipe.retrieval_parameters()
    return _child(chain, "retrieval", RETRIEVAL_FORMAT, parameters, *chain.observed.sources())


def _distances(chain: Chain) -> Spec:
    parameters: dict[str, object] = {"metric": chain.recipe.retrieval.metric}
    return _child(chain, "distances", DISTANCES_FORMAT, parameters, chain.require("retrieval"))


def _bins(chain: Chain) -> Spec:
    recipe = chain.recipe
    parameters = {
        "suffix": folder_suffix(recipe.demos, chain.observed.network, recipe.domain.regent.missions),
        **chain.observed.parameters(),
        **({"upstream_json": True} if recipe.upstream_json else {}),
    }
    return _child(chain, "bins", BINS_FORMAT, parameters, chain.require("retrieval"), chain.require("distances"))


def _parquet(chain: Chain) -> Spec:
    return _child(chain, "parquet", PARQUET_FORMAT, {"unseen": chain.recipe.unseen}, chain.require("bins"))


_SPECS: dict[str, Callable[[Chain], Spec]] = {
    "embeddings": _embeddings,
    "retrieval": _retrieval,
    "distances": _distances,
    "bins": _bins,
    "parquet": _parquet,
}


def _child(chain: Chain, kind: str, number: int, parameters: dict[str, object], *parents: Artifact) -> Spec:
    """The spec of an artifact made from the episodes that the plan depends on, and from `parents`."""
    episodes = episodes_parent(chain.episodes, chain.dataset, chain.plan.episodes)
    domain, task = chain.recipe.domain.name, chain.recipe.one_task
    return Spec(domain, task, kind, number, parameters, (episodes, *(parent.as_parent() for parent in parents)))


def bins_name(artifact: Artifact) -> str:
    """Upstream's folder name of finished bins: `metaworld-assembly-100demos`."""
    return f"{artifact.domain}-{artifact.task}{artifact.manifest.parameters['suffix']}"
