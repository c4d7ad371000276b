"""What is wrong with the episodes of a dataset: content against digests, and what the manifest says of them."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from pipeline.artifacts.artifact import PARTS, WHOLE_SOURCE, Artifact
from pipeline.artifacts.derived import referred_to
from pipeline.dataset.parts import ENDS, facts_in
from pipeline.dataset.reader import EpisodeDataset
from pipeline.dataset.references import references_of, summary_of_chosen
from pipeline.dataset.summary import described, summarise
from pipeline.storage.choice import open_arrays


def wrong_episodes(artifact: Artifact) -> Iterator[str]:
    """Parts and episodes that are not what the manifest says, and episodes whose content does not give their digest.

    Episodes that a derived dataset refers to are those that it says, or opening it fails; they are checked where they
    lie.
    """
    if artifact.is_derived:
        EpisodeDataset.of(artifact)  # raises where an episode is not the one that it refers to
        parents = [EpisodeDataset.of(each) for each in referred_to(artifact)]
        found = described([summary_of_chosen(parents, references_of(artifact))])
        listed = {each["name"] for each in artifact.manifest.arrays}
        found["arrays"] = [each for each in found["arrays"] if each["name"] in listed]  # parents that grow may get more
        yield from _other_summary(artifact, found)
        return
    wrong = list(_wrong_parts(artifact))
    yield from wrong
    if wrong:
        return  # where an episode begins is not known
    dataset = EpisodeDataset(artifact.path, artifact.manifest.parts)
    digests, returns = dataset.per_episode("digest"), dataset.per_episode("return")
    for number, episode in enumerate(dataset):
        if episode.digest() != digests[number].tobytes():
            yield f"episode {number} does not match its digest"
        if episode.total_reward != returns[number]:
            yield f"episode {number} has return {episode.total_reward}, stored is {returns[number]}"
    yield from _other_summary(artifact, summarise(artifact.path, artifact.manifest.parts))


def _wrong_parts(artifact: Artifact) -> Iterator[str]:
    if not artifact.manifest.parts:
        yield "the manifest lists no parts"
    for part in artifact.manifest.parts:
        folder = artifact.path / PARTS / part.name
        ends = open_arrays(folder)[ENDS][:]
        states = int(ends[-1]) - len(ends) if len(ends) else 0
        if (len(ends), states) != (part.episodes, part.states) or (np.diff(ends, prepend=0) < 1).any():
            listed = f"{part.episodes} of {part.states}"
            yield f"part {part.name} has {len(ends)} episodes of {states} states, the manifest lists {listed}"
        if facts_in(folder) != part.facts:
            yield f"part {part.name} has other facts than the manifest lists"


def _other_summary(artifact: Artifact, found: Mapping[str, Any]) -> Iterator[str]:
    """What a manifest says of all episodes, against what they are."""
    manifest = artifact.manifest
    if found["digest"] != manifest.digest:
        yield "the episodes' digests do not give the manifest's digest"
    if found["arrays"] != manifest.arrays:
        yield "the step arrays have other names, shapes or dtypes than the manifest lists"
    counts = {name: count for name, count in manifest.counts.items() if name != WHOLE_SOURCE}
    yield from _other_numbers("counts", counts, found["counts"])
    yield from _other_numbers("return", manifest.return_, found["return_"])


def _other_numbers(key: str, listed: Mapping[str, Any], found: Mapping[str, Any]) -> Iterator[str]:
    for name in sorted(listed.keys() | found.keys()):
        both = name in listed and name in found
        if not both or not math.isclose(listed[name], found[name], rel_tol=1e-12):  # another numpy rounds otherwise
            there, here = listed.get(name, "nothing"), found.get(name, "nothing")
            yield f"{key}.{name} is {there} in the manifest, {here} in the episodes"
