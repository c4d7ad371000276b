"""Episodes that are one: a deterministic game that begins in one way gives the same episode for every seed."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable

from pipeline.dataset.reader import EpisodeDataset
from pipeline.digest import digest_arrays
from pipeline.episode import INFO, PRESENT

SHOWN = 10
"""How many episodes of a kind are named."""


def repeated_episodes(dataset: EpisodeDataset) -> list[list[int]]:
    """Groups of episodes, by number, that are equal in all but their seeds and infos.

    Only episodes of the same length, return and actions are read in full.
    """
    returns = dataset.per_episode("return")
    groups = _groups(range(len(dataset)), lambda number: (dataset.lengths[number], returns[number]))
    names = [name for name in dataset.array_names() if name.split("/")[0] == "action"]
    groups = [each for group in groups for each in _groups(group, lambda number: _actions(dataset, names, number))]
    return [each for group in groups for each in _groups(group, lambda number: _content(dataset, number))]


def repeats_sentence(groups: list[list[int]]) -> str:
    """The warning about `repeated_episodes`: `3 episodes are 1: ...`."""
    count = sum(map(len, groups))
    shown = "; ".join(_listed(group) for group in groups[:SHOWN]) + ("; ..." if len(groups) > SHOWN else "")
    return (
        f"{count} episodes are {len(groups)}: equal in all but their seeds are {shown}. Sticky actions or no-ops make "
        f"them differ (domain.environment.sticky, domain.environment.noops of Atari), or some random actions "
        f"(policy.randomness). Give such a dataset another name."
    )


def _groups(numbers: Iterable[int], key: Callable[[int], Hashable]) -> list[list[int]]:
    """The numbers that share a key, where there are several."""
    found: dict[Hashable, list[int]] = defaultdict(list)
    for number in numbers:
        found[key(number)].append(number)
    return [group for group in found.values() if len(group) > 1]


def _actions(dataset: EpisodeDataset, names: list[str], number: int) -> bytes:
    rows = int(dataset.lengths[number]) + 1
    return digest_arrays({name: dataset.episode_rows(name, number, 0, rows) for name in names})


def _content(dataset: EpisodeDataset, number: int) -> bytes:
    episode = dataset[number]
    steps = {name: array for name, array in episode.steps.items() if not name.startswith((INFO, PRESENT))}
    return digest_arrays(steps) + f"{episode.terminated} {episode.truncated} {episode.mission}".encode()


def _listed(group: list[int]) -> str:
    return ", ".join(map(str, group[:SHOWN])) + (", ..." if len(group) > SHOWN else "")
