"""Observations of other widths never come together: neither in a dataset, nor in a retrieval."""

import numpy as np
import pytest

from pipeline.dataset.reader import EpisodeDataset
from pipeline.dataset.workspace import Workspace
from pipeline.domains.domain import Domain, Regent
from pipeline.envs.mujoco import MuJoCo
from pipeline.errors import ArtifactNotFound, IdentityMismatch, InvalidEpisode
from pipeline.interfaces import Transition
from pipeline.policies.random import Random
from pipeline.regent.recipe import Recipe
from pipeline.regent.settings import RetrievalSettings
from pipeline.sources.jat.source import JatSource
from pipeline.storage.choice import open_arrays
from stages import ingest, retrieval
from tests.conftest import collected
from tests.jat_files import make_jat

pytest.importorskip("mujoco")

JAT_WIDTH, WIDTHS = 3, {"v4": 27, "v5": 105}


class Growing(MuJoCo):
    """Its second episode is wider than the first."""

    episodes = 0

    def reset(self, seed: int) -> np.ndarray:
        self.episodes += 1
        return self._wider(super().reset(seed))

    def step(self, action: np.ndarray) -> Transition:
        transition = super().step(action)
        return Transition(self._wider(transition.observation), transition.reward, truncated=transition.truncated)

    def _wider(self, observation: np.ndarray) -> np.ndarray:
        return np.append(observation, np.zeros(self.episodes))


class Ant:
    """`MuJoCo` in one version, as a domain's environment."""

    def __init__(self, version: str, simulator: type = MuJoCo) -> None:
        self._version, self._simulator = version, simulator

    def __call__(self, task: str) -> MuJoCo:
        return self._simulator(task, max_steps=30, task_version=self._version)


def domain(version: str, simulator: type = MuJoCo) -> Domain:
    return Domain("mujoco", 30, 4, Ant(version, simulator), ["ant"], Regent(256, 2, 20, 60))


def collect(workspace: Workspace, version: str, dataset: str, simulator: type = MuJoCo, episodes: int = 4):
    built = domain(version, simulator)
    return collected(built, workspace, "ant", policy=Random, dataset=dataset, episodes=episodes)


def retrieved(workspace: Workspace, dataset: str):
    recipe = Recipe(domain("v4"), "ant", dataset, retrieval=RetrievalSettings(neighbours=20))
    return retrieval.run(recipe=recipe, workspace=workspace, force=False)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A dataset of JAT's, one of v4 and one of v5, of one task."""
    tmp_path = tmp_path_factory.mktemp("widths")
    workspace = Workspace(str(tmp_path / "root"), "bin")
    source = JatSource(str(make_jat(tmp_path / "jat", [30] * 4).folder))
    settings = {"episodes": None, "states": None, "force": False}
    ingest.run(domain=domain("v4"), task="ant", source=source, workspace=workspace, dataset="jat-v1", **settings)
    for version in WIDTHS:
        collect(workspace, version, f"random-{version}")
    return workspace


def test_each_retrieval_sees_the_one_dataset_that_it_is_asked_for(place):
    for dataset, width in {"jat-v1": JAT_WIDTH, **{f"random-{v}": width for v, width in WIDTHS.items()}}.items():
        episodes = EpisodeDataset.of(place.dataset("mujoco", "ant", dataset))
        assert episodes.spec("observation")[0] == (width,)
        artifact = retrieved(place, dataset)
        assert len(artifact.manifest.parents) == 1
        assert artifact.parent("episodes").version == dataset
        vectors = episodes.state_rows("observation", 0, episodes.states).astype(np.float64)
        neighbours = open_arrays(artifact.arrays)["neighbours"][:]
        squared = ((vectors[: int(episodes.state_ends[1])] - vectors[0]) ** 2).sum(axis=1)
        squared[: int(episodes.state_ends[0])] = np.inf  # its own episode
        assert neighbours[0, 0] == squared.argmin()
    with pytest.raises(ArtifactNotFound, match="jat-v1"):
        retrieved(place, "all-of-them")


def test_no_dataset_grows_by_episodes_of_another_width(place):
    with pytest.raises(IdentityMismatch, match=r"environment\.id: Ant-v4 there, Ant-v5 asked[\s\S]*dataset="):
        collect(place, "v5", "random-v4", episodes=6)
    with pytest.raises(IdentityMismatch, match=r"Dataset jat-v1[\s\S]*environment: nothing there, .*Ant-v4"):
        collect(place, "v4", "jat-v1", episodes=6)


def test_an_environment_whose_observations_grow_is_refused(tmp_path):
    with pytest.raises(InvalidEpisode, match=r"observation float64\[29\][\s\S]*observation float64\[28\]"):
        collect(Workspace(str(tmp_path), "bin"), "v4", "random-v1", Growing, episodes=2)
