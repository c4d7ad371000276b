"""What the chain would make of a task: counts and bytes, before anything is made."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import prod

from pipeline.dataset.lengths import length_words
from pipeline.embedding.artifact import EMBEDDINGS
from pipeline.errors import InvalidInput
from pipeline.regent.chain import Chain
from pipeline.regent.context import CONTEXT
from pipeline.regent.counts import expected
from pipeline.regent.recipe import Recipe
from pipeline.regent.settings import RetrievalSettings

NUMBER = 4
"""Bytes of every number in the arrays: float32 and int32."""


@dataclass
class TaskPlan:
    """One line: counts (0 where they are not known), bytes by kind, kinds that are there, or why there are none.

    `length` says how many steps an episode typically has, or at most.
    """

    episodes: int = 0
    length: str = ""
    states: int = 0
    queries: int = 0
    pool: int = 0
    sizes: Mapping[str, int] = field(default_factory=dict)
    there: Sequence[str] = ()
    note: str = ""


def plan_of(chain: Chain) -> TaskPlan:
    """What the chain would make of a dataset."""
    dataset = chain.dataset
    try:
        plan = chain.plan
        arrays = chain.row_arrays()
    except InvalidInput as error:
        return TaskPlan(len(dataset), length_words(dataset), dataset.states, note=str(error))
    sizes = _sizes(chain.recipe, plan.queries, plan.pool)
    if EMBEDDINGS in sizes:
        sizes[EMBEDDINGS] = chain.embedding.dimensions * NUMBER * int(dataset.state_ends[plan.episodes - 1])
    step = sum(prod(array.shape) for array in arrays)
    bins = len(plan.rows) * chain.layout.width * NUMBER * step + 3 * sizes["distances"]
    sizes |= {"bins": bins, "parquet": bins}
    return TaskPlan(len(dataset), length_words(dataset), dataset.states, plan.queries, plan.pool, sizes)


def nominal(recipe: Recipe) -> TaskPlan:
    """What JAT's episodes give, else the domain's own numbers, where there is no dataset yet.

    A held-out task's depend on its episodes.
    """
    note = f"no dataset {recipe.dataset}"
    length = f"at most {limit:,}" if (limit := recipe.domain.max_steps) else ""
    retrieval = recipe.retrieval
    as_published = retrieval == RetrievalSettings(retrieval.metric)
    published = expected(recipe.domain.name, recipe.one_task) if as_published else None
    states = published.states if published else None
    if states is None and recipe.unseen:
        return TaskPlan(length=length, note=note)
    states = states or recipe.states
    return TaskPlan(length=length, queries=states, sizes=_sizes(recipe, states, 0), note=note)


def _sizes(recipe: Recipe, queries: int, pool: int) -> dict[str, int]:
    sizes = {"retrieval": (queries * recipe.neighbours + pool) * NUMBER, "distances": queries * CONTEXT * NUMBER}
    if recipe.embedding is not None:
        sizes[EMBEDDINGS] = queries * recipe.embedding.dimensions * NUMBER
    return sizes
