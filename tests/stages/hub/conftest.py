"""A workspace with two tasks in several shards, and a hub to put them on."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from huggingface_hub import constants

import pipeline.regent.parquet
from pipeline.dataset.workspace import Workspace
from pipeline.hub.connection import Hub
from pipeline.regent.chain import bins_name
from pipeline.regent.recipe import Recipe
from stages import fetch, publish
from tests import hub_server
from tests.conftest import collected, derived, toy_domain
from tests.hub_server import WRITER

ROOT = Path(__file__).parents[3]
REPO = "me/toy-data"
TASKS = ["corner", "key"]
"""The second is held out from training."""


@pytest.fixture(scope="session")
def prepared_tasks(tmp_path_factory):
    root = tmp_path_factory.mktemp("tasks")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pipeline.regent.parquet, "SHARD_BYTES", 4_000)
        for task in TASKS:
            collected(toy_domain(), Workspace(str(root)), task)
            derived(toy_domain(), Workspace(str(root)), task)
    return root


@pytest.fixture
def home(prepared_tasks, tmp_path):
    shutil.copytree(prepared_tasks, tmp_path / "home")
    return Workspace(str(tmp_path / "home"))


@pytest.fixture
def server(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", WRITER)
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "no-token"))
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    with hub_server.serving(tmp_path / "hub") as running:
        yield running
    assert running.unknown == []
    assert running.leaks == []


def published(home, server, only=None, force=False, **settings):
    """Publish through the real stage."""
    hub = Hub(**({"repo_id": REPO, "endpoint": server.url} | settings))
    recipe = Recipe(toy_domain(), only, "scripted-v1")
    return publish.run(recipe=recipe, workspace=home, hub=hub, force=force)


def fetched(server, folder, task="corner", force=False, **settings):
    """Fetch through the real stage, into a workspace of its own."""
    hub = Hub(**({"repo_id": REPO, "endpoint": server.url} | settings))
    return fetch.run(domain=toy_domain(), task=task, workspace=Workspace(str(folder)), hub=hub, force=force)


def bins_of(home, task="corner"):
    (bins,) = home.of_kind("toy", task, "bins")
    return bins


def content(bins):
    """Every file of a bins folder."""
    return {path.name: path.read_bytes() for path in (bins.path / bins_name(bins)).iterdir()}


def shapes(bins):
    return json.loads(content(bins)["shapes.json"])


def description(server, task="corner"):
    return json.loads(server.content(REPO, f"regent/toy-{task}/published.json"))


def environment(server, tmp_path, token=WRITER):
    """Of a process that knows no hub but this one."""
    here = {"HF_ENDPOINT": server.url, "HF_HOME": str(tmp_path / "hf"), "HF_HUB_DISABLE_XET": "1"}
    kept = {name: value for name, value in os.environ.items() if name != "HF_TOKEN"}
    return {**kept, **here, "PYTHONPATH": str(ROOT), **({"HF_TOKEN": token} if token else {})}


def python(words, server, tmp_path, status=0, token=WRITER):
    """Run Python in a process of its own; its output."""
    done = subprocess.run(
        [sys.executable, *words],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env=environment(server, tmp_path, token),
        check=False,
    )
    assert done.returncode == status, f"{done.returncode}\n{done.stdout}\n{done.stderr}"
    return done.stdout + done.stderr


def publish_command(home):
    """run.py for the workspace of these tests."""
    small = ("domain.regent.row_width=8", "domain.regent.states=150", f"paths.root={home.root.parent}")
    return [str(ROOT / "run.py"), "stage=publish", "domain=toy", f"hub.repo_id={REPO}", *small]


def assert_nowhere(token, folder):
    for path in folder.rglob("*"):
        assert not (path.is_file() and token.encode() in path.read_bytes()), path
