"""tensorflow_datasets gives out what we hold: its data source of ArrayRecord files, and TensorFlow of TFRecord."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pipeline.episode import Episode, with_last_row
from pipeline.formats.rlds.format import RldsFormat
from tests.episodes import REAL, WHOLE
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


def every_by_data_source(folder: str) -> dict[str, object]:
    import numpy as np
    import tensorflow_datasets as tfds

    def flat(nested, before=""):
        for key, value in nested.items():
            if isinstance(value, dict):
                yield from flat(value, f"{before}{key}/")
            else:
                yield f"{before}{key}", np.asarray(value)

    builder = tfds.builder_from_directory(folder)
    found: dict[str, object] = {"tool": np.array(builder.info.metadata["tool"])}
    for number, episode in enumerate(builder.as_data_source(split="train")):
        steps = [dict(flat(step)) for step in episode["steps"]]
        found |= {f"{number}/{name}": np.stack([step[name] for step in steps]) for name in steps[0]}
    return found


def every_by_tensorflow(folder: str) -> dict[str, object]:
    import numpy as np
    import tensorflow_datasets as tfds

    def flat(nested, before=""):
        for key, value in nested.items():
            if isinstance(value, dict):
                yield from flat(value, f"{before}{key}/")
            else:
                yield f"{before}{key}", np.asarray(value)

    builder = tfds.builder_from_directory(folder)
    found: dict[str, object] = {"tool": np.array(builder.info.metadata["tool"])}
    for number, episode in enumerate(tfds.as_numpy(builder.as_dataset(split="train", shuffle_files=False))):
        steps = [dict(flat(step)) for step in episode["steps"]]
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


@pytest.mark.parametrize(
    ("file", "read"),
    [("array_record", every_by_data_source), ("tfrecord", every_by_tensorflow)],
    ids=["data source", "TensorFlow"],
)
def test_tensorflow_datasets_gives_every_type_of_number_bit_by_bit(tmp_path: Path, file: str, read):
    if file == "array_record":
        pytest.importorskip("array_record")
    episodes = [_with_every_type(number) for number in range(3)]
    place = laid(RldsFormat(file=file, shard_size=1e-3), tmp_path, episodes)
    found = read_by("tfds", read, next(place.rglob("features.json")).parent)
    for number, episode in enumerate(episodes):
        for name, array in episode.steps.items():
            theirs = found[f"{number}/{name}"]
            assert (theirs.dtype, theirs.shape) == (array.dtype, array.shape), name
            assert theirs.tobytes() == array.tobytes(), name
    assert str(found["tool"]).startswith("repertoire")


def _with_every_type(number: int) -> Episode:
    """Nested observations: pictures, a stack, and numbers of each type, up to their ends."""
    rng, rows = np.random.default_rng(number), 4 + number
    shown = {"colours": (20, 24, 3), "grey": (20, 24, 1), "stack": (4, 20, 24)}
    steps = {f"observation/{name}": rng.integers(0, 256, (rows, *shape), np.uint8) for name, shape in shown.items()}
    for dtype in map(np.dtype, (*WHOLE, *REAL)):
        for shape in ((), (2, 3)):
            if dtype.kind == "f":
                array = rng.normal(size=(rows, *shape)).astype(dtype)
            elif dtype == np.bool_:
                array = rng.integers(0, 2, (rows, *shape)).astype(dtype)
            else:
                ends = np.iinfo(dtype)
                array = rng.integers(ends.min, ends.max, (rows, *shape), dtype, endpoint=True)
            steps[f"info/{dtype}{len(shape)}"] = array
    steps["action"] = with_last_row("action", rng.integers(0, 9, rows - 1))
    steps["reward"] = with_last_row("reward", rng.normal(size=rows - 1))
    steps["discount"] = with_last_row("discount", np.ones(rows - 1))
    return Episode(
        steps, mission="où", reset_info={"goal": rng.normal(size=3)}, info_texts={"door": ["a"] * (rows - 1)}
    )
