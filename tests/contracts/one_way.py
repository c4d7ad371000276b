"""What every Format without a door must keep; a subclass named Test... gives `format` and inherits the checks.

That of the others is `tests.contracts.format`.
"""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any, ClassVar

import pytest

from pipeline.artifacts.artifact import Artifact
from pipeline.artifacts.exported import place_in
from pipeline.dataset.workspace import Workspace
from pipeline.domains.domain import Domain
from pipeline.errors import ArtifactNotFound, InvalidInput
from pipeline.formats.checks import wrong_export
from pipeline.formats.contract import Format
from pipeline.formats.exports import export_of
from pipeline.frames.store import FRAMES
from stages import export
from tests.conftest import DRAWN, toy_domain
from tests.contracts.format import UNSET, Interrupt, contents_of


def written(format: Format, workspace: Workspace, domain: Domain | None = None, **settings: Any) -> Artifact:
    """The toy dataset in a form, by the real stage; both tasks where the form joins them."""
    of = {"task": DRAWN if format.joins else "corner", "dataset": "scripted-v1"}
    return export.run(domain=domain or toy_domain(), workspace=workspace, format=format, **(UNSET | of | settings))


class OneWayContract:
    """Inherit and give `format`.

    Attributes:
        resumes: files that were finished before a kill are not written again.
    """

    resumes: ClassVar[bool] = False

    def format(self) -> Format:
        """The form with its default settings."""
        raise NotImplementedError

    @pytest.fixture
    def workspace(self, drawn: Path, tmp_path: Path) -> Workspace:
        shutil.copytree(drawn, tmp_path / "outputs")
        return Workspace(str(tmp_path / "outputs"))

    def test_it_fulfils_the_protocol_and_has_no_door(self, tmp_path: Path):
        assert isinstance(self.format(), Format)
        assert self.format().source(tmp_path) is None

    def test_its_identity_is_json_and_makes_it_again(self):
        identity = dict(self.format().identity())
        assert json.loads(json.dumps(identity)) == identity
        assert identity["version"] >= 1
        assert type(self.format()).of_identity({"format": "name", "tasks": [], **identity}).identity() == identity

    def test_its_place_stays_inside(self, workspace: Workspace):
        artifact = written(self.format(), workspace)
        place = PurePosixPath(artifact.manifest.facts["place"])
        assert not place.is_absolute()
        assert ".." not in place.parts
        assert place_in(artifact).is_file() == bool(self.format().suffixes)
        assert place.name.endswith(self.format().suffixes[:1] or "")

    def test_nothing_is_wrong_with_what_it_wrote(self, workspace: Workspace):
        for settings in ({}, {"episodes": 2}):
            assert list(wrong_export(written(self.format(), workspace, **settings), workspace)) == []

    def test_a_killed_export_is_the_one_that_nobody_killed(self, workspace: Workspace, tmp_path: Path):
        names = DRAWN if self.format().joins else DRAWN[:1]
        data = export_of(toy_domain(), names, workspace, ("scripted-v1", None), self.format(), None).data
        for name in ("killed", "whole"):
            (tmp_path / name).mkdir()
        self.format().write(data, tmp_path / "whole")
        times: dict[Path, int] = {}
        for episodes in (1, 3):
            interrupt = Interrupt(episodes)
            with pytest.raises(KeyboardInterrupt):
                self.format().write([replace(each, advance=interrupt) for each in data], tmp_path / "killed")
            files = [path for path in (tmp_path / "killed").rglob("[!.]*") if path.is_file()]
            if self.resumes:
                assert files
                assert all(path.stat().st_mtime_ns == time for path, time in times.items())
            times = {path: path.stat().st_mtime_ns for path in files}
        self.format().write(data, tmp_path / "killed")
        assert contents_of(tmp_path / "killed") == contents_of(tmp_path / "whole")

    def test_an_export_is_laid_where_it_is_wanted_once(self, workspace: Workspace, tmp_path: Path):
        out = tmp_path / f"out{''.join(self.format().suffixes[:1])}"
        artifact = written(self.format(), workspace, out=str(out))
        place = out if self.format().suffixes else out / artifact.manifest.facts["place"]
        assert place.exists()
        assert not written(self.format(), workspace, out=str(out)).built
        with pytest.raises(InvalidInput, match=re.escape(str(place))):
            written(self.format(), workspace, out=str(out), episodes=3)

    def test_frames_that_are_missing_are_named_with_the_command_that_draws_them(self, drawn: Path, tmp_path: Path):
        shutil.copytree(drawn, tmp_path / "bare", ignore=shutil.ignore_patterns(FRAMES))
        workspace = Workspace(str(tmp_path / "bare"))
        if self.format().shows_frames:
            with pytest.raises(ArtifactNotFound, match=r"(?s)shows pictures.*stage=frames .*dataset=scripted-v1"):
                written(self.format(), workspace)
        else:
            assert written(self.format(), workspace).built
