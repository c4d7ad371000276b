"""Retrieve: for every query state, the nearest states of other episodes in the pool, exactly."""

from __future__ import annotations

import numpy as np
from beartype import beartype

from pipeline.artifact import Artifact
from pipeline.domain import Domain
from pipeline.errors import InvalidInput
from pipeline.progress import progress
from pipeline.search.index import ExactIndex
from pipeline.workspace import Draft, Workspace
from stages.inputs import Inputs, RetrievalSettings, regent_inputs, vectors

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
    force: bool,
) -> Artifact:
    """Arrays `neighbours` (N, k) int32, flat state numbers in ascending order of distance, ties by pool position; and
    `pool` (P,) int32, the flat states that may be retrieved.

    A query with fewer than k candidates repeats its last candidate; such queries are counted and warned of. Raises
    InvalidInput for a query with none.
    """
    inputs = regent_inputs(domain, task, workspace, dataset, episodes, retrieval)
    _check_candidates(inputs)
    return workspace.build(inputs.retrieval, lambda draft: _search(inputs, draft), force)


def _search(inputs: Inputs, draft: Draft) -> None:
    choice, reader = inputs.choice, inputs.dataset
    pool = np.arange(choice.pool, dtype=np.int32)
    pool_writer = draft.array("pool", pool.shape, np.int32, "flat state")
    pool_writer.append(pool[pool_writer.done :])
    writer = draft.array("neighbours", (choice.queries, inputs.neighbours), np.int32, "flat state")
    if writer.done < choice.queries:
        index = ExactIndex(vectors(reader, 0, choice.pool).astype(np.float32))
        with progress("retrieval", inputs.retrieval.label, "states", choice.queries, writer.done) as advance:
            for start in range(writer.done, choice.queries, QUERY_BLOCK):
                stop = min(start + QUERY_BLOCK, choice.queries)
                queries = vectors(reader, start, stop).astype(np.float32)
                excluded = choice.excluded(reader.state_ends, start, stop)
                writer.append(index.search(queries, inputs.neighbours, excluded).rows)
                advance(stop - start)
    short = int((_candidates(inputs) < inputs.neighbours).sum())
    draft.counts |= {
        "states": choice.queries,
        "rows": choice.rows,
        "pool_states": choice.pool,
        "pool_episodes": choice.demos,
        "short_queries": short,
    }
    draft.warnings += _warnings(inputs, short)


def _candidates(inputs: Inputs) -> np.ndarray:
    """(N,): pool states that each query may retrieve; counted without the search, so that a resumed run agrees."""
    choice = inputs.choice
    ranges = choice.excluded(inputs.dataset.state_ends, 0, choice.queries)
    return choice.pool - (ranges[:, 1] - ranges[:, 0])


def _check_candidates(inputs: Inputs) -> None:
    without = np.flatnonzero(_candidates(inputs) == 0)
    if len(without) == 0:
        return
    spec, state = inputs.retrieval, int(without[0])
    label = f"Retrieval for {spec.domain}/{spec.task}"
    if inputs.choice.single:
        raise InvalidInput(
            f"{label}: state {state} is the whole pool, so it has no candidate. "
            "Collect more episodes or raise retrieval.demos"
        )
    episode = int(np.searchsorted(inputs.dataset.state_ends, state, "right"))
    raise InvalidInput(
        f"{label}: episode {episode} is the whole pool, so its states have no candidate. "
        f"Found retrieval.demos={spec.parameters['demos']}, wanted at least 2: retrieval.demos=2"
    )


def _warnings(inputs: Inputs, short: int) -> list[str]:
    warnings = []
    asked = inputs.retrieval.parameters["demos"]
    if inputs.choice.demos < asked:
        warnings.append(f"The pool has {inputs.choice.demos} episodes, {asked} were asked for.")
    if inputs.choice.single:
        warnings.append("One query episode: the pool is the first half of the pool's rows, own episode included.")
    if short:
        warnings.append(
            f"{short} queries have fewer than {inputs.neighbours} candidates; missing places repeat the last candidate."
        )
    return warnings
