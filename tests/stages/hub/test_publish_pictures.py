"""Image-text data on a hub: the file of all tasks, or the folders, with a card that has no way in."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import yaml

from pipeline.artifacts.exported import place_in
from pipeline.dataset.workspace import Workspace
from pipeline.formats.image_text.frames import FramesFormat
from pipeline.formats.image_text.interleaved import InterleavedFormat
from pipeline.formats.image_text.simple import SimpleFormat
from pipeline.hub.connection import Hub
from pipeline.machine.files import files_below
from pipeline.regent.recipe import Recipe
from stages import publish
from tests.conftest import toy_domain
from tests.contracts.one_way import written
from tests.stages.hub.conftest import REPO


@pytest.fixture
def store(drawn: Path, tmp_path: Path) -> Workspace:
    shutil.copytree(drawn, tmp_path / "outputs")
    return Workspace(str(tmp_path / "outputs"))


def published(store: Workspace, server, form, task: str | None = None, episodes: int | None = None) -> None:
    hub = Hub(repo_id=REPO, endpoint=server.url)
    recipe = Recipe(toy_domain(), task, "scripted-v1", episodes)
    publish.run(recipe=recipe, workspace=store, hub=hub, force=False, format=form)


def test_parquet_files_lie_at_the_top_and_the_card_names_each_of_them(store, server):
    places = [place_in(written(form, store)) for form in (InterleavedFormat(), SimpleFormat())]
    for form in (InterleavedFormat(), SimpleFormat()):
        published(store, server, form)
    for place in places:
        assert server.content(REPO, place.name) == place.read_bytes()
    head, body = server.content(REPO, "README.md").decode().removeprefix("---\n").split("---\n", 1)
    assert yaml.safe_load(head)["configs"] == [
        {"config_name": place.stem, "data_files": place.name} for place in places
    ]
    assert "in the form of interleaved" in body
    assert "in the form of simple" in body
    assert "stage=ingest" not in body
    assert "hf download" in body


def test_folders_of_pictures_lie_as_they_are(store, server):
    place = place_in(written(FramesFormat(), store, task=["corner"], episodes=1))
    published(store, server, FramesFormat(), "corner", 1)
    there = {path.relative_to(place).as_posix(): path for path in files_below(place)}
    assert set(server.files(REPO)) == {".gitattributes", "README.md", *there}
    name = "toy_corner/episode_000_rand0.25/frame_000000.png"
    assert server.content(REPO, name) == there[name].read_bytes()
