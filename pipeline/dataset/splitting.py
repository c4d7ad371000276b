"""Which part of a split each episode belongs to: a function of what the episodes are, and of a seed.

Episodes with the same content are never in two parts: what a policy has learned from must not be what it is tested on.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from decimal import Decimal, InvalidOperation

import numpy as np
from jaxtyping import Int64

from pipeline.dataset.equals import equal_episodes
from pipeline.dataset.reader import EpisodeDataset
from pipeline.episode import UNKNOWN
from pipeline.errors import InvalidInput
from pipeline.seeding import shuffled
from pipeline.wording import check_choice, how_many

EPISODE, MISSION, SEED = GROUPS = ("episode", "mission", "seed")
"""What stays together: nothing but equal episodes, all episodes of a mission, all of a seed."""


def parts_of(dataset: EpisodeDataset, parts: Mapping[str, float], by: str, seed: int) -> Int64[np.ndarray, " n"]:
    """The number of the part, in the order of `parts`, of each of n episodes.

    Sizes are the shares of n, rounded by largest remainder, exactly so by episode where no two are equal; groups stay
    whole, so by mission or seed they are near that. No part is empty. Nothing but the episodes' content,
    `by` and the seed matters.

    Raises InvalidInput as `check_parts`; where there are fewer episodes (missions, seeds) than parts; and where no
    episode has a mission or a seed.
    """
    check_parts(parts, by)
    units = _units(dataset, by)
    count = int(units.max(initial=-1)) + 1
    if count < len(parts):
        raise _too_few(dataset, by, count, len(parts))
    weights = np.bincount(units, minlength=count)
    targets = sizes_of(len(dataset), [exact_shares(parts)[name] for name in parts])
    return _placed(weights, targets, shuffled(count, seed))[units]


def check_parts(parts: Mapping[str, float], by: str) -> None:
    """Raises InvalidInput unless the parts have names that can end a dataset's, and shares that sum to one."""
    check_choice("way to split", by, GROUPS)
    example = "such as {train:0.9,test:0.1}"
    if len(parts) < 2:
        raise InvalidInput(f"A split has two parts or more, with their shares, {example}; it has {len(parts)}.")
    for name in parts:
        if not re.fullmatch(r"[A-Za-z0-9_.-]+", name):
            raise InvalidInput(f"{name!r} cannot end a dataset's name: use letters, digits, - _ and ., {example}.")
    shares = exact_shares(parts)
    if wrong := [name for name, share in shares.items() if not 0 < share < 1]:
        raise InvalidInput(f"The share of {wrong[0]} is {parts[wrong[0]]}; it must lie between 0 and 1, {example}.")
    if (total := sum(shares.values())) != 1:
        listed = " + ".join(str(share) for share in shares.values())
        raise InvalidInput(f"The shares of a split must sum to 1; these sum to {total}: {listed}.")


def exact_shares(parts: Mapping[str, float]) -> dict[str, Decimal]:
    """The shares as they are written in decimals: 0.1 + 0.2 + 0.7 is 1. Raises InvalidInput for what is no number."""
    shares = {}
    for name, share in parts.items():
        try:
            shares[name] = Decimal(str(share))
        except InvalidOperation:
            shares[name] = Decimal("nan")
        if isinstance(share, bool) or not shares[name].is_finite():
            raise InvalidInput(f"The share of {name} is {share}; it must be a number between 0 and 1.")
    return shares


def sizes_of(count: int, shares: Sequence[Decimal]) -> list[int]:
    """`count` shared out by largest remainder, at least 1 each: `[9, 1]` for 10 and the shares 0.9 and 0.1.

    Of equal remainders the earlier part's is rounded up. Needs as many things as shares, or more.
    """
    exact = [count * share for share in shares]
    sizes = [int(each) for each in exact]
    by_remainder = sorted(range(len(shares)), key=lambda part: sizes[part] - exact[part])
    for part in by_remainder[: count - sum(sizes)]:
        sizes[part] += 1
    while 0 in sizes:
        sizes[sizes.index(max(sizes))] -= 1
        sizes[sizes.index(0)] += 1
    return sizes


def _units(dataset: EpisodeDataset, by: str) -> Int64[np.ndarray, " n"]:
    """The number of the unit that each episode belongs to, by the order of what the units are; equal episodes are one.

    Raises InvalidInput where no episode has what they are grouped by.
    """
    if by == EPISODE:
        return equal_episodes(dataset)
    if by == SEED:
        seeds = dataset.per_episode("seed")
        if len(seeds) and np.all(seeds == UNKNOWN):
            raise _unknown(dataset, by)
        return np.unique(seeds, return_inverse=True)[1].astype(np.int64)
    missions = dataset.texts(MISSION)
    if missions and not any(missions):
        raise _unknown(dataset, by)
    numbers = {mission: number for number, mission in enumerate(sorted(set(missions)))}
    return np.asarray([numbers[mission] for mission in missions], np.int64)


def _placed(
    weights: Int64[np.ndarray, " units"], targets: Sequence[int], order: Int64[np.ndarray, " units"]
) -> Int64[np.ndarray, " units"]:
    """The part of each unit, which are taken in a shuffled order.

    Units of several episodes come first, each into the part that lacks most; single episodes fill up what is left.
    """
    out = np.empty(len(weights), np.int64)
    room = list(targets)
    heavy = order[weights[order] > 1]
    for unit, weight in zip(heavy.tolist(), weights[heavy].tolist(), strict=True):
        part = room.index(max(room))
        out[unit] = part
        room[part] -= weight
    single = order[weights[order] == 1]
    out[single] = np.repeat(np.arange(len(targets)), np.maximum(room, 0))[: len(single)]
    return _without_empty(out, weights, order, len(targets))


def _without_empty(
    out: Int64[np.ndarray, " units"],
    weights: Int64[np.ndarray, " units"],
    order: Int64[np.ndarray, " units"],
    parts: int,
) -> Int64[np.ndarray, " units"]:
    """Where large units have left a part empty, it gets the smallest one of the part that has most of them."""
    for part in range(parts):
        units = np.bincount(out, minlength=parts)
        if units[part] == 0:
            others = order[out[order] == int(np.argmax(units))]
            out[others[np.argmin(weights[others])]] = part
    return out


def _unknown(dataset: EpisodeDataset, by: str) -> InvalidInput:
    return InvalidInput(
        f"{dataset.name} cannot be split by {by}: none of its {how_many(len(dataset), 'episodes')} has a {by}."
    )


def _too_few(dataset: EpisodeDataset, by: str, count: int, parts: int) -> InvalidInput:
    have = f"it has {how_many(len(dataset), 'episodes')}"
    if by != EPISODE:
        have += f", with {how_many(count, f'{by}s')}"
    elif count < len(dataset):
        have += f", of which {count} differ"
    return InvalidInput(f"{dataset.name} cannot be split into {parts} parts by {by}: {have}.")
