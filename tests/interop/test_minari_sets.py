"""Sets that Minari's own package writes come in as it reads them itself."""

import numpy as np
import pytest

from pipeline.sources.minari.source import MinariSource
from tests.interop.side import read_by

pytestmark = pytest.mark.interop


def _write(root, data_format, kind):
    """A set of three episodes by the package; gives back what it reads of it itself."""
    import os

    os.environ["MINARI_DATASETS_PATH"] = root
    import minari
    import numpy as np
    from gymnasium import spaces
    from minari.data_collector import EpisodeBuffer

    rng = np.random.default_rng(3)
    choice = spaces.Discrete(4)
    vector = spaces.Box(-np.inf, np.inf, (3,), np.float32)
    picture = spaces.Box(0, 255, (40, 48, 3), np.uint8)
    observation_space, action_space = {
        "plain": (vector, choice),
        "picture": (picture, choice),
        "nested": (
            spaces.Dict(image=picture, pair=spaces.Tuple((vector, spaces.Discrete(3))), mission=spaces.Text(20)),
            spaces.Dict(arm=vector, grip=spaces.Box(-1, 1, (1,), np.float32)),
        ),
    }[kind]
    observation_space.seed(1), action_space.seed(2)

    def stacked(space, values):
        if isinstance(space, spaces.Dict):
            return {key: stacked(each, [value[key] for value in values]) for key, each in space.spaces.items()}
        if isinstance(space, spaces.Tuple):
            return tuple(stacked(each, [value[k] for value in values]) for k, each in enumerate(space.spaces))
        return list(values) if isinstance(space, spaces.Text) else np.stack(values)

    buffers = []
    for number in range(3):
        length = 4 + number
        infos = {"speed": rng.normal(size=(length + 1, 1)), "deep": {"x": rng.integers(0, 9, (length + 1, 2))}}
        if data_format != "hdf5":
            infos.pop("deep")
        observations = [observation_space.sample() for _ in range(length + 1)]
        if kind == "nested":
            for each in observations:
                each["mission"] = f"go to {number}"
        ends = [False] * (length - 1)
        buffers.append(EpisodeBuffer(
            id=number, seed=number + 10, options={"level": 2, "side": "left"},
            observations=stacked(observation_space, observations),
            actions=stacked(action_space, [action_space.sample() for _ in range(length)]),
            rewards=rng.normal(size=length), terminations=np.array([*ends, number == 1]),
            truncations=np.array([*ends, number != 1]), infos=infos,
        ))  # fmt: skip
    minari.create_dataset_from_buffers(
        "foreign/made-v0", buffers, observation_space=observation_space, action_space=action_space,
        data_format=data_format, description="made for a test",
    )  # fmt: skip
    found = {}
    for episode in minari.load_dataset("foreign/made-v0").iterate_episodes():
        stack = [("observations", episode.observations), ("actions", episode.actions), ("infos", episode.infos)]
        while stack:
            path, value = stack.pop()
            if isinstance(value, dict | tuple):
                items = value.items() if isinstance(value, dict) else enumerate(value)
                stack += [(f"{path}/{key}", each) for key, each in items]
            else:
                found[f"{episode.id}:{path}"] = np.asarray(value)
        for key in ("rewards", "terminations", "truncations"):
            found[f"{episode.id}:{key}"] = getattr(episode, key)
    return found


@pytest.mark.parametrize("data_format", ["hdf5", "arrow", "parquet"])
@pytest.mark.parametrize("kind", ["plain", "picture", "nested"])
def test_what_the_package_writes_comes_in_as_it_reads_it(tmp_path, data_format, kind):
    read = read_by("minari", _write, tmp_path, data_format, kind)
    source = MinariSource(str(tmp_path))
    identity = source.identity("any", "task")
    assert identity["dataset_id"] == "foreign/made-v0"
    assert ("jpeg" in identity) == (kind != "plain")
    episodes = list(source.episodes("any", "task"))
    assert [episode.length for episode in episodes] == [4, 5, 6]
    assert [episode.seed for episode in episodes] == [10, 11, 12]
    assert [(e.terminated, e.truncated) for e in episodes] == [(False, True), (True, False), (False, True)]
    for number, episode in enumerate(episodes):
        np.testing.assert_array_equal(episode.steps["reward"][:-1], read[f"{number}:rewards"])
        for name in [name for name in episode.steps if name.startswith("observation")]:
            expected = read[f"{number}:observations{name.removeprefix('observation')}"]
            np.testing.assert_array_equal(episode.steps[name], expected)
            assert episode.steps[name].dtype == expected.dtype
        if kind == "nested":
            assert episode.mission == f"go to {number}"
            parts = [read[f"{number}:actions/{key}"] for key in ("arm", "grip")]
            np.testing.assert_array_equal(episode.steps["action"][:-1], np.concatenate(parts, axis=1))
        else:
            np.testing.assert_array_equal(episode.steps["action"][:-1], read[f"{number}:actions"])
        speed = read[f"{number}:infos/speed"].reshape(-1, 1)
        np.testing.assert_array_equal(episode.steps["info/speed"][:-1].reshape(-1, 1), speed[1:])
        np.testing.assert_array_equal(episode.reset_info["speed"].ravel(), speed[0])
        assert episode.reset_info["options/level"] == 2
        assert episode.reset_texts["options/side"] == "left"
        if data_format == "hdf5":
            np.testing.assert_array_equal(episode.steps["info/deep/x"][:-1], read[f"{number}:infos/deep/x"][1:])
    lossy = [quirk.count for quirk in source.quirks("any", "task") if quirk.name == "lossy_pictures"]
    assert lossy == ([] if kind == "plain" else [5 + 6 + 7])
