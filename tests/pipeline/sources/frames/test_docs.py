"""The page of this source: its tree comes in by the real stage, and its code reads what came."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.dataset.workspace import Workspace
from tests.matrix import ROOT
from tests.pipeline.sources.frames.test_exports import taken_in
from tests.test_docs_formats import blocks


def test_the_code_of_the_page_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture):
    monkeypatch.chdir(tmp_path)
    write, read = blocks(ROOT / "docs" / "sources" / "frames.md")
    known = {"path": tmp_path / "tree"}
    exec(compile(write, "frames.md", "exec"), dict(known))
    taken_in(tmp_path / "tree", Workspace("outputs"), "alien")
    exec(compile(read, "frames.md", "exec"), dict(known))
    assert "episode_000_rand0.2 8: DOWNRIGHT" in capsys.readouterr().out
