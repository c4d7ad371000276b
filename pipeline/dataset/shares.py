"""Where the episodes of a dataset lie: in parts of its own, or, where it refers to others, in some of theirs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import overload

import numpy as np
from jaxtyping import Int64, Shaped

from pipeline.artifacts.artifact import PARTS, Artifact, Part
from pipeline.artifacts.derived import REFERENCES, referred_to
from pipeline.artifacts.remake import remake
from pipeline.dataset.gathered import ChosenEpisodes
from pipeline.dataset.index import DatasetIndex
from pipeline.errors import DamagedArtifact
from pipeline.storage.choice import open_arrays
from pipeline.storage.contract import ReadableArray

OWNER, NUMBER, DIGEST = "owner", "number", "digest"
"""Of each episode that is referred to: which of the manifest's parents has it, its number there, its digest."""


@dataclass(frozen=True)
class Share:
    """Episodes of one part, in its order.

    Attributes:
        folder: of the part.
        part: as the manifest of its dataset lists it.
        chosen: numbers of those meant among the part's; None for all.
        check: raises DamagedArtifact where the part's files are not what they were; None where they were looked at.
    """

    folder: Path
    part: Part
    chosen: Int64[np.ndarray, " n"] | None = None
    check: Callable[[], None] | None = None

    @property
    def episodes(self) -> int:
        return self.part.episodes if self.chosen is None else len(self.chosen)

    def open(self) -> Mapping[str, ReadableArray]:
        """The arrays of a part that holds only these episodes; no rows are read yet."""
        if self.check:
            self.check()
        arrays = open_arrays(self.folder)
        return arrays if self.chosen is None else ChosenEpisodes(arrays, self.chosen)

    def only(self, numbers: Int64[np.ndarray, " n"]) -> Share:
        """Some of them, by their number in this share, ascending."""
        if len(numbers) == self.episodes:
            return self
        return replace(self, chosen=numbers if self.chosen is None else self.chosen[numbers])


def own_shares(folder: Path, parts: list[Part]) -> list[Share]:
    """All episodes of the parts of a dataset's folder."""
    return [Share(folder / PARTS / part.name, part) for part in parts]


def shares_of(artifact: Artifact) -> list[Share]:
    """The shares of a dataset, in the order of its episodes.

    Raises DamagedArtifact where episodes that it refers to are gone, or others than they were.
    """
    if not artifact.is_derived:
        return own_shares(artifact.path, artifact.manifest.parts)
    artifact.require_whole()
    references = open_arrays(artifact.path / REFERENCES)
    owners, numbers = references[OWNER][:], references[NUMBER][:]
    shares = list(chosen_shares([shares_of(each) for each in referred_to(artifact)], owners, numbers))
    there = [share.open()[f"episodes/{DIGEST}"][:] for share in shares]
    wrong = np.flatnonzero((np.concatenate(there) != references[DIGEST][:]).any(axis=1))
    if len(wrong):
        parent = artifact.manifest.parents[int(owners[wrong[0]])]["version"]
        raise DamagedArtifact(
            f"{artifact.path} refers to episode {numbers[wrong[0]]} of {parent}, which is another one now.",
            remake(artifact),
        )
    return shares


def chosen_shares(
    of_each: list[list[Share]], owners: Int64[np.ndarray, " n"], numbers: Int64[np.ndarray, " n"]
) -> Iterator[Share]:
    """The shares that hold these episodes: `numbers` among those of the shares `of_each[owner]`."""
    firsts = [np.cumsum([0, *(share.episodes for share in shares)]) for shares in of_each]
    if any((numbers[owners == owner] >= first[-1]).any() for owner, first in enumerate(firsts)):
        raise DamagedArtifact("The references name episodes that are not there.")
    offsets = np.cumsum([0, *(len(shares) for shares in of_each)])
    which, within = np.empty_like(numbers), np.empty_like(numbers)
    for owner, first in enumerate(firsts):
        of_owner = owners == owner
        share = np.searchsorted(first, numbers[of_owner], "right") - 1
        which[of_owner], within[of_owner] = share + offsets[owner], numbers[of_owner] - first[share]
    all_shares = [share for shares in of_each for share in shares]
    yield from _runs_of(which, within, all_shares.__getitem__)


class IndexedShares(Sequence[Share]):
    """The parts of a dataset's owners as shares, made when they are asked for: there may be a hundred thousand."""

    def __init__(self, owners: Sequence[DatasetIndex]) -> None:
        self._owners = owners
        self.offsets = np.cumsum([0, *(owner.used_parts for owner in owners)])

    def __len__(self) -> int:
        return int(self.offsets[-1])

    @overload
    def __getitem__(self, number: int) -> Share: ...
    @overload
    def __getitem__(self, number: slice) -> list[Share]: ...
    def __getitem__(self, number: int | slice) -> Share | list[Share]:
        if isinstance(number, slice):
            return [self[each] for each in range(len(self))[number]]
        if not 0 <= number < len(self):
            raise IndexError(number)
        owner = int(np.searchsorted(self.offsets, number, "right")) - 1
        of, part = self._owners[owner], number - int(self.offsets[owner])
        return Share(of.part_folder(part), of.part(part), None, partial(of.require_part, part))


def indexed_shares(index: DatasetIndex) -> Sequence[Share]:
    """The shares of a dataset by its index: nothing is opened, and each part is checked when it is."""
    shares = IndexedShares(index.owners)
    if not index.others:
        return shares
    of, firsts = index.places(np.arange(len(index)))
    which, within = np.empty_like(of), np.empty_like(of)
    for number, owner in enumerate(index.owners):
        own = of == number
        part = owner.part_of(firsts[own])
        which[own] = part + shares.offsets[number]
        within[own] = np.searchsorted(owner.arrays["ends"], firsts[own], "right") - owner.arrays["part_firsts"][part]
    return list(_runs_of(which, within, shares.__getitem__))


def _runs_of(
    which: Int64[np.ndarray, " n"], within: Int64[np.ndarray, " n"], share: Callable[[int], Share]
) -> Iterator[Share]:
    """The shares of episodes by the number of the part of each and its number there."""
    breaks = np.flatnonzero((np.diff(which) != 0) | (np.diff(within) <= 0)) + 1
    for run, of_run in zip(_cut(which, breaks), _cut(within, breaks), strict=True):
        if len(run):
            yield share(int(run[0])).only(of_run)


def _cut(values: Int64[np.ndarray, " n"], breaks: Int64[np.ndarray, " b"]) -> list[Shaped[np.ndarray, " each"]]:
    return np.split(values, breaks)
