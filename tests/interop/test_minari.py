"""Minari's own package opens what we write, and what it writes comes in."""

import numpy as np
import pytest

from pipeline.dataset.reader import EpisodeDataset
from pipeline.dataset.workspace import Workspace
from pipeline.formats.minari.format import MinariFormat
from tests.conftest import made_episode
from tests.contracts.format import Listed, exported, ingested
from tests.interop.side import read_by

pytestmark = pytest.mark.interop


def _read(root, name):
    import os

    os.environ["MINARI_DATASETS_PATH"] = root
    import minari
    import numpy as np

    dataset = minari.load_dataset(name)
    found = {"total": dataset.total_steps, "id": dataset.spec.dataset_id, "names": sorted(minari.list_local_datasets())}
    found["observation_space"] = str(dataset.observation_space)
    found["action_space"] = str(dataset.action_space)
    for episode in dataset.iterate_episodes():
        number = episode.id
        stack = [("observations", episode.observations), ("actions", episode.actions), ("infos", episode.infos)]
        while stack:
            path, value = stack.pop()
            if isinstance(value, dict):
                stack += [(f"{path}/{key}", each) for key, each in value.items()]
            else:
                found[f"{number}:{path}"] = np.asarray(value)
        for key in ("rewards", "terminations", "truncations"):
            found[f"{number}:{key}"] = getattr(episode, key)
    found["seeds"] = [each.get("seed", -1) for each in dataset.storage.get_episode_metadata(dataset.episode_indices)]
    found["sampled"] = [episode.id for episode in dataset.sample_episodes(3)]
    found["ended"] = dataset.filter_episodes(lambda episode: bool(episode.terminations[-1])).episode_indices
    return found


KINDS = {
    "vectors": lambda rng: {"observation": rng.normal(size=(6, 39))},
    "pictures": lambda rng: {"observation": rng.integers(0, 256, (6, 84, 84), np.uint8)},
    "nested": lambda rng: {
        "observation/image": rng.integers(0, 256, (6, 40, 40, 3), np.uint8),
        "observation/deep/state": rng.normal(size=(6, 2)).astype(np.float32),
        "observation/deep/flag": rng.integers(0, 2, 6).astype(bool),
    },
}
ACTIONS = {
    "floats": lambda rng: rng.normal(size=(6, 4)).astype(np.float32),
    "choice": lambda rng: rng.integers(0, 5, 6),
    "flags": lambda rng: rng.integers(0, 2, (6, 3)).astype(bool),
}


@pytest.fixture(params=[(kind, action) for kind in KINDS for action in ACTIONS], ids="-".join)
def workspace(request, tmp_path):
    rng, episodes = np.random.default_rng(2), []
    kind, action = request.param
    for seed in range(4):
        plain = made_episode(rng, 5, seed=seed, terminated=seed % 2 == 0, truncated=seed % 2 == 1)
        steps = {key: plain.steps[key] for key in ("reward", "discount")}
        steps |= KINDS[kind](rng) | {"action": ACTIONS[action](rng), "info/speed": rng.normal(size=6)}
        steps["info/a/b"] = rng.integers(0, 9, (6, 2))
        for name in ("action", "info/speed", "info/a/b"):
            steps[name][-1] = 0
        reset = {"speed": np.float64(0.5)}
        episodes.append(
            type(plain)(steps, seed=seed, terminated=plain.terminated, truncated=plain.truncated, reset_info=reset)
        )
    workspace = Workspace(str(tmp_path / "outputs"))
    ingested(Listed(episodes), workspace)
    return workspace


@pytest.mark.parametrize("data", ["hdf5", "arrow", "parquet"])
def test_the_package_reads_what_we_write(workspace, tmp_path, data):
    exported(MinariFormat(data=data), workspace, out=str(tmp_path / "minari"))
    read = read_by("minari", _read, tmp_path / "minari", "toy/corner/listed-v1")
    assert read["names"].tolist() == ["toy/corner/listed-v1"]
    assert read["total"] == 20
    assert read["seeds"].tolist() == [0, 1, 2, 3]
    assert read["ended"].tolist() == [0, 2]
    for number, episode in enumerate(EpisodeDataset.of(workspace.dataset("toy", "corner", "listed-v1"))):
        for name, array in episode.steps.items():
            if name.startswith("observation"):
                got = read[f"{number}:observations{name.removeprefix('observation')}"]
            elif name.startswith("info"):
                got = read[f"{number}:infos{name.removeprefix('info')}"]
                np.testing.assert_array_equal(got[0].ravel(), 0.5 if name == "info/speed" else 0)
                got, array = got[1:].reshape(array[:-1].shape), array[:-1]
            elif name == "discount":
                continue
            else:
                got, array = read[f"{number}:{name}s"], array[:-1]
            np.testing.assert_array_equal(got, array)
            assert got.dtype == array.dtype
        assert read[f"{number}:terminations"].tolist() == [False] * 4 + [episode.terminated]
        assert read[f"{number}:truncations"].tolist() == [False] * 4 + [episode.truncated]
