"""What the chain would make of a task: counts and bytes, before anything is made."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import prod

from pipeline.dataset.reader import EpisodeDataset
from pipeline.domains.babyai import TOKENS
from pipeline.domains.domain import Domain
from pipeline.embedding.settings import Embedding
from pipeline.errors import InvalidInput
from pipeline.regent.context import CONTEXT
from pipeline.regent.counts import expected
from pipeline.regent.settings import RetrievalSettings, choose_queries

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


def plan_of(
    domain: Domain,
    task: str,
    reader: EpisodeDataset,
    retrieval: RetrievalSettings,
    embedding: Embedding | None,
    images: bool,
) -> Plan:
    """What the chain would make of a dataset."""
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


def nominal(domain: Domain, task: str, retrieval: RetrievalSettings, embedding: Embedding | None, dataset: str) -> Plan:
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
