"""Episodes that are one: a deterministic game that begins in one way gives the same episode for every seed."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from itertools import chain

import numpy as np
from jaxtyping import Shaped

from pipeline.dataset.columns import STEPS, RowSpec, step_arrays
from pipeline.dataset.parts import ENDS, runs_of, split_texts
from pipeline.dataset.reader import EpisodeDataset
from pipeline.digest import digest_arrays
from pipeline.episode import INFO, PRESENT
from pipeline.storage.contract import CHUNK_BYTES, ReadableArray

SHOWN = 10
"""How many episodes of a kind are named."""

_BESIDES = (ENDS, "episodes/terminated", "episodes/truncated", "texts/mission/bytes", "texts/mission/ends")
"""What is compared besides the step arrays, and where the episodes end."""


def repeated_episodes(dataset: EpisodeDataset) -> list[list[int]]:
    """Groups of episodes, by number, that are equal in all but their seeds and infos.

    Only episodes of the same length, return and actions are read in full.
    """
    looks = zip(dataset.lengths.tolist(), dataset.per_episode("return").tolist(), strict=True)
    groups = _groups([range(len(dataset))], dict(enumerate(looks)))
    for is_compared in (_is_of_actions, _is_no_info):
        groups = _groups(groups, dict(_contents(dataset, sorted(chain.from_iterable(groups)), is_compared)))
    return groups


def repeats_sentence(groups: list[list[int]]) -> str:
    """The warning about `repeated_episodes`: `3 episodes are 1: ...`."""
    count = sum(map(len, groups))
    shown = "; ".join(_listed(group) for group in groups[:SHOWN]) + ("; ..." if len(groups) > SHOWN else "")
    return (
        f"{count} episodes are {len(groups)}: equal in all but their seeds are {shown}. Sticky actions or no-ops make "
        f"them differ (domain.environment.sticky, domain.environment.noops of Atari), or some random actions "
        f"(policy.randomness). Give such a dataset another name."
    )


def _groups(groups: Iterable[Iterable[int]], keys: Mapping[int, Hashable]) -> list[list[int]]:
    """The numbers of each group that share a key, where there are several."""
    found: dict[Hashable, list[int]] = defaultdict(list)
    for group, numbers in enumerate(groups):
        for number in numbers:
            found[group, keys[number]].append(number)
    return [numbers for numbers in found.values() if len(numbers) > 1]


def _is_of_actions(name: str) -> bool:
    return name.split("/")[0] == "action"


def _is_no_info(name: str) -> bool:
    return not name.startswith((INFO, PRESENT))


def _contents(
    dataset: EpisodeDataset, numbers: Sequence[int], is_compared: Callable[[str], bool]
) -> Iterator[tuple[int, Hashable]]:
    """Of each of these episodes, what its step arrays of some names are, and how it ends."""
    wanted = set(numbers)
    for first, run in _read(dataset, numbers, is_compared):
        steps, ends = step_arrays(run), run[ENDS].tolist()
        missions = split_texts(run["texts/mission/bytes"], run["texts/mission/ends"])
        facts = zip(run["episodes/terminated"].tolist(), run["episodes/truncated"].tolist(), missions, strict=True)
        for number, start, end, how in zip(range(first, first + len(ends)), [0, *ends], ends, facts, strict=False):
            if number in wanted:
                yield number, (digest_arrays({name: array[start:end] for name, array in steps.items()}), how)


def _read(
    dataset: EpisodeDataset, numbers: Sequence[int], is_compared: Callable[[str], bool]
) -> Iterator[tuple[int, Mapping[str, Shaped[np.ndarray, "..."]]]]:
    """Runs of arrays of parts that hold these episodes, each with the number of its first episode."""
    if not numbers:
        return
    for there, stored in dataset.parts_between(numbers[0], numbers[-1] + 1):
        steps = {name: array for name, array in step_arrays(stored).items() if is_compared(name)}
        arrays = {STEPS + name: array for name, array in steps.items()} | {name: stored[name] for name in _BESIDES}
        mine = np.asarray([number - there.start for number in numbers if number in there])
        for first, last in _spans(mine, arrays):
            for run in runs_of(arrays, first, last):
                yield there.start + first, run
                first += len(run[ENDS])


def _spans(numbers: np.ndarray, arrays: Mapping[str, ReadableArray]) -> Iterator[tuple[int, int]]:
    """Ranges of a part's episodes that hold these. What lies between two is read where a chunk holds it anyway."""
    ends = np.concatenate([[0], arrays[ENDS][:]])
    widest = max(RowSpec.of(array).nbytes for array in step_arrays(arrays).values())
    gaps = ends[numbers[1:]] - ends[numbers[:-1] + 1]
    for span in np.split(numbers, np.flatnonzero(gaps * widest > CHUNK_BYTES) + 1):
        yield int(span[0]), int(span[-1]) + 1


def _listed(group: list[int]) -> str:
    return ", ".join(map(str, group[:SHOWN])) + (", ..." if len(group) > SHOWN else "")
