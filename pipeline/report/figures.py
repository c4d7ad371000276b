"""What a page shows, as data."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from jaxtyping import UInt8

from pipeline.dataset.rewards import Bounds
from pipeline.frames.video import Video
from pipeline.report.actions import Actions
from pipeline.report.curves import Curve
from pipeline.report.ranges import Range
from pipeline.report.tallies import Tally

BINS = 48
"""Bars of a histogram, at most."""


@dataclass(frozen=True)
class Place:
    """A row of an episode."""

    episode: int
    step: int


@dataclass(frozen=True)
class Match:
    """A retrieved state. `rank` counts from 1; `distance` is that to the query, in observation units."""

    episode: int
    step: int
    rank: int
    distance: float


@dataclass(frozen=True)
class Lookup:
    """One query and its nearest neighbours, nearest first."""

    query: Place
    matches: tuple[Match, ...]


@dataclass(frozen=True)
class Spread:
    """Histogram of distances in equal bins from 0 to `upper`; `beyond` of them are larger."""

    counts: tuple[int, ...]
    upper: float
    beyond: int
    mean: float
    p95: float
    max: float

    @property
    def entries(self) -> int:
        return sum(self.counts) + self.beyond


@dataclass(frozen=True)
class Search:
    """What retrieval found.

    Attributes:
        distances: between the states of a context; None where they are not measured.
        queries, pool_states, pool_episodes: the size of the retrieval.
        single: the task has one query episode, which may retrieve from itself.
        unit: of distances.
        embedding: what made the vectors that are compared; empty where observations are vectors.
    """

    lookups: tuple[Lookup, ...]
    distances: Spread | None
    queries: int
    pool_states: int
    pool_episodes: int
    single: bool
    unit: str
    embedding: str


@dataclass(frozen=True)
class Diagnosis:
    """What the doctor says of the dataset.

    Attributes:
        findings: the worst first, each with `name`, `severity`, `count`, `what`, `why`, `examples` and `numbers`.
        checked: the names of the checks that were made.
        unchecked: what could not be looked at, and why.
    """

    findings: tuple[Mapping[str, Any], ...]
    checked: tuple[str, ...]
    unchecked: tuple[str, ...]

    def counted(self) -> dict[str, int]:
        """How many findings there are of each severity that occurs."""
        found = [each["severity"] for each in self.findings]
        return {severity: found.count(severity) for severity in dict.fromkeys(found)}


@dataclass(frozen=True)
class Shown:
    """An episode that is shown as a video. `rank` says why: its return is the `highest`, `middle` or `lowest`."""

    rank: str
    episode: int
    total_reward: float
    length: int
    end_reason: str


@dataclass(frozen=True)
class Figures:
    """All data on the page, and nothing that depends on where or when it was made: no pixels, paths or times.

    Attributes:
        digest: of the episodes that are shown.
        returns, lengths, success: of each episode; success is 1, 0 or -1 where it is not known.
        end_reasons: how many episodes ended for which reason.
        actions: of all states.
        rewards: of all states; zeros are counted, and left out of the histogram.
        reward_clipping: the bounds to which the source had clipped rewards, so that returns are no scores; or None.
        curves: how the return grows within a few episodes.
        ranges: of each array of the observations, and of embeddings, over all states.
        strip: rows of the episode with the median return.
        filmed: leading episodes that can be shown as videos, at most all.
        videos: some of those.
        search: None where nothing is retrieved.
        diagnosis: None where the doctor was not asked.
    """

    digest: str
    returns: tuple[float, ...]
    lengths: tuple[int, ...]
    success: tuple[int, ...]
    end_reasons: Mapping[str, int]
    actions: Actions
    rewards: Tally
    reward_clipping: Bounds | None
    curves: tuple[Curve, ...]
    ranges: tuple[Range, ...]
    strip: tuple[Place, ...]
    filmed: int
    videos: tuple[Shown, ...]
    search: Search | None
    diagnosis: Diagnosis | None

    @property
    def states(self) -> int:
        return sum(self.lengths)

    @property
    def mean_return(self) -> float:
        return math.fsum(self.returns) / len(self.returns)

    @property
    def successes(self) -> tuple[int, int]:
        """How many episodes succeeded, of how many that say so."""
        known = [value for value in self.success if value >= 0]
        return sum(known), len(known)

    def to_json(self) -> dict[str, Any]:
        """All of it, with the figures that the page derives."""
        succeeded, known = self.successes
        derived = {
            "episodes": len(self.returns),
            "states": self.states,
            "mean_return": self.mean_return,
            "successes": succeeded,
            "success_known": known,
        }
        return {**asdict(self), **derived}


@dataclass
class Media:
    """What is to be seen.

    Attributes:
        pictures: (episode, step) -> (height, width, 3) uint8; those that are missing are left out.
        origin: what the pictures are, in words; empty where there are none.
        no_pictures: why there are none, or none of a better origin; empty where there is nothing to say.
        videos: the files `videos/episode-<n>.mp4` and `.png` by episode; those that are missing are left out.
        video_origin: what the videos are made of, in words; empty where there are none.
        no_videos: why there are none; empty where there are.
        commands: what shows or mends each finding of the doctor, in their order; empty texts where nothing does.
    """

    pictures: Mapping[tuple[int, int], UInt8[np.ndarray, "h w 3"]]
    origin: str
    no_pictures: str
    videos: Mapping[int, Video] = field(default_factory=dict)
    video_origin: str = ""
    no_videos: str = ""
    commands: tuple[str, ...] = ()
