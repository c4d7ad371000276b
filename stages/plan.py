"""Plan: what REGENT's stages would make of each task, how large it is, what is there, and what it takes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from beartype import beartype
from rich.console import JustifyMethod
from rich.table import Table

from pipeline.artifacts.artifact import EPISODES
from pipeline.campaign.console import wide_console
from pipeline.campaign.stage import StageFacts
from pipeline.campaign.tasks import chosen_tasks
from pipeline.dataset.workspace import Workspace
from pipeline.domains.domain import Domain
from pipeline.errors import ArtifactNotFound
from pipeline.machine.files import human_bytes
from pipeline.regent.chain import KINDS, Chain
from pipeline.regent.plan import TaskPlan, nominal, plan_of
from pipeline.regent.recipe import Recipe


@dataclass(frozen=True)
class Rates:
    """What finished artifacts of the workspace cost, by kind: seconds for a state, and the most memory."""

    seconds: Mapping[str, float]
    memory: Mapping[str, int]

    def time(self, kinds: Sequence[str], states: int) -> str:
        """Of some kinds together; empty where one of them was never made here."""
        if not states or any(kind not in self.seconds for kind in kinds):
            return ""
        return duration(sum(self.seconds[kind] for kind in kinds) * states)

    def most(self, kinds: Sequence[str]) -> str:
        """The most memory that one of the kinds has taken."""
        known = [self.memory[kind] for kind in kinds if kind in self.memory]
        return human_bytes(max(known)) if known else ""


FACTS = StageFacts(per_task=False)


@beartype
def run(*, recipe: Recipe, workspace: Workspace) -> None:
    """Print a line for each task: episodes and how long they are, queries, pool, bytes, what is there, and time and
    memory as measured here.

    Sizes follow from shapes; parquet is counted like the bins, which it compresses. Times are those of finished
    artifacts of the same kind in this workspace, by the state; without any there is no figure.
    """
    domain = recipe.domain
    tasks = chosen_tasks(domain, recipe.task) or list(domain.tasks)
    kinds = KINDS if recipe.embedding is not None else KINDS[1:]
    table = Table(box=None, pad_edge=False)
    for column in (
        "task",
        "episodes",
        "steps of one",
        "states",
        "queries",
        "pool",
        *kinds,
        "there",
        "time left",
        "memory",
    ):
        justify: JustifyMethod = "left" if column in ("task", "there") else "right"
        table.add_column(column, justify=justify, no_wrap=column != "there")  # a reason why not may be long
    rates = _rates(workspace, domain, kinds)
    for task in tasks:
        plan = _plan(recipe.for_task(task), workspace, kinds)
        sizes = [human_bytes(plan.sizes[kind]) if kind in plan.sizes else "" for kind in kinds]
        numbers = [f"{number:,}" if number else "" for number in (plan.episodes, plan.states, plan.queries, plan.pool)]
        numbers.insert(1, plan.length)
        left = [kind for kind in kinds if kind not in plan.there]
        there = plan.note or " ".join(plan.there)
        table.add_row(task, *numbers, *sizes, there, rates.time(left, plan.queries), rates.most(left))
    console = wide_console()
    console.print(table)
    console.print("Steps of one episode: the median, and between which nine of ten lie (frames= ends each earlier).")
    console.print("Sizes before compression; time and memory as finished artifacts of this workspace took them.")


def _plan(recipe: Recipe, workspace: Workspace, kinds: Sequence[str]) -> TaskPlan:
    """What the chain would make of one task, and which kinds were made already."""
    try:
        chain = Chain.of(recipe, workspace)
    except ArtifactNotFound:
        return nominal(recipe)
    plan = plan_of(chain)
    plan.there = [kind for kind in kinds if _is_there(workspace, recipe, kind)]
    return plan


def _is_there(workspace: Workspace, recipe: Recipe, kind: str) -> bool:
    """Whether some artifact of the kind was made of the dataset, with whatever settings."""
    return any(
        parent["kind"] == EPISODES and parent["version"] == recipe.dataset
        for artifact in workspace.of_kind(recipe.domain.name, recipe.one_task, kind)
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
