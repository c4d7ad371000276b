"""Plan: what REGENT's stages would make of each task, how large it is, what is there, and what it takes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from beartype import beartype
from rich.table import Table

from pipeline.artifacts.artifact import EPISODES, Artifact
from pipeline.campaign.console import wide_console
from pipeline.campaign.stage import StageFacts
from pipeline.campaign.tasks import chosen_tasks
from pipeline.dataset.reader import EpisodeDataset
from pipeline.dataset.workspace import Workspace
from pipeline.domains.domain import Domain
from pipeline.embedding.settings import Embedding
from pipeline.errors import ArtifactNotFound, InvalidInput
from pipeline.machine.files import human_bytes
from pipeline.regent.plan import nominal, plan_of
from pipeline.regent.settings import RetrievalSettings

KINDS = ("embeddings", "retrieval", "distances", "bins", "parquet")


@dataclass(frozen=True)
class Rates:
    """What finished artifacts of the workspace cost, by kind: seconds for a state, and the most memory."""

    seconds: Mapping[str, float]
    memory: Mapping[str, int]

    def time(self, kinds: Sequence[str], states: int) -> str:
        """Of some kinds together; nothing where one of them was never made here."""
        if not states or any(kind not in self.seconds for kind in kinds):
            return ""
        return duration(sum(self.seconds[kind] for kind in kinds) * states)

    def most(self, kinds: Sequence[str]) -> str:
        """The most memory that one of the kinds has taken."""
        known = [self.memory[kind] for kind in kinds if kind in self.memory]
        return human_bytes(max(known)) if known else ""


FACTS = StageFacts(per_task=False)


@beartype
def run(
    *,
    domain: Domain | None,
    only: str | list[str] | None,
    workspace: Workspace,
    dataset: str,
    episodes: int | None,
    retrieval: RetrievalSettings,
    embedding: Embedding | None = None,
    images: bool = False,
) -> None:
    """Print a line for each task: episodes, queries, pool, bytes, what is there, and time and memory as measured here.

    Sizes follow from shapes; parquet is counted like the bins, which it compresses. Times are those of finished
    artifacts of the same kind in this workspace, by the state; without any there is no figure.
    """
    if domain is None:
        raise InvalidInput("stage=plan needs a domain: for example stage=plan domain=metaworld")
    tasks = chosen_tasks(domain, only) or list(domain.tasks)
    kinds = KINDS if embedding is not None else KINDS[1:]
    table = Table(box=None, pad_edge=False)
    for column in ("task", "episodes", "states", "queries", "pool", *kinds, "there", "time left", "memory"):
        table.add_column(column, justify="left" if column in ("task", "there") else "right", no_wrap=True)
    rates = _rates(workspace, domain, kinds)
    for task in tasks:
        found = _dataset(workspace, domain, task, dataset, episodes)
        plan = nominal(domain, task, retrieval, embedding, dataset)
        if found is not None:
            plan = plan_of(domain, task, EpisodeDataset.of(found), retrieval, embedding, images)
            plan.there = [kind for kind in kinds if _is_there(workspace, domain, task, kind, dataset)]
        sizes = [human_bytes(plan.sizes[kind]) if kind in plan.sizes else "" for kind in kinds]
        numbers = [f"{number:,}" if number else "" for number in (plan.episodes, plan.states, plan.queries, plan.pool)]
        left = [kind for kind in kinds if kind not in plan.there]
        told = plan.note or " ".join(plan.there)
        table.add_row(task, *numbers, *sizes, told, rates.time(left, plan.queries), rates.most(left))
    console = wide_console()
    console.print(table)
    console.print("Sizes before compression; time and memory as finished artifacts of this workspace took them.")


def _dataset(workspace: Workspace, domain: Domain, task: str, dataset: str, episodes: int | None) -> Artifact | None:
    try:
        return workspace.dataset(domain.name, task, dataset, episodes)
    except ArtifactNotFound:
        return None


def _is_there(workspace: Workspace, domain: Domain, task: str, kind: str, dataset: str) -> bool:
    """Whether some artifact of the kind was made of the dataset, with whatever settings."""
    return any(
        parent["kind"] == EPISODES and parent["version"] == dataset
        for artifact in workspace.of_kind(domain.name, task, kind)
        for parent in artifact.manifest.parents  # none of what was fetched
    )


def _rates(workspace: Workspace, domain: Domain, kinds: Sequence[str]) -> Rates:
    made = [a for task in domain.tasks for kind in kinds for a in workspace.of_kind(domain.name, task, kind)]
    seconds: dict[str, list[float]] = {}
    memory: dict[str, int] = {}
    for artifact in made:
        manifest = artifact.manifest
        if states := int(manifest.counts.get("states", 0)):
            seconds.setdefault(manifest.kind, []).append(manifest.seconds / states)
            memory[manifest.kind] = max(memory.get(manifest.kind, 0), manifest.peak_memory_bytes)
    return Rates({kind: median(values) for kind, values in seconds.items()}, memory)


def duration(seconds: float) -> str:
    """`12 s`, `3.4 min`, `2.1 h`."""
    for unit, length in (("h", 3600.0), ("min", 60.0)):
        if seconds >= length:
            return f"{seconds / length:.1f} {unit}"
    return f"{seconds:.0f} s"
