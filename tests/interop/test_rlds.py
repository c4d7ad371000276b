"""tensorflow_datasets gives out what we hold: its data source of ArrayRecord files, and TensorFlow of TFRecord."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pipeline.formats.rlds.format import RldsFormat
from tests.interop.held import held_episodes, laid
from tests.interop.side import read_by

pytestmark = pytest.mark.interop


def by_data_source(folder: str) -> dict[str, object]:
    import numpy as np
    import tensorflow_datasets as tfds

    found: dict[str, object] = {}
    for number, episode in enumerate(tfds.builder_from_directory(folder).as_data_source(split="train")):
        steps = list(episode["steps"])
        found |= {f"{number}/{name}": np.stack([step[name] for step in steps]) for name in steps[0]}
    return found


def by_tensorflow(folder: str) -> dict[str, object]:
    import numpy as np
    import tensorflow_datasets as tfds

    found: dict[str, object] = {}
    every = tfds.as_numpy(tfds.builder_from_directory(folder).as_dataset(split="train", shuffle_files=False))
    for number, episode in enumerate(every):
        steps = list(episode["steps"])
        found |= {f"{number}/{name}": np.stack([step[name] for step in steps]) for name in steps[0]}
    return found


@pytest.mark.parametrize("picture", [False, True], ids=["vectors", "screens"])
@pytest.mark.parametrize(
    ("file", "read"),
    [("array_record", by_data_source), ("tfrecord", by_tensorflow)],
    ids=["data source", "TensorFlow"],
)
def test_tensorflow_datasets_gives_every_step(tmp_path: Path, picture: bool, file: str, read):
    if file == "array_record":
        pytest.importorskip("array_record")
    episodes = held_episodes(picture, discrete=picture)
    place = laid(RldsFormat(file=file), tmp_path, episodes)
    found = read_by("tfds", read, next(place.rglob("features.json")).parent)
    assert {name.split("/")[0] for name in found} == {str(number) for number in range(len(episodes))}
    for number, episode in enumerate(episodes):
        each = {
            name.removeprefix(f"{number}/"): array for name, array in found.items() if name.startswith(f"{number}/")
        }
        observations = each["observation"]
        np.testing.assert_array_equal(
            observations.reshape(episode.steps["observation"].shape), episode.steps["observation"]
        )
        np.testing.assert_array_equal(each["action"], episode.steps["action"])
        np.testing.assert_array_equal(each["reward"].astype(float), episode.steps["reward"])
        np.testing.assert_array_equal(each["is_first"], np.arange(episode.length + 1) == 0)
        np.testing.assert_array_equal(each["is_last"], np.arange(episode.length + 1) == episode.length)
        assert each["is_terminal"].any() == episode.terminated
