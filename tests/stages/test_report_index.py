"""The index over the pages of several tasks."""

from __future__ import annotations

import json
import re
import shutil
from html import unescape
from pathlib import Path

import pytest

from pipeline.dataset.workspace import Workspace
from pipeline.errors import InvalidInput
from stages import gc, report, report_index
from tests.conftest import collected
from tests.pages import DOMAIN, facts_of, figures_of, html_of, pictures_of, settings, text_of


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """Pages of two of the toy's three tasks."""
    workspace = Workspace(str(tmp_path_factory.mktemp("index")))
    for task in ("maze", "key"):
        collected(DOMAIN, workspace, task, episodes=3)
        report.run(**settings(workspace, task=task))
    return workspace


def test_each_task_has_its_figures_its_picture_and_a_link_that_leads_to_its_page(workspace: Workspace):
    index = report_index.run(**settings(workspace, task=["key", "maze"]))
    assert index is not None
    assert index.path.relative_to(workspace.root).parts[:3] == ("toy", "_all", "report")
    html = html_of(index)
    links = re.findall(r'<a href="([^"]+)">', html)
    assert len(links) == len(pictures_of(html)) == 2
    for link, entry in zip(links, figures_of(index)["tasks"], strict=True):
        linked = (index.path / "page" / link).resolve()
        assert linked.is_file()
        figures = json.loads((linked.parents[1] / "figures.json").read_text())
        assert facts_of(linked.read_text())["episodes"] == "3"
        assert {name: entry[name] for name in ("states", "mean_return", "digest")} == {
            name: figures[name] for name in ("states", "mean_return", "digest")
        }
    assert "key held out" in text_of(html)
    assert "1 task has no page of this dataset: corner." in text_of(html)
    assert str(workspace.root) not in unescape(html)


def test_a_second_run_finds_the_index_and_a_better_page_gives_another(workspace: Workspace, tmp_path: Path):
    everything = settings(workspace, task="all")
    first = report_index.run(**everything)
    assert first is not None
    again = report_index.run(**everything)
    assert again is not None
    assert (again.path, again.built) == (first.path, False)
    shutil.copytree(workspace.root, tmp_path / "artifacts")
    grown = Workspace(str(tmp_path))
    collected(DOMAIN, grown, "maze", episodes=4)
    report.run(**settings(grown))
    better = report_index.run(**settings(grown, task="all"))
    assert better is not None
    assert better.manifest.version != first.manifest.version
    assert better.manifest.counts["episodes"] == 7


def test_an_index_is_no_garbage_while_its_pages_are_there(
    workspace: Workspace, tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    report_index.run(**settings(workspace, task="all"))
    shutil.copytree(workspace.root, tmp_path / "artifacts")
    copy = Workspace(str(tmp_path))
    with caplog.at_level("INFO"):
        gc.run(domain=None, only=None, workspace=copy, delete=False)
    assert "nothing to remove" in caplog.text
    shutil.rmtree(copy.root / "toy" / "key" / "report")
    gc.run(domain=None, only=None, workspace=copy, delete=True)
    assert not list((copy.root / "toy" / "_all" / "report").glob("*"))


def test_one_task_needs_no_index(workspace: Workspace):
    assert report_index.run(**settings(workspace, task="maze")) is None
    assert report_index.run(**settings(workspace, task=["maze", "corner"])) is None


def test_without_any_page_the_error_names_the_command(workspace: Workspace):
    with pytest.raises(InvalidInput, match="python run.py stage=report domain=toy dataset=other-v1"):
        report_index.run(**settings(workspace, task="all", dataset="other-v1"))
