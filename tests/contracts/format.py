"""What every Format must keep; a subclass named Test... gives `format` and inherits the checks."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any, ClassVar

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline.artifacts.artifact import Artifact
from pipeline.artifacts.exported import place_in
from pipeline.dataset.reader import EpisodeDataset
from pipeline.dataset.workspace import Workspace
from pipeline.digest import combine
from pipeline.domains.domain import Domain, Regent
from pipeline.episode import Episode
from pipeline.errors import InvalidInput
from pipeline.formats.absent import FinalObservation, filled
from pipeline.formats.aspects import Aspect, differing, lost_words
from pipeline.formats.contract import CannotHold, Format, Outgoing
from pipeline.formats.exports import export_of
from pipeline.formats.provenance import provenance
from pipeline.sources.absent import unfilled
from pipeline.sources.contract import Source
from stages import export, ingest
from tests.conftest import made_episode
from tests.episodes import Kinds, datasets

DOMAIN = Domain("toy", None, 5, dict, ["corner", "maze"], Regent(32, 5, 20, 100))


class Listed(Source):
    """Episodes that are in memory."""

    name = "listed"

    def __init__(self, episodes: Sequence[Episode]) -> None:
        self.listed = episodes

    def identity(self, domain: str, task: str) -> Mapping[str, Any]:
        return {"source": self.name, "episodes": [episode.digest().hex() for episode in self.listed]}

    def episodes(self, domain: str, task: str, start: int = 0) -> Iterator[Episode]:
        return iter(self.listed[start:])


def ingested(source: Source, workspace: Workspace, dataset: str = "listed-v1", task: str = "corner") -> Artifact:
    """What a source holds, as a dataset, by the real stage."""
    artifact = ingest.run(
        domain=DOMAIN, task=task, source=source, workspace=workspace, dataset=dataset, episodes=None, states=None,
        force=False,
    )  # fmt: skip
    assert artifact is not None
    return artifact


UNSET: dict[str, Any] = {
    "episodes": None,
    "out": None,
    "strict": False,
    "final_observation": None,
    "link": False,
    "force": False,
}
"""Settings of an export that nobody has set."""


def exported(format: Format, workspace: Workspace, **settings: Any) -> Artifact:
    """A dataset in a form, by the real stage."""
    of = {"task": ["corner"] if format.joins else "corner", "dataset": "listed-v1"}
    return export.run(domain=DOMAIN, workspace=workspace, format=format, **(UNSET | of | settings))


def place_of(artifact: Artifact) -> Path:
    """What the form wrote."""
    return place_in(artifact)


class FormatContract:
    """Inherit and give `format`.

    Attributes:
        kinds: what made-up datasets may have, where the form cannot hold everything at all.
        resumes: files that were finished before a kill are not written again.
    """

    kinds: ClassVar[Kinds] = Kinds()
    resumes: ClassVar[bool] = False

    def format(self) -> Format:
        """The form with its default settings."""
        raise NotImplementedError

    @pytest.fixture
    def workspace(self, tmp_path: Path) -> Workspace:
        """A store with twelve episodes of `toy/corner`."""
        workspace = Workspace(str(tmp_path / "outputs"))
        rng = np.random.default_rng(5)
        ingested(Listed([self.plain(rng, 1 + number % 4, seed=number) for number in range(12)]), workspace)
        return workspace

    def plain(self, rng: np.random.Generator, length: int, **facts: Any) -> Episode:
        """An episode that the form can hold."""
        return made_episode(rng, length, truncated=True, end_reason="time_limit", **facts)

    def back(self, artifact: Artifact) -> list[Episode]:
        """The episodes of an export, by its door."""
        return list(self.format().source(place_of(artifact)).episodes("toy", "corner"))

    def expected(self, artifact: Artifact, rule: FinalObservation | None = None) -> list[Episode]:
        """The episodes of a dataset, without what the form loses."""
        dataset = EpisodeDataset.of(artifact)
        outgoing = Outgoing(artifact.domain, artifact.task, dataset, provenance(artifact, dataset, {}))
        held = self.format().held(outgoing)
        return [unfilled(held(filled(episode, rule))) for episode in dataset]

    def outgoing(self, workspace: Workspace, dataset: str = "listed-v1") -> Outgoing:
        """What the stage hands the form."""
        return export_of(DOMAIN, ["corner"], workspace, (dataset, None), self.format(), None).data[0]

    def test_it_fulfils_the_protocol(self):
        assert isinstance(self.format(), Format)

    def test_its_identity_is_json(self):
        identity = dict(self.format().identity())
        assert json.loads(json.dumps(identity)) == identity
        assert identity["version"] >= 1

    def test_its_identity_makes_it_again(self):
        identity = dict(self.format().identity())
        assert type(self.format()).of_identity({"format": "name", "tasks": [], **identity}).identity() == identity

    @settings(max_examples=12, suppress_health_check=list(HealthCheck))
    @given(data=st.data())
    def test_what_is_read_back_is_what_it_holds_and_only_what_was_declared_is_lost(
        self, data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
    ):
        workspace = Workspace(str(tmp_path_factory.mktemp("matrix")), "bin")
        listed = ingested(Listed(data.draw(datasets(self.kinds))), workspace)
        format = self.format()
        artifact = exported(format, workspace)
        back = self.back(artifact)
        assert [episode.digest() for episode in back] == [episode.digest() for episode in self.expected(listed)]
        lost = {aspect for pair in zip(EpisodeDataset.of(listed), back, strict=True) for aspect in differing(*pair)}
        assert sorted(lost_words(lost, format.becomes())) == sorted(artifact.manifest.facts["lost"])

    def test_an_export_is_ingested_as_what_it_holds(self, workspace: Workspace):
        again = ingested(self.format().source(place_of(exported(self.format(), workspace))), workspace, "again-v1")
        held = [episode.digest() for episode in self.expected(workspace.dataset("toy", "corner", "listed-v1"))]
        assert again.manifest.digest == combine(held)
        assert not _is_changed(again)

    def test_what_is_lost_is_told_and_refused_with_strict(self, workspace: Workspace):
        lost = exported(self.format(), workspace).manifest.facts["lost"]
        assert not [each for each in lost if each.endswith(": changed")]  # it says into what
        if lost:
            with pytest.raises(CannotHold, match=re.escape(lost[0].partition(":")[0])):
                exported(self.format(), workspace, strict=True)
        else:
            assert not exported(self.format(), workspace, strict=True).built

    def test_reading_starts_at_any_episode(self, workspace: Workspace):
        place = place_of(exported(self.format(), workspace))
        every = [episode.digest() for episode in self.format().source(place).episodes("toy", "corner")]
        assert len(every) == 12
        for start in (1, 7, 11, 12):
            episodes = self.format().source(place).episodes("toy", "corner", start)
            assert [episode.digest() for episode in episodes] == every[start:]

    def test_the_count_is_how_many_there_are(self, workspace: Workspace):
        assert self.format().source(place_of(exported(self.format(), workspace))).count("toy", "corner") in (None, 12)

    def test_an_export_says_where_its_episodes_came_from(self, workspace: Workspace):
        artifact = exported(self.format(), workspace)
        identity = self.format().source(place_of(artifact)).identity("toy", "corner")
        (made_of,) = identity["made_from"] if self.format().joins else [identity["made_from"]]
        dataset = workspace.dataset("toy", "corner", "listed-v1")
        assert made_of["digest"] == dataset.manifest.digest
        assert made_of["parameters"]["source"]["source"] == "listed"

    def test_an_export_whose_episodes_are_no_longer_those_is_told_where_it_comes_in(
        self, workspace: Workspace, tmp_path: Path
    ):
        rng = np.random.default_rng(6)
        ingested(Listed([self.plain(rng, 3) for _ in range(12)]), workspace, "other-v1")
        mine, other = self.outgoing(workspace), self.outgoing(workspace, "other-v1")
        assert other.held is not None
        other.held.digest()
        self.format().write([replace(mine, held=other.held)], tmp_path)
        source = self.format().source(tmp_path / self.format().place([mine]))
        part = ingest.run(
            domain=DOMAIN, task="corner", source=source, workspace=workspace, dataset="part-v1", episodes=5,
            states=None, force=False,
        )  # fmt: skip
        assert part is not None
        assert not _is_changed(part)  # some cannot be compared
        whole = ingested(source, workspace, "part-v1")
        (quirk,) = _is_changed(whole)
        assert "12 episodes are not the 12 of toy/corner/listed-v1" in quirk["sentence"]
        assert quirk["sentence"] in whole.manifest.warnings

    def test_its_place_stays_inside(self, workspace: Workspace):
        artifact = exported(self.format(), workspace)
        place = PurePosixPath(artifact.manifest.facts["place"])
        assert not place.is_absolute()
        assert ".." not in place.parts
        assert place_of(artifact).exists()
        assert place_of(artifact).is_file() == bool(self.format().suffixes)
        assert place.name.endswith(self.format().suffixes[:1] or "")

    def test_an_export_of_a_few_episodes_is_of_those_alone(self, workspace: Workspace):
        assert len(self.back(exported(self.format(), workspace, episodes=5))) == 5

    def test_a_killed_export_is_the_one_that_nobody_killed(self, workspace: Workspace, tmp_path: Path):
        for name in ("killed", "whole"):
            (tmp_path / name).mkdir()
        self.format().write([self.outgoing(workspace)], tmp_path / "whole")
        times: dict[Path, int] = {}
        for episodes in (2, 9):
            with pytest.raises(KeyboardInterrupt):
                self.format().write(
                    [replace(self.outgoing(workspace), advance=Interrupt(episodes))], tmp_path / "killed"
                )
            files = [path for path in (tmp_path / "killed").rglob("[!.]*") if path.is_file()]
            if self.resumes:
                assert files
                assert all(path.stat().st_mtime_ns == time for path, time in times.items())
            times = {path: path.stat().st_mtime_ns for path in files}
        self.format().write([self.outgoing(workspace)], tmp_path / "killed")
        assert contents_of(tmp_path / "killed") == contents_of(tmp_path / "whole")

    def test_a_last_observation_that_is_missing_is_asked_about_where_it_cannot_be_told(self, tmp_path: Path):
        format, workspace = self.format(), Workspace(str(tmp_path))
        rng = np.random.default_rng(1)
        episodes = []
        for number in range(3):
            episode = self.plain(rng, 3 + number)
            steps = {name: array.copy() for name, array in episode.steps.items()}
            for name in steps:
                if name.startswith("observation"):
                    steps[name][-1] = 0
            episodes.append(replace(episode, steps=steps, has_final_observation=number == 1))
        episodes[1] = self.plain(rng, 4)
        listed = ingested(Listed(episodes), workspace)
        if Aspect.FINAL_OBSERVATION not in format.holds or format.marks_absence:
            assert [e.digest() for e in self.back(exported(format, workspace))] == [
                e.digest() for e in self.expected(listed)
            ]
            return
        with pytest.raises(InvalidInput, match=r"(?s)2 episodes.*=drop.*=repeat.*=zero"):
            exported(format, workspace)
        for rule in (FinalObservation.ZERO, FinalObservation.REPEAT, FinalObservation.DROP):
            artifact = exported(format, workspace, final_observation=str(rule))
            assert [e.digest() for e in self.back(artifact)] == [e.digest() for e in self.expected(listed, rule)]
        assert not _is_changed(ingested(format.source(place_of(artifact)), workspace, "again-v1"))

    def test_an_export_is_laid_where_it_is_wanted_once(self, workspace: Workspace, tmp_path: Path):
        format = self.format()
        out = tmp_path / f"out{''.join(format.suffixes[:1])}"
        artifact = exported(format, workspace, out=str(out))
        place = out if format.suffixes else out / artifact.manifest.facts["place"]
        episodes = format.source(place).episodes("toy", "corner")
        assert [e.digest() for e in episodes] == [e.digest() for e in self.back(artifact)]
        assert not exported(format, workspace, out=str(out)).built
        with pytest.raises(InvalidInput, match=re.escape(str(place))):
            exported(format, workspace, out=str(out), episodes=3)

    def test_a_path_where_nothing_lies_is_named(self, tmp_path: Path):
        with pytest.raises(InvalidInput, match="nowhere"):
            self.format().source(tmp_path / "nowhere").identity("toy", "corner")


def _is_changed(artifact: Artifact) -> list[Mapping[str, Any]]:
    """The quirk that says that an export is not what it was."""
    return [quirk for quirk in artifact.manifest.quirks if quirk["name"] == "changed_since_export"]


class Interrupt:
    """Interrupts when so many episodes were handed out."""

    def __init__(self, episodes: int) -> None:
        self.left = episodes

    def __call__(self, count: int) -> None:
        self.left -= count
        if self.left <= 0:
            raise KeyboardInterrupt


def contents_of(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
