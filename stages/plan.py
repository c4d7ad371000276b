"""Plan: what REGENT's stages would make of each task, how large it is, what is there, and what it takes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import prod
from statistics import median

from beartype import beartype
from rich.table import Table

from pipeline.artifacts.artifact import Artifact
from pipeline.domains.babyai import TOKENS
from pipeline.regent.context import CONTEXT
from pipeline.dataset.reader import EpisodeDataset
from pipeline.domains.domain import Domain
from pipeline.embedding.settings import Embedding
from pipeline.errors import ArtifactNotFound, InvalidInput
from pipeline.machine.files import human_bytes
from pipeline.regent.counts import expected
from pipeline.artifacts.workspace import EPISODES, Workspace
from stages.catalog import chosen_tasks, wide_console
from pipeline.regent.settings import RetrievalSettings, choose_queries

KINDS = ("embeddings", "retrieval", "distances", "bins", "parquet")
NUMBER = 4
"""Bytes of every number in the arrays: float32 and int32."""

FRAMES = 4


@dataclass
class Plan:
    """One line: counts (0 where nothing tells them), bytes by kind, kinds that are there, or what stands in the way."""

    episodes: int = 0
    states: int = 0
    queries: int = 0
    pool: int = 0
    sizes: Mapping[str, int] = field(default_factory=dict)
    there: Sequence[str] = ()
    note: str = ""


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
        plan = _nominal(domain, task, retrieval, embedding, dataset)
        if found is not None:
            plan = _planned(domain, task, EpisodeDataset.of(found), retrieval, embedding, images)
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


def _planned(
    domain: Domain,
    task: str,
    reader: EpisodeDataset,
    retrieval: RetrievalSettings,
    embedding: Embedding | None,
    images: bool,
) -> Plan:
    try:
        queries = choose_queries(domain, task, reader, retrieval)
    except InvalidInput as error:
        return Plan(len(reader), reader.states, note=str(error))
    choice = queries.choice
    numbers = _numbers(domain, reader, embedding, images)
    sizes = _sizes(choice.queries, choice.pool, queries.neighbours, embedding)
    if embedding is not None:
        sizes["embeddings"] = embedding.dimensions * NUMBER * int(reader.state_ends[choice.episodes - 1])
    bins = len(choice.rows) * queries.layout.width * NUMBER * (numbers + 1) + 3 * sizes["distances"]
    sizes |= {"bins": bins, "parquet": bins}
    return Plan(len(reader), reader.states, choice.queries, choice.pool, sizes)


def _nominal(
    domain: Domain, task: str, retrieval: RetrievalSettings, embedding: Embedding | None, dataset: str
) -> Plan:
    """What JAT's episodes give, else the domain's own numbers, where there is no dataset yet.

    A held-out task's depend on its episodes.
    """
    note = f"no dataset {dataset}"
    published = expected(domain.name, task) if retrieval == RetrievalSettings(retrieval.metric) else None
    states = published.states if published else None
    if states is None and task in domain.unseen:
        return Plan(note=note)
    states = states or retrieval.states or domain.regent.states
    sizes = _sizes(states, 0, retrieval.neighbours or domain.regent.neighbours, embedding)
    return Plan(queries=states, sizes=sizes, note=note)


def _sizes(queries: int, pool: int, neighbours: int, embedding: Embedding | None) -> dict[str, int]:
    sizes = {"retrieval": (queries * neighbours + pool) * NUMBER, "distances": queries * CONTEXT * NUMBER}
    if embedding is not None:
        sizes["embeddings"] = queries * embedding.dimensions * NUMBER
    return sizes


def _numbers(domain: Domain, reader: EpisodeDataset, embedding: Embedding | None, images: bool) -> int:
    """Numbers of a step's observation and action in the bins."""
    action = _count(reader, "action")
    if embedding is None:
        return action + _count(reader, "observation") + (TOKENS if domain.regent.missions else 0)
    return action + embedding.dimensions + (FRAMES * _count(reader, "observation") if images else 0)


def _count(reader: EpisodeDataset, name: str) -> int:
    return prod(reader.spec(name)[0]) if name in reader.array_names() else 0


def duration(seconds: float) -> str:
    """`12 s`, `3.4 min`, `2.1 h`."""
    for unit, length in (("h", 3600.0), ("min", 60.0)):
        if seconds >= length:
            return f"{seconds / length:.1f} {unit}"
    return f"{seconds:.0f} s"
