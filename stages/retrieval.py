"""Retrieve: for every query state, the nearest states of other episodes in the pool, exactly."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from beartype import beartype

from pipeline.artifacts.artifact import Artifact
from pipeline.domains.domain import Domain
from pipeline.embedding.settings import Embedding
from pipeline.errors import InvalidInput
from pipeline.machine.files import write_json
from pipeline.regent.pools import Pool, Retrieval
from pipeline.machine.progress import progress
from pipeline.search.index import ExactIndex
from pipeline.artifacts.workspace import Draft, Workspace
from pipeline.regent.recipe import Inputs, regent_inputs
from pipeline.regent.settings import RetrievalSettings

MISSIONS = "missions.json"

LARGE = 4_096
"""States of a pool from which on a GPU is worth its transfers."""

NVIDIA = Path("/dev/nvidiactl")

QUERY_BLOCK = 16_384
"""Queries searched at once; changes neither order nor content."""


@beartype
def run(
    *,
    domain: Domain,
    task: str,
    workspace: Workspace,
    dataset: str,
    episodes: int | None,
    retrieval: RetrievalSettings,
    embedding: Embedding | None = None,
    force: bool,
) -> Artifact:
    """Arrays `neighbours` (N, k) int32, flat state numbers in ascending order of distance, ties by pool position; and
    `pool` (P,) int32, the flat states that may be retrieved.

    Where queries retrieve inside their own mission, `pool` holds one pool after the other: `pool_ends` (M,) says where
    each ends, `missions.json` whose it is, `queries` (N,) which flat states retrieve and `query_pool` (N,) from where.

    A query with fewer than k candidates repeats its last candidate; such queries are counted and warned of. Raises
    InvalidInput for a query with none.
    """
    inputs = regent_inputs(domain, task, workspace, dataset, episodes, retrieval, embedding)
    candidates = inputs.choice.candidates(inputs.dataset.state_ends)
    _check(inputs, candidates)
    return workspace.build(
        inputs.retrieval, lambda draft: _search(inputs, candidates, _device(retrieval.device), draft), force
    )


def _device(asked: str) -> str:
    """The device of large pools. Looks for a driver first, because torch takes a second to load."""
    if asked != "auto":
        return asked
    if not NVIDIA.exists():
        return "cpu"
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


def _search(inputs: Inputs, candidates: np.ndarray, device: str, draft: Draft) -> None:
    choice = inputs.choice
    _write_pools(choice, draft)
    writer = draft.array("neighbours", (choice.queries, inputs.neighbours), np.int32, "flat state")
    if writer.done < choice.queries:
        search = PooledSearch(choice, inputs, device)
        with progress("retrieval", inputs.retrieval.label, "states", choice.queries, writer.done) as advance:
            for start in range(writer.done, choice.queries, QUERY_BLOCK):
                stop = min(start + QUERY_BLOCK, choice.queries)
                writer.append(search.block(start, stop))
                advance(stop - start)
    short = int((candidates < inputs.neighbours).sum())
    draft.counts |= {
        "states": choice.queries,
        "rows": len(choice.rows),
        "pool_states": choice.pool,
        "pool_episodes": choice.demos,
        "short_queries": short,
    }
    if inputs.by_mission:
        draft.counts["missions"] = len(choice.pools)
    draft.warnings += _warnings(inputs, short)


def _write_pools(choice: Retrieval, draft: Draft) -> None:
    """`pool`, and where there are several: `queries`, `query_pool` and `pool_ends`."""
    arrays = {"pool": (np.concatenate([pool.states for pool in choice.pools]), "flat state")}
    if choice.pools[0].mission:
        ends = np.cumsum([len(pool.states) for pool in choice.pools])
        arrays |= {"pool_ends": (ends, "pool state"), "queries": (choice.states, "flat state")}
        arrays["query_pool"] = (choice.owner, "pool")
        write_json(draft.path / MISSIONS, [pool.mission for pool in choice.pools])
    for name, (values, unit) in arrays.items():
        writer = draft.array(name, values.shape, np.int32, unit)
        writer.append(values[writer.done :].astype(np.int32))


class PooledSearch:
    """Searches blocks of queries, each in its own pool."""

    def __init__(self, choice: Retrieval, inputs: Inputs, device: str) -> None:
        self._choice, self._inputs, self._device = choice, inputs, device
        self._pooled = inputs.vectors(choice.pooled).astype(np.float32)
        self._indexes: dict[int, ExactIndex] = {}

    def block(self, start: int, stop: int) -> np.ndarray:
        """(stop - start, k) int32: the flat states that these queries retrieve."""
        choice, inputs = self._choice, self._inputs
        queries = inputs.vectors(choice.states[start:stop]).astype(np.float32)
        found = np.empty((stop - start, inputs.neighbours), np.int32)
        for number, which in choice.by_pool(start, stop):
            excluded = choice.excluded(inputs.dataset.state_ends, which)
            rows = self._index(number).search(queries[which - start], inputs.neighbours, excluded).rows
            found[which - start] = choice.pools[number].states[rows]
        return found

    def _index(self, number: int) -> ExactIndex:
        if number not in self._indexes:
            pool = self._choice.pools[number].states
            whole = len(self._choice.pools) == 1  # then a selection would only be a copy
            keys = self._pooled if whole else self._pooled[np.searchsorted(self._choice.pooled, pool)]
            device = self._device if len(keys) >= LARGE else "cpu"
            self._indexes[number] = ExactIndex(keys, self._inputs.metric, device=device)
        return self._indexes[number]


def _check(inputs: Inputs, candidates: np.ndarray) -> None:
    """Raises InvalidInput where a query has no candidate at all."""
    without = np.flatnonzero(candidates == 0)
    if len(without) == 0:
        return
    spec, choice = inputs.retrieval, inputs.choice
    label, query = f"Retrieval for {spec.domain}/{spec.task}", int(without[0])
    state = int(choice.states[query])
    if choice.single:
        raise InvalidInput(
            f"{label}: state {state} is the whole pool, so it has no candidate. "
            "Collect more episodes or raise retrieval.demos"
        )
    episode = int(np.searchsorted(inputs.dataset.state_ends, state, "right"))
    mission = choice.pools[int(choice.owner[query])].mission
    of = f" of the mission {mission!r}" if mission else ""
    raise InvalidInput(
        f"{label}: episode {episode} is the whole pool{of}, so its states have no candidate. "
        f"Found retrieval.demos={spec.parameters['demos']}, wanted at least 2: retrieval.demos=2"
    )


def _warnings(inputs: Inputs, short: int) -> list[str]:
    warnings = []
    asked = inputs.retrieval.parameters["demos"]
    if few := [pool for pool in inputs.choice.pools if pool.demos < asked]:
        warnings.append(_small_pools(few, asked))
    states = inputs.retrieval.parameters["states"]
    if not inputs.by_mission and states and inputs.layout.leading_rows(states) < len(inputs.choice.rows):
        warnings.append(f"All {inputs.choice.queries} states of the pool query; {states} were asked for.")
    if inputs.choice.single:
        warnings.append("One query episode: the pool is the first half of the pool's rows, own episode included.")
    if short:
        warnings.append(
            f"{short} queries have fewer than {inputs.neighbours} candidates; missing places repeat the last candidate."
        )
    return warnings


def _small_pools(few: Sequence[Pool], asked: int) -> str:
    if not few[0].mission:
        return f"The pool has {few[0].demos} episodes, {asked} were asked for."
    least = min(few, key=lambda pool: pool.demos)
    return (
        f"{len(few)} missions have fewer than {asked} episodes in their pool; the fewest, {least.demos}, has "
        f"{least.mission!r}."
    )
