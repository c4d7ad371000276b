"""Searching the pools of a task in blocks of queries, on the device that is worth it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from pipeline.errors import InvalidInput
from pipeline.regent.pools import Pool, QueryPlan
from pipeline.regent.recipe import Inputs
from pipeline.search.index import ExactIndex

LARGE = 4_096
"""States of a pool from which on a GPU is worth its transfers."""
NVIDIA = Path("/dev/nvidiactl")


def search_device(asked: str) -> str:
    """The device of large pools. Looks for a driver first, because torch takes a second to load."""
    if asked != "auto":
        return asked
    if not NVIDIA.exists():
        return "cpu"
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


class PooledSearch:
    """Searches blocks of queries, each in its own pool."""

    def __init__(self, choice: QueryPlan, inputs: Inputs, device: str) -> None:
        self._choice, self._inputs, self.search_device = choice, inputs, device
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
            device = self.search_device if len(keys) >= LARGE else "cpu"
            self._indexes[number] = ExactIndex(keys, self._inputs.metric, device=device)
        return self._indexes[number]


def check_candidates(inputs: Inputs, candidates: np.ndarray) -> None:
    """Raises InvalidInput where a query has no candidate at all."""
    without = np.flatnonzero(candidates == 0)
    if len(without) == 0:
        return
    spec, choice = inputs.retrieval, inputs.choice
    label, query = f"QueryPlan for {spec.domain}/{spec.task}", int(without[0])
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


def retrieval_warnings(inputs: Inputs, short: int) -> list[str]:
    """What a reader of the neighbours should know. `short` queries have fewer candidates than neighbours are kept."""
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
