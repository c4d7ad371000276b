"""Report: one HTML page that shows a task's episodes and whether its retrieval finds what looks alike."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import numpy as np
from beartype import beartype

from pipeline.artifact import Artifact, Spec
from pipeline.digest import digest_arrays
from pipeline.domain import Domain
from pipeline.episode import UNKNOWN
from pipeline.errors import InvalidInput, NoRenderer
from pipeline.files import write_atomic, write_json
from pipeline.fingerprint import canonical
from pipeline.page import BINS, Figures, Lookup, Match, Place, Spread, render_page
from pipeline.record import Stopwatch
from pipeline.replay import Frames, replay_frames
from pipeline.storage.arrays import blocks, open_arrays, read_json
from pipeline.workspace import Draft, Workspace, episodes_parent
from stages.distances import STATISTICS, distances_spec
from stages.inputs import REPORT_FORMAT, Inputs, RetrievalSettings, regent_inputs, vectors

PAGE, INDEX, FIGURES = "page", "index.html", "figures.json"

STRIP = 10
"""Pictures of the typical episode."""

QUERIES, MATCHES = 4, 5


@dataclass(frozen=True)
class _Sources:
    """What a page is made from."""

    inputs: Inputs
    neighbours: Artifact
    distances: Artifact

    @property
    def artifacts(self) -> list[Artifact]:
        return [self.inputs.artifact, self.neighbours, self.distances]


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
    """The folder `page/` with a self-contained `index.html`, and `figures.json`, the data that it shows.

    Where nothing can draw, the page says why and shows the rest. It is then another artifact, so that the same command
    makes the page with pictures once a renderer is there.
    """
    inputs = regent_inputs(domain, task, workspace, dataset, episodes, retrieval)
    neighbours = workspace.require(inputs.retrieval, "retrieval")
    distances = workspace.require(distances_spec(inputs, neighbours), "distances")
    sources = _Sources(inputs, neighbours, distances)
    if not force and (page := workspace.find(_spec(sources, pictures=True))):
        return page
    stopwatch = Stopwatch()
    strip, lookups = _strip(inputs), _lookups(inputs, neighbours)
    frames, no_pictures = _pictures(domain, inputs, _places(strip, lookups))
    spec = _spec(sources, pictures=not no_pictures)

    def write(draft: Draft) -> None:
        _write(sources, strip, lookups, frames, no_pictures, draft)

    return workspace.build(spec, write, force, stopwatch)


def _spec(sources: _Sources, pictures: bool) -> Spec:
    """The page shows every episode of the dataset, not only those that retrieve: growth gives another page."""
    inputs = sources.inputs
    whole = episodes_parent(inputs.artifact, inputs.dataset, len(inputs.dataset))
    parents = (whole, sources.neighbours.as_parent(), sources.distances.as_parent())
    label = inputs.retrieval
    return Spec(label.domain, label.task, "report", REPORT_FORMAT, {"pictures": pictures}, parents)


def _write(
    sources: _Sources,
    strip: tuple[Place, ...],
    lookups: tuple[Lookup, ...],
    frames: Frames,
    no_pictures: str,
    draft: Draft,
) -> None:
    figures = _figures(sources, strip, lookups)
    html = render_page(figures, frames, no_pictures, sources.artifacts)
    write_atomic(draft.folder(PAGE) / INDEX, lambda file: file.write(html.encode()))
    write_json(draft.path / FIGURES, figures.to_json())
    # The digest is that of the data: pixels differ between renderers, commands and versions between runs.
    draft.content(FIGURES, digest_arrays({FIGURES: np.frombuffer(canonical(figures.to_json()).encode(), np.uint8)}))
    draft.counts |= {"episodes": len(figures.returns), "states": figures.states, "pictures": len(frames)}
    if no_pictures:
        draft.warnings.append(f"The page has no pictures: {no_pictures}")


def _figures(sources: _Sources, strip: tuple[Place, ...], lookups: tuple[Lookup, ...]) -> Figures:
    dataset, choice = sources.inputs.dataset, sources.inputs.choice
    return Figures(
        digest=dataset.digest(),
        returns=tuple(dataset.per_episode("return").tolist()),
        lengths=tuple(dataset.lengths.tolist()),
        success=tuple(dataset.per_episode("success").tolist()),
        strip=strip,
        lookups=lookups,
        distances=_spread(sources.distances),
        queries=choice.queries,
        pool_states=choice.pool,
        pool_episodes=choice.demos,
        single=choice.single,
    )


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


def _strip(inputs: Inputs) -> tuple[Place, ...]:
    """Evenly spaced rows, first and last included, of the episode with the median return (the lower one of two)."""
    returns = inputs.dataset.per_episode("return")
    episode = int(np.argsort(returns, kind="stable")[(len(returns) - 1) // 2])
    rows = np.linspace(0, inputs.dataset.lengths[episode], STRIP).round().astype(np.int64)
    return tuple(Place(episode, int(row)) for row in np.unique(rows))


def _lookups(inputs: Inputs, neighbours: Artifact) -> tuple[Lookup, ...]:
    found = open_arrays(neighbours.arrays)["neighbours"]
    return tuple(_lookup(inputs, state, found[state : state + 1][0]) for state in _queries(inputs))


def _queries(inputs: Inputs) -> list[int]:
    """A few query states: episodes evenly spread, and each one further into its episode than the one before."""
    last = _place(inputs, inputs.choice.queries - 1)
    states = []
    for number in range(QUERIES):
        share = (number + 0.5) / QUERIES
        episode = int(share * (last.episode + 1))
        length = last.step + 1 if episode == last.episode else int(inputs.dataset.lengths[episode])
        states.append(_begin(inputs, episode) + int(share * length))
    return list(dict.fromkeys(states))


def _lookup(inputs: Inputs, state: int, neighbours: np.ndarray) -> Lookup:
    query = vectors(inputs.dataset, state, state + 1)[0].astype(np.float64)
    nearest = list(dict.fromkeys(neighbours.tolist()))[:MATCHES]  # a short row repeats its last candidate
    matches = []
    for rank, match in enumerate(nearest, start=1):
        place = _place(inputs, match)
        vector = vectors(inputs.dataset, match, match + 1)[0].astype(np.float64)
        matches.append(Match(place.episode, place.step, rank, float(np.linalg.norm(vector - query))))
    return Lookup(_place(inputs, state), tuple(matches))


def _place(inputs: Inputs, state: int) -> Place:
    episode = int(np.searchsorted(inputs.dataset.state_ends, state, "right"))
    return Place(episode, state - _begin(inputs, episode))


def _begin(inputs: Inputs, episode: int) -> int:
    return int(inputs.dataset.state_ends[episode] - inputs.dataset.lengths[episode])


def _places(strip: tuple[Place, ...], lookups: tuple[Lookup, ...]) -> list[Place | Match]:
    places: list[Place | Match] = [*strip]
    for lookup in lookups:
        places += [lookup.query, *lookup.matches]
    return places


def _pictures(domain: Domain, inputs: Inputs, places: list[Place | Match]) -> tuple[Frames, str]:
    """The pictures of some rows, or none and the reason."""
    recorded = inputs.artifact.manifest.parameters
    wanted: dict[int, list[int]] = {}
    for place in places:
        wanted.setdefault(place.episode, []).append(place.step)
    episodes = {number: inputs.dataset[number] for number in wanted}
    if "environment" not in recorded or any(episode.seed == UNKNOWN for episode in episodes.values()):
        name = recorded.get("source", {}).get("name", "another dataset")
        return {}, f"the episodes were read from a source ({name}) and cannot be played again in the simulator."
    environment = partial(domain.environment, task=inputs.retrieval.task)
    try:
        return replay_frames(environment, episodes, wanted, recorded["environment"]), ""
    except (NoRenderer, InvalidInput) as error:  # InvalidInput: no such simulator here, or another version of it
        return {}, str(error)
