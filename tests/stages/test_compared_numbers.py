"""Retrieval, distances and bins are of the same numbers: those that stand in the bins, whatever dtype was collected."""

import json
from dataclasses import replace

import gymnasium as gym
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.dataset.reader import EpisodeDataset
from pipeline.dataset.workspace import Workspace
from pipeline.envs.gym.domain import gym_domain
from pipeline.live.log import EpisodeLog
from pipeline.live.single import RecordEpisodes
from pipeline.policies.random import Random
from pipeline.regent.chain import bins_name
from pipeline.regent.recipe import Recipe
from pipeline.regent.settings import RetrievalSettings
from pipeline.sources.jat.source import JatSource
from pipeline.storage.choice import open_arrays
from pipeline.views.contexts import Contexts
from stages import bins, distances, ingest, parquet, retrieval, verify
from tests.conftest import collected
from tests.jat_files import SCHEMA, make_jat
from tests.pipeline.embedding.pictures import DOMAIN, dataset

LENGTHS = (9, 20, 13, 17)


def made(folder, shown, metric="l2"):
    """The artifacts of the chain, by kind."""
    workspace = Workspace(str(folder), "bin")
    dataset(workspace, shown)
    recipe = Recipe(DOMAIN, "pong", "made-v1", retrieval=RetrievalSettings(metric=metric))
    return {
        stage.__name__.split(".")[-1]: stage.run(recipe=recipe, workspace=workspace, force=False)
        for stage in (retrieval, distances, bins, parquet)
    }


def read_bins(artifact):
    folder = artifact.path / bins_name(artifact)
    shapes = json.loads((folder / "shapes.json").read_text())
    whole = ("indices", "discrete_observations", "discrete_actions")
    return {
        key: np.fromfile(folder / f"{key}.bin", "<i4" if key in whole else "<f4").reshape(shape)
        for key, shape in shapes.items()
    }


def from_bins(arrays):
    """The vectors of each query and of its 19 neighbours, as float64, and nothing but the bins to know it."""
    name = next(key for key in arrays if key.endswith("observations"))
    rows, columns = arrays["indices"][..., 0], arrays["indices"][..., 1]
    return arrays[name][rows, columns].astype(np.float64)


def summed(terms):
    """Over the last axis, in order."""
    return sum(terms[..., place] for place in range(terms.shape[-1]))


def close_together(rng):
    """float64 observations that differ so little that rounding them changes their order."""
    return [1 + rng.normal(size=(length + 1, 3)) * 3e-7 for length in LENGTHS]


def test_distances_are_recomputed_from_the_bins_alone_to_the_last_bit(tmp_path, rng):
    for number, shown in enumerate((close_together(rng), [rng.normal(size=(n + 1, 39)) for n in LENGTHS])):
        arrays = read_bins(made(tmp_path / str(number), shown)["bins"])
        context = from_bins(arrays)
        wanted = np.sqrt(summed((context - context[:, :1]) ** 2)).astype(np.float32)
        np.testing.assert_array_equal(arrays["distances"], wanted)


def test_distances_by_the_cosine_are_recomputed_from_the_bins_alone(tmp_path, rng):
    arrays = read_bins(made(tmp_path, close_together(rng), "cosine")["bins"])
    context = from_bins(arrays)
    squares = summed(context**2)
    wanted = 1 - summed(context * context[:, :1]) / np.sqrt(squares * squares[:, :1])
    wanted[:, 0] = 0
    np.testing.assert_array_equal(arrays["distances"], np.clip(wanted, 0, 2).astype(np.float32))


def test_neighbours_have_the_order_of_float64_distances_between_the_bins_numbers(tmp_path, rng):
    shown = close_together(rng)
    found = open_arrays(made(tmp_path, shown)["retrieval"].arrays)["neighbours"][:]
    stored = np.concatenate([each[:-1] for each in shown])
    episode = np.repeat(np.arange(len(LENGTHS)), LENGTHS)

    def nearest(vectors):
        squared = ((vectors[:, None] - vectors[None]) ** 2).sum(axis=2)
        squared[episode[:, None] == episode[None]] = np.inf
        return np.argsort(squared, axis=1, kind="stable")[:, :20]

    np.testing.assert_array_equal(found, nearest(stored.astype(np.float32).astype(np.float64)))
    assert (found != nearest(stored)).any()  # else this test could not fail


@pytest.mark.parametrize("dtype", ["f2", "f4", "f8", "?", "u1", "i1", "i2", "u4", "i8", "u8"])
def test_every_dtype_goes_through_the_whole_chain_with_its_values(tmp_path, rng, dtype):
    shown = [rng.integers(0, 2 if dtype == "?" else 90, (length + 1, 5)).astype(dtype) for length in LENGTHS]
    if dtype == "f2":
        shown = [each / np.float16(3) for each in shown]
    artifacts = made(tmp_path, shown)
    arrays = read_bins(artifacts["bins"])
    name = "continuous_observations" if dtype[0] == "f" else "discrete_observations"
    last = from_bins(arrays)[:, 19]  # the queries themselves
    np.testing.assert_array_equal(last, np.concatenate([each[:-1] for each in shown]))
    item = Contexts.of(artifacts["bins"])[3]
    np.testing.assert_array_equal(item[name][19], shown[0][3])
    table = pq.read_table(artifacts["parquet"].path / "data/pictures-pong_subset")
    np.testing.assert_array_equal(np.array(table[name].to_pylist()), arrays[name])
    verify.run(domain=DOMAIN, only=None, workspace=Workspace(str(tmp_path), "bin"), audit=None, workers=1)


@pytest.mark.parametrize("shape", [(), (2, 3), (7, 7, 3)])
def test_an_observation_that_is_no_picture_stands_in_the_bins_as_the_list_of_its_numbers(tmp_path, rng, shape):
    shown = [rng.integers(0, 9, (length + 1, *shape), np.uint8) for length in LENGTHS]
    artifacts = made(tmp_path, shown)
    width = int(np.prod(shape))
    assert read_bins(artifacts["bins"])["discrete_observations"].shape[2:] == (width,)
    (warning,) = [each for each in artifacts["retrieval"].manifest.warnings if "numbers" in each]
    assert f"uint8 {list(shape)}" in warning
    assert f"the list of its {width} numbers" in warning


class Half(gym.Env):
    """Four steps an episode, in half precision."""

    observation_space = gym.spaces.Box(-9, 9, (3,), np.float16)
    action_space = gym.spaces.Discrete(2)

    def __init__(self, render_mode=None):
        self.t = 0

    def seen(self):
        return np.array([self.t, 0.5, 1 / 3], np.float16)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.t = 0
        return self.seen(), {}

    def step(self, action):
        self.t += 1
        return self.seen(), 0.0, self.t == 4, False, {}


def half_domain():
    none = dict.fromkeys(("display_name", "max_steps", "mission"))
    return gym_domain(
        **{"name": "gym", "env_id": "Half-v0", "entry_point": f"{__name__}:Half", "packages": [], "env_kwargs": {}},
        **{"fresh": False, "rounding": False, "episodes": 3, "regent": DOMAIN.regent, **none},
    )


def by_collect(workspace, folder):
    domain = half_domain()
    collected(domain, workspace, "half-v0", policy=Random, dataset="made-v1", episodes=3)
    return domain


def by_log(workspace, folder):
    domain = half_domain()
    root = str(workspace.root.parent)
    with EpisodeLog(root, domain="gym", task="half-v0", dataset="made-v1", facts={}, storage="bin") as log:
        env = RecordEpisodes(Half(), log)
        for _ in range(3):
            env.reset()
            for _ in range(4):
                env.step(0)
    return domain


def by_ingest(workspace, folder):
    task = make_jat(folder / "jat", [4, 5, 6])
    task.write(schema=SCHEMA.set(0, pa.field("continuous_observations", pa.list_(pa.list_(pa.float16())))))
    domain = replace(DOMAIN, name="mujoco", tasks=["ant"])
    source, settings = JatSource(str(task.folder)), {"episodes": None, "states": None, "force": False}
    ingest.run(domain=domain, task="ant", source=source, workspace=workspace, dataset="made-v1", **settings)
    return domain


@pytest.mark.parametrize("door", [by_collect, by_log, by_ingest])
def test_half_precision_comes_in_by_every_door_and_goes_through_the_chain(tmp_path, door):
    workspace = Workspace(str(tmp_path / "root"), "bin")
    domain = door(workspace, tmp_path)
    recipe = Recipe(domain, domain.tasks[0], "made-v1")
    for stage in (retrieval, distances, bins, parquet):
        made = stage.run(recipe=recipe, workspace=workspace, force=False)
    assert made.manifest.counts["states"] >= 12
    dataset = EpisodeDataset.of(workspace.dataset(domain.name, domain.tasks[0], "made-v1"))
    assert dataset.spec("observation")[1] == np.float16
    found = read_bins(workspace.find("bins", f"{domain.name}/{domain.tasks[0]}"))["continuous_observations"]
    np.testing.assert_array_equal(found[0, :4], dataset[0].steps["observation"][:4])
