"""Exports on a hub: as they lie, with a card and tags, sent once, and required to be there before."""

from __future__ import annotations

import json
import socket
from pathlib import Path

import numpy as np
import pytest
import yaml

from pipeline.artifacts.exported import place_in
from pipeline.dataset.workspace import Workspace
from pipeline.errors import ArtifactNotFound, Unreachable
from pipeline.formats.contract import Format
from pipeline.formats.image_text.bagel import BagelFormat
from pipeline.formats.kabuki import KabukiFormat
from pipeline.hub import upload
from pipeline.hub.connection import Hub
from pipeline.regent.recipe import Recipe
from stages import gc, publish, verify
from tests.conftest import made_episode, toy_domain
from tests.contracts.format import Listed, exported, ingested
from tests.pictures import drawn_dataset
from tests.pipeline.formats.test_checks import JoinedFormat
from tests.pipeline.formats.test_contract import ArraysFormat
from tests.stages.hub.conftest import REPO

FILES = ["0.npz", "1.npz", "2.npz", "provenance.json"]


class WithCard(JoinedFormat):
    """Brings its own card, and wants a tag."""

    name, tags = "carded", ("v3.0",)
    viewer = "https://show.me/?path={repo}"

    def write(self, data, folder: Path) -> None:
        super().write(data, folder)
        (folder / "all" / "README.md").write_text("---\nlicense: mit\ntags:\n- LeRobot\n---\n# Robots\n")


@pytest.fixture
def store(tmp_path: Path) -> Workspace:
    store = Workspace(str(tmp_path / "store"))
    rng = np.random.default_rng(3)
    for task in ("corner", "maze"):
        ingested(Listed([made_episode(rng, 2 + number) for number in range(3)]), store, task=task)
    return store


def published(store, server, format: Format, task=None, force=False, **settings):
    """Publish exports through the real stage."""
    hub = Hub(**({"repo_id": REPO, "endpoint": server.url} | settings))
    recipe = Recipe(toy_domain(), task, "listed-v1")
    return publish.run(recipe=recipe, workspace=store, hub=hub, force=force, format=format)


def card(server):
    head, body = server.content(REPO, "README.md").decode().removeprefix("---\n").split("---\n", 1)
    return yaml.safe_load(head), body


def test_each_task_lies_at_its_place_and_the_card_tells_of_all(store, server):
    exports = {task: exported(ArraysFormat(), store, task=task) for task in ("corner", "maze")}
    artifact = published(store, server, ArraysFormat())
    expected = {f"{task}/{name}" for task in exports for name in FILES}
    assert set(server.files(REPO)) == {".gitattributes", "README.md", *expected}
    for path in expected:
        task, name = path.split("/")
        assert server.content(REPO, path) == (place_in(exports[task]) / name).read_bytes()
    head, body = card(server)
    assert head["tags"] == ["offline-rl", "arrays", "toy"]
    assert "## toy: corner" in body
    assert "## toy: maze" in body
    assert "| dataset | listed-v1, digest" in body
    assert "| lost on the way | nothing |" in body
    assert "python run.py stage=ingest domain=toy task=maze source=arrays source.path=toy-data/maze" in body
    assert str(store.root) not in body
    assert [parent["kind"] for parent in artifact.manifest.parents] == ["export", "export"]
    assert artifact.manifest.counts["states"] == 18
    assert json.loads((artifact.path / "publish.json").read_text())["commit"] == server.repo(REPO).branches["main"]
    verify.run(domain=None, only=None, workspace=store, audit=None, workers=1)
    gc.run(domain=None, only=None, workspace=store, delete=True)
    assert artifact.path.exists()


def test_a_second_publish_sends_nothing_and_what_was_written_on_the_hub_stays(store, server):
    exported(ArraysFormat(), store)
    published(store, server, ArraysFormat(), "corner")
    before = server.content(REPO, "README.md").decode()
    assert not published(store, server, ArraysFormat(), "corner").built
    edited = before.replace("tags:", "license: mit\ntags:").replace("## toy: corner", "## changed") + "Mine.\n"
    server.put(REPO, {"README.md": edited.encode(), "corner/9.npz": b"of an older export", "own/0.npz": b"mine"})
    exported(ArraysFormat(), store, task="maze")
    published(store, server, ArraysFormat())
    head, body = card(server)
    assert head["license"] == "mit"
    assert "Mine." in body
    assert "## toy: corner" in body
    assert body.count("<!-- repertoire: begin") == 2
    assert "corner/9.npz" not in server.files(REPO)
    assert "own/0.npz" in server.files(REPO)


def test_several_tasks_in_one_lie_at_the_top_with_the_card_and_the_tags_of_the_form(store, server):
    exported(WithCard(), store, task=["corner", "maze"])
    published(store, server, WithCard())
    assert {path for path in server.files(REPO) if path.startswith("maze/")} == {f"maze/{name}" for name in FILES}
    head, body = card(server)
    assert head["license"] == "mit"
    assert head["tags"] == ["LeRobot"]
    assert "# Robots" in body
    assert f"](https://show.me/?path={REPO})" in body
    first = server.repo(REPO).tags["v3.0"]
    assert first == server.repo(REPO).branches["main"]
    mine = server.content(REPO, "README.md").replace(b"license: mit", b"license: cc-by-4.0").replace(b"# Robots", b"")
    server.put(REPO, {"README.md": mine})
    published(store, server, WithCard(), force=True)
    head, body = card(server)
    assert head["license"] == "cc-by-4.0"
    assert "# Robots" in body
    assert server.repo(REPO).tags["v3.0"] == server.repo(REPO).branches["main"] != first


def test_rows_for_trainers_lie_there_with_the_features_of_their_pictures(tmp_path, server):
    workspace, form = drawn_dataset(tmp_path / "drawn", [3, 4]), BagelFormat()
    exported(form, workspace)
    published(workspace, server, form, ["corner"])
    assert set(server.files(REPO)) == {".gitattributes", "README.md", "data/part-00000.parquet", "provenance.json"}
    head, body = card(server)
    assert head["configs"][0]["data_files"] == [{"split": "train", "path": "data/*.parquet"}]
    assert head["dataset_info"]["features"][:2] == [
        {"name": "image_list", "sequence": "image"},
        {"name": "instruction_list", "sequence": {"sequence": "string"}},
    ]
    assert "load_dataset" in body


def test_two_forms_of_a_task_are_told_apart_in_one_repository(store, server):
    for form in (ArraysFormat(), KabukiFormat()):
        exported(form, store)
        published(store, server, form, "corner")
    assert {"corner.hdf5", "corner/0.npz"} < set(server.files(REPO))
    head, body = card(server)
    assert head["tags"] == ["offline-rl", "arrays", "toy", "kabuki"]
    assert "source=kabuki source.path=toy-data/corner.hdf5" in body
    assert "source=arrays source.path=toy-data/corner" in body


def test_an_export_that_was_not_made_is_asked_for_with_its_command(store, server):
    with pytest.raises(ArtifactNotFound, match=r"no export of toy/corner") as caught:
        published(store, server, ArraysFormat(), "corner")
    assert caught.value.command.words()[:3] == ["stage=export", "domain=toy", "task=corner"]
    with pytest.raises(ArtifactNotFound, match=r"no export of toy for these") as caught:
        published(store, server, JoinedFormat())
    assert caught.value.command.words()[:3] == ["stage=export", "domain=toy", "dataset=listed-v1"]
    assert ("dataset", REPO) not in server.repos


def test_tasks_in_another_order_are_told_with_those_of_the_export_that_is_there(store, server):
    exported(JoinedFormat(), store, task=["maze", "corner"])
    exported(ArraysFormat(), store)
    exported(WithCard(), store, task=["corner", "maze"])
    message = r"these settings\. There are others of the form joined: task=\[maze,corner\]\.\n(?s:.*)"
    with pytest.raises(ArtifactNotFound, match=rf"{message}order: 'task=\[maze,corner\]'"):
        published(store, server, JoinedFormat(), dry_run=True)
    published(store, server, JoinedFormat(), ["maze", "corner"], dry_run=True)


def test_a_dry_run_shows_what_would_be_sent(store, server, capsys):
    exported(ArraysFormat(), store)
    assert published(store, server, ArraysFormat(), "corner", dry_run=True) is None
    assert "toy-corner" in capsys.readouterr().out
    assert ("dataset", REPO) not in server.repos


def test_a_dry_run_without_a_network_says_so_at_once_and_shows_all_that_there_is_to_send(store, server, capsys, caplog):
    exported(ArraysFormat(), store)
    with socket.socket() as nobody:
        nobody.bind(("localhost", 0))
        address = f"http://localhost:{nobody.getsockname()[1]}"
        with pytest.raises(Unreachable, match=r"cannot be reached.* a dry run uploads nothing\."):
            published(store, server, ArraysFormat(), "corner", dry_run=True, endpoint=address)
    assert "toy-corner" in capsys.readouterr().out
    assert "the table is that of an empty repository" in caplog.text
    assert not [record for record in caplog.records if record.name == "pipeline.remote.retry"]


def test_many_files_go_in_several_commits(store, server, monkeypatch):
    monkeypatch.setattr(upload, "AT_ONCE", 2)
    exported(ArraysFormat(), store)
    server.fail(r"POST .*/commit/", times=1)
    published(store, server, ArraysFormat(), "corner")
    messages = server.repo(REPO).messages
    assert messages[1:] == ["toy-corner-arrays: 2 files", "toy-corner-arrays: 2 files"]
    assert {f"corner/{name}" for name in FILES} < set(server.files(REPO))
