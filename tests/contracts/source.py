"""What every Source must keep; a subclass named Test... gives `write` and `source` and inherits the checks."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import ClassVar

import pytest

from pipeline.artifacts.artifact import Artifact
from pipeline.dataset.reader import EpisodeDataset
from pipeline.dataset.workspace import Workspace
from pipeline.domains.domain import Domain, Regent
from pipeline.errors import InvalidInput, PipelineError, UnknownName
from pipeline.keys import stays_inside
from pipeline.sources.contract import BulkSource, Source
from pipeline.sources.quirks import Quirk
from stages import ingest

LEFT_OUT = re.compile(r"left out|not (?:read|followed|looked at)\b|ignored")
"""What the sentences of quirks say of what was not taken over."""

Put = Callable[[Path, str], object]
"""Puts a name into the files of a folder."""


class ForeignDataContract:
    """What both kinds of source keep.

    Attributes:
        domain, task: what `write` writes.
        any_task: the files have no names of tasks in them, so that each name is taken.
    """

    domain = "toy"
    task = "corner"
    any_task = False

    def write(self, folder: Path) -> None:
        """Write a task of at least three episodes into an empty folder, by code that shares nothing with the reader."""
        raise NotImplementedError

    def source(self, folder: Path) -> Source | BulkSource:
        """A source that reads what lies in `folder`."""
        raise NotImplementedError

    @pytest.fixture
    def folder(self, tmp_path: Path) -> Path:
        (tmp_path / "data").mkdir()
        self.write(tmp_path / "data")
        return tmp_path / "data"

    def ingested(
        self, source: Source | BulkSource, outputs: Path, episodes: int | None = None, workers: int = 1
    ) -> Artifact:
        """The dataset that the real stage makes."""
        artifact = ingest.run(
            domain=Domain(self.domain, None, 5, dict, [self.task], Regent(32, 5, 20, 100)),
            task=self.task,
            source=source,
            workspace=Workspace(str(outputs), "bin"),
            dataset="foreign-v1",
            episodes=episodes,
            states=None,
            workers=workers,
            force=False,
        )
        assert artifact is not None
        return artifact

    def test_its_tasks_are_names_of_the_domain(self, folder: Path):
        tasks = self.source(folder).tasks(self.domain)
        if tasks is not None:
            assert self.task in tasks
            assert len(set(tasks)) == len(tasks)
            assert all(isinstance(task, str) for task in tasks)

    def test_its_tasks_are_told_without_looking_at_the_data(self, folder: Path):
        tasks = self.source(folder).tasks(self.domain)
        shutil.rmtree(folder)
        assert self.source(folder).tasks(self.domain) == tasks

    def test_the_identity_is_json_and_names_the_source(self, folder: Path):
        source = self.source(folder)
        identity = dict(source.identity(self.domain, self.task))
        assert identity["source"] == source.name
        assert json.loads(json.dumps(identity)) == identity

    def test_the_identity_is_the_same_after_reading_and_in_another_folder(self, folder: Path, tmp_path: Path):
        source = self.source(folder)
        before = json.dumps(source.identity(self.domain, self.task), sort_keys=True)
        assert str(tmp_path) not in before
        self.ingested(source, tmp_path / "outputs")
        assert json.dumps(source.identity(self.domain, self.task), sort_keys=True) == before
        folder.rename(tmp_path / "moved")
        assert json.dumps(self.source(tmp_path / "moved").identity(self.domain, self.task), sort_keys=True) == before

    def test_a_task_that_is_not_there_is_named(self, folder: Path):
        if self.any_task:
            source = self.source(folder)
            assert source.tasks(self.domain) is None
            assert source.identity(self.domain, f"{self.task}x") == source.identity(self.domain, self.task)
            return
        with pytest.raises(UnknownName, match=f"{self.task}x") as caught:
            self.source(folder).identity(self.domain, f"{self.task}x")
        assert re.search(rf"{self.task}\b(?!x)", str(caught.value)), "the nearest name is missing"

    def test_a_folder_that_is_not_there_is_named(self, tmp_path: Path):
        with pytest.raises(InvalidInput, match=str(tmp_path / "nowhere")):
            self.source(tmp_path / "nowhere").identity(self.domain, self.task)

    def test_the_dataset_grows_to_the_one_that_is_made_at_once(self, folder: Path, tmp_path: Path):
        whole = self.ingested(self.source(folder), tmp_path / "whole")
        for episodes in (1, 2, None):
            grown = self.ingested(self.source(folder), tmp_path / "grown", episodes)
        assert grown.manifest.digest == whole.manifest.digest
        assert len(EpisodeDataset.of(whole)) >= 3

    def test_quirks_are_reported_once_and_stand_in_the_manifest(self, folder: Path, tmp_path: Path):
        source = self.source(folder)
        manifest = self.ingested(source, tmp_path / "one").manifest
        quirks = list(source.quirks(self.domain, self.task))
        for quirk in quirks:
            assert isinstance(quirk, Quirk)
            assert re.fullmatch(r"[a-z][a-z0-9_]*", quirk.name)
            assert quirk.count >= 1
            assert quirk.sentence
            assert "{count}" not in quirk.sentence
            assert quirk.rule, f"{quirk.name} does not say what decided: quirks.count(..., rule=...)"
            assert len(quirk.rule) <= 60
            assert bool(quirk.dropped) == bool(quirk.unit)
            assert quirk.dropped >= 0
            if LEFT_OUT.search(quirk.sentence):
                assert quirk.dropped, f"{quirk.name} does not say how much was left out: dropped=..., unit=..."
        assert manifest.quirks == [asdict(quirk) for quirk in quirks]
        self.ingested(source, tmp_path / "two")
        assert list(source.quirks(self.domain, self.task)) == quirks


class SourceContract(ForeignDataContract):
    """Inherit and give `write` and `source`; `domain` and `task` where they are not the toy's."""

    def source(self, folder: Path) -> Source:
        raise NotImplementedError

    def digests(self, source: Source, start: int = 0) -> list[bytes]:
        return [episode.digest() for episode in source.episodes(self.domain, self.task, start)]

    def test_it_fulfils_the_protocol(self, folder: Path):
        assert isinstance(self.source(folder), Source)

    def test_a_second_reading_gives_the_same_episodes(self, folder: Path):
        source = self.source(folder)
        first = self.digests(source)
        assert len(first) >= 3
        assert self.digests(source) == first
        assert self.digests(self.source(folder)) == first

    def test_reading_starts_at_any_episode(self, folder: Path):
        source = self.source(folder)
        every = self.digests(source)
        for start in range(len(every) + 1):
            assert self.digests(source, start) == every[start:]

    def test_the_count_is_how_many_come(self, folder: Path):
        source = self.source(folder)
        assert source.count(self.domain, self.task) in (None, len(self.digests(source)))

    def test_reading_goes_on_where_it_was_interrupted(self, folder: Path):
        source = self.source(folder)
        every = self.digests(source)
        reading = source.episodes(self.domain, self.task)
        assert next(reading).digest() == every[0]
        del reading
        assert self.digests(source, 1) == every[1:]

    def test_there_are_no_quirks_before_reading(self, folder: Path):
        assert not list(self.source(folder).quirks(self.domain, self.task))


class NamingSourceContract(SourceContract):
    """Of a source whose files hold names that could become parts of paths.

    Attributes:
        files_named: of each place in the files that names a file of theirs, what puts another name there.
        arrays_named: the same of names of arrays, and of all else.
    """

    files_named: ClassVar[Mapping[str, Put]] = {}
    arrays_named: ClassVar[Mapping[str, Put]] = {}

    @pytest.mark.parametrize("name", ["..", "../outside/{}", "a/../../outside/{}", "{root}/outside/{}", "a\0b"])
    def test_no_name_in_the_files_leads_out_of_their_folder(self, folder: Path, tmp_path: Path, name: str):
        shutil.copytree(folder, tmp_path / "outside")  # what would be read there is whole
        present = sorted(tmp_path.rglob("*"))
        data = max(folder.rglob("*"), key=lambda path: path.stat().st_size * path.is_file()).relative_to(folder)
        name = name.replace("{root}", str(tmp_path)).replace("{}", str(data))
        for number, put in enumerate([*self.files_named.values(), *self.arrays_named.values()]):
            copy, outputs = tmp_path / "copy", tmp_path / "outputs"
            shutil.copytree(folder, copy)
            put(copy, name)
            try:
                artifact = self.ingested(self.source(copy), outputs)
            except PipelineError:
                pass
            else:
                assert number >= len(self.files_named), "a file of that name was read"
                assert all(map(stays_inside, EpisodeDataset.of(artifact).array_names()))
            shutil.rmtree(copy)
            shutil.rmtree(outputs, ignore_errors=True)
        assert sorted(tmp_path.rglob("*")) == present
