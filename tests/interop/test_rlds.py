"""tensorflow_datasets gives out what we hold: its data source of ArrayRecord files, and TensorFlow of TFRecord."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pipeline.episode import Episode, with_last_row
from pipeline.formats.rlds.format import RldsFormat
from pipeline.sources.rlds.source import RldsSource
from tests.episodes import REAL, WHOLE
from tests.interop.held import held_episodes, laid
from tests.interop.side import read_by

pytestmark = pytest.mark.interop


def every_step(folder: str, of_tensorflow: bool) -> dict[str, object]:
    import numpy as np
    import tensorflow_datasets as tfds

    def flat(nested, before=""):
        for key, value in nested.items():
            if isinstance(value, dict):
                yield from flat(value, f"{before}{key}/")
            else:
                yield f"{before}{key}", np.asarray(value)

    builder = tfds.builder_from_directory(folder)
    if of_tensorflow:
        episodes = tfds.as_numpy(builder.as_dataset(split="train", shuffle_files=False))
    else:
        episodes = builder.as_data_source(split="train")
    found: dict[str, object] = {"tool": np.array(builder.info.metadata["tool"])}
    for number, episode in enumerate(episodes):
        steps = [dict(flat(step)) for step in episode["steps"]]
        found |= {f"{number}/{name}": np.stack([step[name] for step in steps]) for name in steps[0]}
    return found


READERS = pytest.mark.parametrize(
    ("file", "of_tensorflow"),
    [("array_record", False), ("tfrecord", True)],
    ids=["data source", "TensorFlow"],
)


def steps_of(place: Path, file: str, of_tensorflow: bool) -> dict[str, np.ndarray]:
    """All steps, by the reader of that kind of file."""
    if file == "array_record":
        pytest.importorskip("array_record")
    return read_by("tfds", every_step, next(place.rglob("features.json")).parent, of_tensorflow)


@pytest.mark.parametrize("picture", [False, True], ids=["vectors", "screens"])
@READERS
def test_tensorflow_datasets_gives_every_step(tmp_path: Path, picture: bool, file: str, of_tensorflow: bool):
    episodes = held_episodes(picture, discrete=picture)
    place = laid(RldsFormat(file=file), tmp_path, episodes)
    found = steps_of(place, file, of_tensorflow)
    assert {name.split("/")[0] for name in found} == {"tool", *(str(number) for number in range(len(episodes)))}
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


@READERS
def test_tensorflow_datasets_gives_every_type_of_number_bit_by_bit(tmp_path: Path, file: str, of_tensorflow: bool):
    episodes = [_with_every_type(number) for number in range(3)]
    place = laid(RldsFormat(file=file, file_mb=1e-3), tmp_path, episodes)
    found = steps_of(place, file, of_tensorflow)
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


def written_by_tensorflow_datasets(folder: str, file_format: str) -> dict[str, object]:
    import numpy as np
    import tensorflow_datasets as tfds

    features = tfds.features.FeaturesDict(
        {
            "steps": tfds.features.Dataset(
                {
                    "observation": {
                        "image": tfds.features.Image(shape=(9, 8, 3)),
                        "seen": tfds.features.Image(shape=(9, 8, 3), encoding_format="jpeg"),
                        "joints": tfds.features.Tensor(shape=(4,), dtype=np.float64, encoding="zlib"),
                        "map": tfds.features.Tensor(shape=(2, 3), dtype=np.uint64),
                    },
                    "action": tfds.features.Tensor(shape=(2,), dtype=np.float32),
                    "reward": tfds.features.Scalar(dtype=np.float32),
                    "discount": tfds.features.Scalar(dtype=np.float32),
                    "is_first": tfds.features.Scalar(dtype=np.bool_),
                    "is_last": tfds.features.Scalar(dtype=np.bool_),
                    "is_terminal": tfds.features.Scalar(dtype=np.bool_),
                    "language_instruction": tfds.features.Text(),
                    "side": tfds.features.ClassLabel(names=["left", "right"]),
                }
            ),
            "episode_metadata": {"file_path": tfds.features.Text(), "score": tfds.features.Scalar(dtype=np.int64)},
        }
    )
    rng = np.random.default_rng(0)

    def step(number: int, rows: int) -> dict:
        is_last = number == rows - 1
        return {
            "observation": {
                "image": rng.integers(0, 256, (9, 8, 3), np.uint8),
                "seen": np.full((9, 8, 3), 7 * number, np.uint8),
                "joints": rng.normal(size=4),
                "map": rng.integers(0, 2**64 - 1, (2, 3), np.uint64, endpoint=True),
            },
            "action": (rng.normal(size=2) * (not is_last)).astype(np.float32),
            "reward": np.float32(0 if is_last else rng.normal()),
            "discount": np.float32(number < rows - 2),
            "is_first": number == 0,
            "is_last": is_last,
            "is_terminal": is_last,
            "language_instruction": "räume auf",
            "side": "right" if number % 2 else "left",
        }

    episodes = [[step(number, rows) for number in range(rows)] for rows in (5, 2, 7)]
    held = [
        (number, {"steps": steps, "episode_metadata": {"file_path": f"/x/{number}", "score": 2**40 + number}})
        for number, steps in enumerate(episodes)
    ]
    tfds.dataset_builders.store_as_tfds_dataset(
        name="robots",
        version="2.1.0",
        config="some",
        features=features,
        split_datasets={"train": held},
        data_dir=folder,
        file_format=file_format,
        disable_shuffling=True,
    )
    found: dict[str, object] = {}
    for number, steps in enumerate(episodes):
        for name in ("image", "joints", "map"):
            found[f"{number}/observation/{name}"] = np.stack([each["observation"][name] for each in steps])
        for name in ("action", "reward", "discount"):
            found[f"{number}/{name}"] = np.stack([each[name] for each in steps])
    return found


@pytest.mark.parametrize("file", ["array_record", "tfrecord"])
def test_what_tensorflow_datasets_writes_is_read_as_it_was(tmp_path: Path, file: str):
    if file == "array_record":
        pytest.importorskip("array_record")
    held = read_by("tfds", written_by_tensorflow_datasets, tmp_path, file)
    source = RldsSource(str(tmp_path), mission="language_instruction")
    episodes = list(source.episodes("toy", "corner"))
    assert [episode.length for episode in episodes] == [4, 1, 6]
    for name, array in held.items():
        number, _, key = name.partition("/")
        ours = episodes[int(number)].steps[key]
        np.testing.assert_array_equal(ours, array)
        assert ours.dtype == array.dtype or key in ("reward", "discount")
    for number, episode in enumerate(episodes):
        assert episode.terminated
        assert episode.mission == "räume auf"
        assert episode.reset_texts == {"episode_metadata/file_path": f"/x/{number}"}
        assert episode.reset_info["episode_metadata/score"] == 2**40 + number
        assert episode.steps["info/side"].tolist() == [row % 2 for row in range(episode.rows)]
    assert {quirk.name: quirk.count for quirk in source.quirks("toy", "corner")} == {"lossy_pictures": 3}
