"""Blocks of made-up episodes for tests of single checks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pipeline.artifacts.artifact import Artifact
from pipeline.dataset.parts import pack
from pipeline.dataset.workspace import Workspace
from pipeline.doctor.block import Check, EpisodeBlock, Subject
from pipeline.doctor.findings import Finding
from pipeline.episode import Episode
from pipeline.sources.contract import Source
from stages import ingest
from tests.conftest import toy_domain

WHERE = "toy/corner/scripted-v1"
SUBJECT = Subject(WHERE)


def blocks_of_some(episodes: Sequence[Episode], each: int = 7) -> list[EpisodeBlock]:
    """The episodes in blocks of a few."""
    starts = range(0, len(episodes), each)
    return [EpisodeBlock(start, number, pack(episodes[start : start + each])) for number, start in enumerate(starts)]


def found_by(check: Check, episodes: Sequence[Episode], each: int = 7) -> dict[str, Finding]:
    """What a check finds in episodes, by name."""
    for block in blocks_of_some(episodes, each):
        check.see(block)
    return {finding.name: finding for finding in check.findings()}


class GivenEpisodes(Source):
    """A foreign log that holds some episodes."""

    name = "given"

    def __init__(self, episodes: Sequence[Episode]) -> None:
        self._episodes = episodes

    def identity(self, domain: str, task: str) -> Mapping[str, Any]:
        return {"source": self.name}

    def episodes(self, domain: str, task: str, start: int = 0) -> Iterator[Episode]:
        return iter(self._episodes[start:])

    def count(self, domain: str, task: str) -> int:
        return len(self._episodes)


def stored(workspace: Workspace, dataset: str, episodes: Sequence[Episode], task: str = "corner") -> Artifact:
    """The episodes as a dataset of the toy domain."""
    made = ingest.run(
        domain=toy_domain(),
        task=task,
        source=GivenEpisodes(episodes),
        workspace=workspace,
        dataset=dataset,
        episodes=None,
        states=None,
        force=False,
    )
    assert made is not None
    return made
