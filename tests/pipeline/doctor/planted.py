"""Made episodes with a fault in them, and what the doctor says of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from pipeline.dataset.parts import pack, some_of
from pipeline.doctor.block import EpisodeBlock, Subject
from pipeline.doctor.checks import OF_ONE, checks_of
from pipeline.doctor.examine import Examination, examine
from pipeline.doctor.findings import Finding
from pipeline.doctor.thresholds import Thresholds
from pipeline.episode import Episode, with_last_row

FEW = Thresholds(states=20, episodes=3)
"""For datasets of a few episodes."""

OF_EPISODES = ("duplicates", "seeds", "drift")
"""Checks that compare episodes with each other; made ones have no seeds, or those of others."""

Change = Callable[[dict[str, np.ndarray]], None]


def healthy(count: int = 6, length: int = 8, **facts: Any) -> list[Episode]:
    """Episodes in which nothing is wrong: they terminate, and their discounts say so."""
    rng = np.random.default_rng(3)
    return [walked(rng, length, seed=number, **facts) for number in range(count)]


def walked(
    rng: np.random.Generator,
    length: int = 8,
    *,
    steps: Mapping[str, np.ndarray] | None = None,
    terminated: bool = True,
    truncated: bool = False,
    **facts: Any,
) -> Episode:
    """One of them; `steps` replace its arrays."""
    discount = np.ones(length)
    discount[-1] = 0.0 if terminated else 1.0
    ended = "terminated" if terminated else "time_limit" if truncated else "source"
    arrays = {
        "observation": rng.normal(size=(length + 1, 3)),
        "action": with_last_row("action", rng.uniform(-0.9, 0.9, size=(length, 2)).astype(np.float32)),
        "reward": with_last_row("reward", rng.normal(size=length)),
        "discount": with_last_row("discount", discount),
    }
    return Episode(
        steps=arrays | dict(steps or {}),
        **{"terminated": terminated, "truncated": truncated, "end_reason": ended, **facts},
    )


def blocks(episodes: Sequence[Episode], change: Change | None = None, each: int = 2) -> Iterator[EpisodeBlock]:
    """The episodes in blocks of two, as they would be read; `change` spoils the arrays of all of them first."""
    arrays = pack(episodes)
    whole = {name: array.copy() for name, array in arrays.items()}
    if change:
        change(whole)
    for number, first in enumerate(range(0, len(episodes), each)):
        yield EpisodeBlock(first, number, some_of(whole, first, min(first + each, len(episodes))))


def examined_made(
    episodes: Sequence[Episode],
    change: Change | None = None,
    thresholds: Thresholds = FEW,
    each: int = 2,
    but: Sequence[str] = OF_EPISODES,
    **known: Any,
) -> Examination:
    """What all checks of one dataset `but` some say; `known` are attributes of the `Subject`. `each` block has so many
    episodes."""
    subject = Subject(
        **{"where": "toy/corner/made-v1", "domain": "toy", "task": "corner", "dataset": "made-v1"} | known
    )
    checks = checks_of([name for name in OF_ONE if name not in but], subject, thresholds)
    return examine(subject, blocks(episodes, change, each), checks)  # type: ignore[arg-type]  # a generator


def found_in(episodes: Sequence[Episode], change: Change | None = None, **settings: Any) -> dict[str, Finding]:
    """The findings by name."""
    return {finding.name: finding for finding in examined_made(episodes, change, **settings).findings}
