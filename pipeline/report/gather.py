"""Gathering what a page shows: the artifacts it is made from, its figures and its pictures."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np

from pipeline.artifacts.artifact import Artifact
from pipeline.dataset.reader import EpisodeDataset
from pipeline.dataset.rewards import reward_clipping
from pipeline.dataset.workspace import Workspace
from pipeline.domains.domain import Domain
from pipeline.embedding.settings import Embedding
from pipeline.episode import UNKNOWN
from pipeline.errors import InvalidInput, NoRenderer
from pipeline.frames.png import decode_png
from pipeline.frames.store import Frames as StoredFrames
from pipeline.machine.files import read_json
from pipeline.regent.bins import STATISTICS
from pipeline.regent.chain import Chain
from pipeline.regent.observed import require_vectors
from pipeline.regent.recipe import Recipe
from pipeline.regent.settings import RetrievalSettings
from pipeline.report.figures import BINS, Figures, Lookup, Match, Place, Search, Spread
from pipeline.report.tallies import tally
from pipeline.report.videos import frames_there, shown_episodes
from pipeline.rollout.replay import Frames, replay_frames
from pipeline.storage.choice import open_arrays
from pipeline.storage.contract import blocks

STRIP = 10
"""Pictures of the typical episode."""
QUERIES, MATCHES = 4, 5
BLOCK = 65_536
"""States whose actions or rewards are read at a time."""


@dataclass(frozen=True)
class Retrieved:
    """What a page tells about retrieval is made from."""

    chain: Chain
    neighbours: Artifact
    distances: Artifact


@dataclass(frozen=True)
class PageSources:
    """What a page is made from. `no_search` says why there is no retrieval, where there is none."""

    domain: Domain
    artifact: Artifact
    dataset: EpisodeDataset
    retrieved: Retrieved | None
    no_search: str
    frames: Artifact | None

    @property
    def artifacts(self) -> list[Artifact]:
        """The dataset first."""
        found = [self.artifact]
        if self.retrieved:
            found += [*self.retrieved.chain.observed.sources(), self.retrieved.neighbours, self.retrieved.distances]
        return found + ([self.frames] if self.frames else [])


def page_sources(
    domain: Domain,
    task: str,
    workspace: Workspace,
    dataset: str,
    episodes: int | None,
    retrieval: RetrievalSettings,
    embedding: Embedding | None,
) -> PageSources:
    """Find what the page is made from. Raises ArtifactNotFound with the command that makes what is missing."""
    artifact = workspace.dataset(domain.name, task, dataset, episodes)
    reader = EpisodeDataset.of(artifact)
    frames = frames_there(workspace, artifact)
    try:
        chain = Chain(Recipe(domain, task, dataset, episodes, retrieval, embedding), workspace, artifact, reader)
        neighbours = chain.spec("retrieval")
    except InvalidInput as error:
        if _are_vectors(reader, f"{domain.name}/{task}"):
            raise
        return PageSources(domain, artifact, reader, None, str(error), frames)
    retrieved = Retrieved(chain, workspace.require(neighbours, "retrieval"), chain.require("distances"))
    return PageSources(domain, artifact, reader, retrieved, "", frames)


def _are_vectors(dataset: EpisodeDataset, label: str) -> bool:
    try:
        require_vectors(dataset, label)
    except InvalidInput:
        return False
    return True


def figures_of(sources: PageSources) -> Figures:
    """The figures of the page, read in blocks."""
    dataset, frames = sources.dataset, sources.frames
    ends = dataset.texts("end_reason")
    filmed = min(len(StoredFrames(frames)), len(dataset)) if frames else 0
    return Figures(
        digest=dataset.digest(),
        returns=tuple(dataset.per_episode("return").tolist()),
        lengths=tuple(dataset.lengths.tolist()),
        success=tuple(dataset.per_episode("success").tolist()),
        end_reasons={name: ends.count(name) for name in sorted(set(ends))},
        actions=tally(partial(_blocks, dataset, "action"), BINS),
        rewards=tally(partial(_blocks, dataset, "reward"), BINS, without_zeros=True),
        reward_clipping=reward_clipping(sources.artifact.manifest.parameters),
        strip=_strip(dataset),
        filmed=filmed,
        videos=shown_episodes(dataset, filmed) if filmed else (),
        search=_search(sources.retrieved) if sources.retrieved else None,
    )


def _search(retrieved: Retrieved) -> Search:
    plan = retrieved.chain.plan
    return Search(
        lookups=_lookups(retrieved.chain, retrieved.neighbours),
        distances=_spread(retrieved.distances),
        queries=plan.queries,
        pool_states=len(plan.pooled),
        pool_episodes=plan.demos,
        single=plan.single,
        unit=next(array["unit"] for array in retrieved.distances.manifest.arrays if array["name"] == "distances"),
        embedding=retrieved.chain.observed.network,
    )


def _blocks(dataset: EpisodeDataset, name: str) -> Iterator[np.ndarray]:
    for start in range(0, dataset.states, BLOCK):
        yield dataset.state_rows(name, start, min(start + BLOCK, dataset.states))


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
    return Spread(tuple(counts.tolist()), upper, beyond, float(statistics["mean"]), float(statistics["p95"]), largest)


def _strip(dataset: EpisodeDataset) -> tuple[Place, ...]:
    """Evenly spaced rows, first and last included, of the episode with the median return (the lower one of two)."""
    returns = dataset.per_episode("return")
    episode = int(np.argsort(returns, kind="stable")[(len(returns) - 1) // 2])
    rows = np.linspace(0, dataset.lengths[episode], STRIP).round().astype(np.int64)
    return tuple(Place(episode, int(row)) for row in np.unique(rows))


def _lookups(chain: Chain, neighbours: Artifact) -> tuple[Lookup, ...]:
    found = open_arrays(neighbours.arrays)["neighbours"]
    return tuple(_lookup(chain, query, found[query : query + 1][0]) for query in _queries(chain))


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


def _lookup(chain: Chain, query: int, neighbours: np.ndarray) -> Lookup:
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


def places_of(figures: Figures) -> list[Place | Match]:
    """Every row of which the page shows a picture."""
    places: list[Place | Match] = [*figures.strip]
    for lookup in figures.search.lookups if figures.search else ():
        places += [lookup.query, *lookup.matches]
    return places


def pictures_of(domain: Domain, task: str, sources: PageSources, places: list[Place | Match]) -> tuple[Frames, str]:
    """The pictures of some rows, out of the frames or by replay, or none and the reason."""
    wanted: dict[int, list[int]] = {}
    for place in places:
        wanted.setdefault(place.episode, []).append(place.step)
    if sources.frames is not None and max(wanted) < len(stored := StoredFrames(sources.frames)):
        files = {number: stored[number] for number in wanted}
        return {(n, row): decode_png(files[n][row]) for n, rows in wanted.items() for row in rows}, ""
    recorded = sources.artifact.manifest.parameters
    episodes = {number: sources.dataset[number] for number in wanted}
    if "environment" not in recorded or any(episode.seed == UNKNOWN for episode in episodes.values()):
        name = recorded.get("source", {}).get("name", "another dataset")
        return {}, f"the episodes were read from a source ({name}) and cannot be played again in the simulator."
    environment = partial(domain.environment, task=task)
    try:
        return replay_frames(environment, episodes, wanted, recorded["environment"]), ""
    except (NoRenderer, InvalidInput) as error:  # InvalidInput: no such simulator here, or another version of it
        return {}, str(error)
