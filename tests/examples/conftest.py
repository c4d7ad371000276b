"""The examples as modules, and small datasets of the kinds that they train on."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch

from pipeline.dataset.workspace import Workspace
from pipeline.domains.domain import Domain, Regent
from pipeline.envs.metaworld import MetaWorld
from pipeline.episode import Episode, with_last_row
from pipeline.policies.scripted import Scripted
from pipeline.rollout.rollout import rollout
from tests.conftest import derived
from tests.pipeline.views.stored import stored

sys.path.insert(0, str(Path(__file__).resolve().parent.parent.parent / "examples"))  # as a script there has it

EXPERTS = 5


@pytest.fixture(autouse=True)
def threads() -> Iterator[None]:
    """The examples set how many threads torch has."""
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def experts(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """Some of Meta-World's expert on pick-place, and all that REGENT makes of them."""
    workspace = Workspace(str(tmp_path_factory.mktemp("experts")), "bin")
    environment, policy = MetaWorld("pick-place"), Scripted()
    episodes = [rollout(environment, policy, seed, np.random.default_rng(seed)) for seed in range(EXPERTS)]
    stored(workspace, episodes, "scripted-v1", task="pick-place", domain="metaworld")
    regent = Regent(row_width=100, demos=EXPERTS, neighbours=20, states=100 * EXPERTS)
    derived(Domain("metaworld", 100, EXPERTS, partial(MetaWorld), ["pick-place"], regent), workspace, "pick-place")
    return workspace


@pytest.fixture(scope="session")
def poles(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """Made-up episodes with CartPole's arrays: the cart is pushed to where the pole leans."""
    workspace = Workspace(str(tmp_path_factory.mktemp("poles")), "bin")
    episodes = [leaning(np.random.default_rng(seed), length=5 + 7 * seed) for seed in range(8)]
    stored(workspace, episodes, "ppo-online-v1", task="cartpole-v1", domain="gym")
    return workspace


def leaning(rng: np.random.Generator, length: int) -> Episode:
    observation = rng.normal(size=(length + 1, 4)).astype(np.float32)
    steps = {
        "observation": observation,
        "action": with_last_row("action", (observation[:-1, 2] > 0).astype(np.int64)),
        "reward": with_last_row("reward", np.ones(length)),
        "discount": with_last_row("discount", np.array([*np.ones(length - 1), 0])),
    }
    return Episode(steps=steps, terminated=True, end_reason="terminated")
