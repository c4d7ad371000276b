"""Shared pieces: a toy domain, made episodes, a workspace in a temporary folder."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from hypothesis import settings

from pipeline.dataset.workspace import Workspace
from pipeline.domains.domain import Domain, Regent
from pipeline.envs.toy import Toy
from pipeline.episode import Episode, with_last_row
from pipeline.policies.scripted import Scripted
from pipeline.regent.recipe import Recipe
from pipeline.regent.settings import RetrievalSettings
from pipeline.remote import retry
from pipeline.storage.choice import storages
from stages import bins, collect, distances, parquet, retrieval
from tests.gcs_server import Gcs, serving
from tests.warm_shell import WarmShell

STORAGES = [storage.name for storage in storages()]

settings.register_profile("untimed", deadline=None)  # a busy machine is no failure
settings.load_profile("untimed")

os.environ.setdefault("SDL_NO_SIGNAL_HANDLERS", "1")  # once pygame has drawn, forked children would survive SIGTERM
os.environ.setdefault("PYTHONPATH", str(Path(__file__).parent.parent))  # spawned workers find the tests' own classes


def made_episode(rng: np.random.Generator, length: int, width: int = 3, **facts: object) -> Episode:
    """An episode of random numbers with the layout of a vector domain."""
    return Episode(
        steps={
            "observation": rng.normal(size=(length + 1, width)),
            "action": with_last_row("action", rng.normal(size=(length, 2)).astype(np.float32)),
            "reward": with_last_row("reward", rng.normal(size=length)),
            "discount": with_last_row("discount", np.ones(length)),
        },
        **facts,  # type: ignore[arg-type]
    )


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


@pytest.fixture
def toy() -> Domain:
    return toy_domain()


def toy_domain() -> Domain:
    """The toy domain with short rows, so that a few episodes exercise every rule."""
    return Domain(
        name="toy",
        max_steps=60,
        episodes=20,
        environment=partial(Toy, max_steps=60),
        tasks=["corner", "maze", "key"],
        regent=Regent(row_width=8, demos=5, neighbours=20, states=150),
        unseen=["key"],
        spellings=["toy-{task}"],
    )


@pytest.fixture(scope="session", params=STORAGES)
def prepared(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> tuple[Path, str]:
    """A workspace with a collected toy dataset and all that is derived from it; copied by each test that uses it."""
    root = tmp_path_factory.mktemp(f"prepared-{request.param}")
    place = Workspace(str(root), request.param)
    collected(toy_domain(), place)
    derived(toy_domain(), place)
    return root, request.param


@pytest.fixture
def made(prepared: tuple[Path, str], tmp_path: Path) -> tuple[Domain, Workspace]:
    """The toy domain and a private copy of the prepared workspace."""
    root, storage = prepared
    shutil.copytree(root, tmp_path / "made")
    return toy_domain(), Workspace(str(tmp_path / "made"), storage)


@pytest.fixture(params=STORAGES)
def workspace(tmp_path: Path, request: pytest.FixtureRequest) -> Workspace:
    return Workspace(str(tmp_path), request.param)


def collected(toy: Domain, workspace: Workspace, task: str = "corner", **settings: object):
    """A toy dataset through the real stage."""
    defaults = {
        "policy": Scripted,
        "dataset": "scripted-v1",
        "episodes": 20,
        "states": None,
        "frames": None,
        "render": False,
        "randomness": 0.0,
        "outputs": False,
        "seed": 0,
        "workers": 1,
        "force": False,
    }
    return collect.run(domain=toy, task=task, workspace=workspace, **(defaults | settings))


def derived(toy: Domain, workspace: Workspace, task: str = "corner", force: bool = False, **settings: object):
    """Retrieval, distances, bins and parquet of a collected toy dataset, by kind."""
    recipe = Recipe(toy, task, "scripted-v1", retrieval=RetrievalSettings(**settings))  # type: ignore[arg-type]
    return {
        stage.__name__.split(".")[-1]: stage.run(recipe=recipe, workspace=workspace, force=force)
        for stage in (retrieval, distances, bins, parquet)
    }


DRAWN = ["corner", "maze"]
"""Tasks of the store `drawn`."""


@pytest.fixture(scope="session")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with four episodes of two tasks of the toy domain, and their pictures. Copy it to write into it."""
    root = tmp_path_factory.mktemp("drawn")
    for task in DRAWN:
        collected(toy_domain(), Workspace(str(root)), task, episodes=4, render=True, randomness=0.25)
    return root


@pytest.fixture
def shell(filled: WarmShell, tmp_path: Path) -> WarmShell:
    """A private copy of a module's shell `filled`: no test sees what another has made."""
    return filled.beside_a_copy(tmp_path / "a b")


@pytest.fixture
def gcs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Gcs]:
    """The bucket `gs://BUCKET` on loopback. It fails a test that sends it credentials or a request it does not know."""
    monkeypatch.setattr(retry, "PAUSE_SECONDS", 0.001)
    (tmp_path / "bucket").mkdir()
    with serving(tmp_path / "bucket") as server:
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", server.url)
        yield server
        assert server.authorized == []
        assert server.unknown == []
