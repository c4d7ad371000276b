"""What retrieval found, as figures: a few queries with their neighbours, and all distances."""

from __future__ import annotations

import numpy as np
from jaxtyping import Int32

from pipeline.artifacts.artifact import Artifact
from pipeline.machine.files import read_json
from pipeline.regent.bins import STATISTICS
from pipeline.regent.chain import Chain
from pipeline.report.figures import BINS, Lookup, Match, Place, Search, Spread
from pipeline.report.sources import Retrieved
from pipeline.search.metric import UNITS
from pipeline.storage.choice import open_arrays
from pipeline.storage.contract import blocks

QUERIES, MATCHES = 4, 5


def search_of(retrieved: Retrieved, distances: Artifact | None) -> Search:
    """The figures of a retrieval, and of its distances where they are there."""
    plan = retrieved.chain.plan
    return Search(
        lookups=lookups_of(retrieved),
        distances=_spread(distances) if distances else None,
        queries=plan.queries,
        pool_states=len(plan.pooled),
        pool_episodes=plan.demos,
        single=plan.single,
        unit=UNITS[retrieved.chain.recipe.retrieval.metric],
        embedding=retrieved.chain.observed.network,
    )


def lookups_of(retrieved: Retrieved) -> tuple[Lookup, ...]:
    """A few queries with their nearest neighbours."""
    found = open_arrays(retrieved.neighbours.arrays)["neighbours"]
    chain = retrieved.chain
    return tuple(_lookup(chain, query, found[query : query + 1][0]) for query in _queries(chain))


def _spread(distances: Artifact) -> Spread:
    """A histogram of all entries, read in blocks. A long thin tail is cut off and counted."""
    statistics = read_json(distances.path / STATISTICS)
    largest, p99 = float(statistics["max"]), float(statistics["p99"])
    upper = (largest if largest <= 2 * p99 else 1.25 * p99) or largest or 1.0
    counts = np.zeros(BINS, np.int64)
    beyond = 0
    for block in blocks(open_arrays(distances.arrays)["distances"]):
        counts += np.histogram(block, BINS, (0.0, upper))[0]
        beyond += int((block > upper).sum())
    mean, p95 = float(statistics["mean"]), float(statistics["p95"])
    return Spread(tuple(counts.tolist()), upper, beyond, mean, p95, largest)


def _queries(chain: Chain) -> list[int]:
    """Numbers of a few queries: episodes evenly spread, each one further into its episode than the one before."""
    states = chain.plan.states
    last = _place(chain, int(states[-1]))
    wanted = []
    for number in range(QUERIES):
        share = (number + 0.5) / QUERIES
        episode = int(share * (last.episode + 1))
        length = last.step + 1 if episode == last.episode else int(chain.dataset.lengths[episode])
        wanted.append(_begin(chain, episode) + int(share * length))
    return list(dict.fromkeys(np.searchsorted(states, wanted).tolist()))  # not every state is a query


def _lookup(chain: Chain, query: int, neighbours: Int32[np.ndarray, " k"]) -> Lookup:
    state = int(chain.plan.states[query])
    nearest = list(dict.fromkeys(neighbours.tolist()))[:MATCHES]  # a short row repeats its last candidate
    matches = []
    for rank, match in enumerate(nearest, start=1):
        place = _place(chain, match)
        matches.append(Match(place.episode, place.step, rank, _distance(chain, match, state)))
    return Lookup(_place(chain, state), tuple(matches))


def _distance(chain: Chain, one: int, other: int) -> float:
    """Between the vectors of two states."""
    first, second = (chain.vectors(np.array([state]))[0].astype(np.float64) for state in (one, other))
    if chain.recipe.retrieval.metric == "cosine":
        return float(1 - first @ second / (np.linalg.norm(first) * np.linalg.norm(second) or 1.0))
    return float(np.linalg.norm(first - second))


def _place(chain: Chain, state: int) -> Place:
    episode = int(np.searchsorted(chain.dataset.state_ends, state, "right"))
    return Place(episode, state - _begin(chain, episode))


def _begin(chain: Chain, episode: int) -> int:
    return int(chain.dataset.state_ends[episode] - chain.dataset.lengths[episode])
