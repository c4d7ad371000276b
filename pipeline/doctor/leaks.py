"""Leaks: episodes that two datasets share although one is there to judge what was trained on the other."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int64

from pipeline.artifacts.artifact import EPISODES, Artifact
from pipeline.artifacts.derived import SPLIT
from pipeline.dataset.reader import EpisodeDataset
from pipeline.dataset.workspace import Workspace
from pipeline.doctor.findings import Finding, Severity
from pipeline.doctor.prints import Prints, both, prints_of
from pipeline.episode import UNKNOWN
from pipeline.fingerprint import canonical
from pipeline.wording import how_many

SHOWN = 5
"""Shared episodes that are named."""

PART = "part"
"""In the settings of a split: which part of it a dataset is, or was derived from."""

SIDES = ("train", "training", "test", "testing", "val", "valid", "validation", "dev", "eval", "holdout", "heldout")
"""How names of the parts of one split end."""


@dataclass(frozen=True)
class Other:
    """A dataset that must share nothing with the one that is examined.

    Attributes:
        name: `toy/corner/scripted-v1-test`.
        why: what it is to that one, in words: `another part of its split`.
    """

    name: str
    why: str
    prints: Prints

    @staticmethod
    def of(dataset: Artifact, why: str) -> Other:
        """A dataset of ours: its actions are read, and three observations of each episode."""
        return Other(_name(dataset), why, prints_of(EpisodeDataset.of(dataset)))


def compared(dataset: Artifact, prints: Prints, against: Sequence[str], workspace: Workspace) -> Iterator[Finding]:
    """What a dataset shares with others of its task.

    With the other parts of its split and with the datasets `against` it must share nothing. Of all others a note says
    what they share, where they were not derived from the same datasets. `prints` are those of its episodes. Raises
    ArtifactNotFound where a dataset of `against` is not there, DamagedArtifact where one that is read is damaged.
    """
    where, there = _name(dataset), _others(dataset, workspace)
    own = dataset.manifest.version
    named = {name: workspace.dataset(dataset.domain, dataset.task, name) for name in against if name != own}
    apart = [Other.of(each, "which was named to be compared") for each in named.values()]
    sides = [
        each
        for name, each in there.items()
        if name not in named and _of_one_split(dataset, each, {**there, own: dataset})
    ]
    apart += [Other.of(each, "another part of its split") for each in sides]
    yield from leaks(where, prints, apart)
    known = {*named, *(each.manifest.version for each in sides)}
    yield from shared(where, prints, [each for name, each in there.items() if name not in known], dataset)


def leaks(where: str, prints: Prints, others: Iterable[Other]) -> Iterator[Finding]:
    """What a dataset shares with each of those that it must share nothing with.

    The same episode is an error, and so is the same trajectory with the same seed or with an unknown one: it is the
    same recording, perhaps from another file. The same trajectory under two known seeds is what a simulator repeats by
    itself: a warning. Two different episodes that start from one seed are a note.
    """
    for other in others:
        yield from _leaks(where, prints, other)


def shared(where: str, prints: Prints, others: Iterable[Artifact], dataset: Artifact) -> Iterator[Finding]:
    """A note on each dataset that holds episodes of this one although both hold their episodes themselves.

    Derived datasets hold those of others by design.
    """
    if dataset.is_derived:
        return
    for other in others:
        if other.is_derived:
            continue
        listed = EpisodeDataset(other.path, other.manifest.parts)  # its digests alone are read: nothing is verified
        found = both(prints.digests, listed.per_episode("digest"))
        if len(found):
            yield Finding(
                "shared_episodes",
                "note",
                where,
                len(found),
                f"{how_many(len(found), 'episodes')} of {len(prints.seeds):,} {_are(found)} in {_name(other)}, too.",
                "Do not train on one of these datasets and test on the other.",
                examples=_named(found),
                numbers=(("share", len(found) / len(prints.seeds)),),
            )


def _leaks(where: str, prints: Prints, other: Other) -> Iterator[Finding]:
    copies = both(prints.digests, other.prints.digests)
    if len(copies):
        yield _leaked("leaked_episodes", "error", where, prints, other, copies, "to the last bit")
    alike = _without(both(prints.trajectories, other.prints.trajectories), copies)
    ours, theirs = prints.seeds[alike[:, 0]], other.prints.seeds[alike[:, 1]]
    one = (ours == theirs) | (ours == UNKNOWN) | (theirs == UNKNOWN)
    if one.any():
        how = "the same actions and observations, whatever else differs"
        yield _leaked("leaked_trajectories", "error", where, prints, other, alike[one], how)
    if not one.all():
        how = "the same actions and observations under another seed"
        yield _leaked("repeated_across", "warning", where, prints, other, alike[~one], how)
    starts = _without(_same_seeds(prints.seeds, other.prints.seeds), np.concatenate([copies, alike]))
    if len(starts):
        yield _starts(where, prints, other, starts)


def _leaked(
    name: str, severity: Severity, where: str, prints: Prints, other: Other, found: Int64[np.ndarray, "k 2"], how: str
) -> Finding:
    total = len(prints.seeds)
    return Finding(
        name,
        severity,
        where,
        len(found),
        f"{how_many(len(found), 'episodes')} of {total:,} {_are(found)} in {other.name}, too, {other.why}: {how}.",
        "What is trained on one of them has seen what it is tested on: every result looks better than it is.",
        examples=_named(found),
        numbers=(("share", len(found) / total),),
    )


def _starts(where: str, prints: Prints, other: Other, found: Int64[np.ndarray, "k 2"]) -> Finding:
    return Finding(
        "shared_seeds",
        "note",
        where,
        len(found),
        f"{how_many(len(found), 'episodes')} of {len(prints.seeds):,} {_start(found)} a seed of {other.name}, "
        f"{other.why}, and {'goes' if len(found) == 1 else 'go'} on otherwise.",
        "A policy that is tested from starts on which it was trained is not tested on new ones.",
        examples=_named(found),
        numbers=(("share", len(found) / len(prints.seeds)),),
    )


def _same_seeds(ours: Int64[np.ndarray, " n"], theirs: Int64[np.ndarray, " m"]) -> Int64[np.ndarray, "k 2"]:
    pairs = both(ours[:, None], theirs[:, None])
    return pairs[ours[pairs[:, 0]] != UNKNOWN]


def _without(pairs: Int64[np.ndarray, "k 2"], known: Int64[np.ndarray, "m 2"]) -> Int64[np.ndarray, "l 2"]:
    """Those whose episode of ours is not among the known ones."""
    return pairs[~np.isin(pairs[:, 0], known[:, 0])]


def _named(found: Int64[np.ndarray, "k 2"]) -> tuple[str, ...]:
    return tuple(f"episode {ours} is episode {theirs} there" for ours, theirs in found[:SHOWN].tolist())


def _are(found: Int64[np.ndarray, "k 2"]) -> str:
    return "is" if len(found) == 1 else "are"


def _start(found: Int64[np.ndarray, "k 2"]) -> str:
    return "starts from" if len(found) == 1 else "start from"


def _of_one_split(one: Artifact, other: Artifact, there: Mapping[str, Artifact]) -> bool:
    """Whether two datasets are, or were derived from, different parts of one split; `there` are those of the task.

    For datasets that stage=split did not make, their names say so.
    """
    ours, theirs = _parts(one, there), _parts(other, there)
    if ours and theirs:
        return any(not ours[cut] & theirs[cut] for cut in ours.keys() & theirs.keys())
    base = _base(one.manifest.version)
    return bool(base) and base == _base(other.manifest.version)


def _parts(dataset: Artifact, there: Mapping[str, Artifact]) -> dict[str, set[str]]:
    """Which parts of which splits the episodes of a dataset come from."""
    found: dict[str, set[str]] = defaultdict(set)
    if isinstance(split := dataset.manifest.parameters.get(SPLIT), Mapping):
        found[canonical({key: value for key, value in split.items() if key != PART})].add(str(split.get(PART)))
    for parent in dataset.parents:
        if parent.version in there:
            for cut, parts in _parts(there[parent.version], there).items():
                found[cut] |= parts
    return found


def _base(name: str) -> str:
    """`x` of `x-train`; empty where a name ends in no side."""
    base, _, side = name.rpartition("-")
    return base if side in SIDES else ""


def _others(dataset: Artifact, workspace: Workspace) -> dict[str, Artifact]:
    """The other datasets of its task, by name; each once, in whichever storage."""
    there = workspace.of_kind(dataset.domain, dataset.task, EPISODES)
    return {each.manifest.version: each for each in there if each.manifest.version != dataset.manifest.version}


def _name(dataset: Artifact) -> str:
    return f"{dataset.manifest.task}/{dataset.manifest.version}"
