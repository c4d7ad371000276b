"""RLDS out, and back through its own door."""

from __future__ import annotations

import errno
import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pipeline.dataset.workspace import Workspace
from pipeline.episode import Episode
from pipeline.errors import UnknownName
from pipeline.formats.choice import holders
from pipeline.formats.contract import CannotHold, Refusal
from pipeline.formats.rlds import shards
from pipeline.formats.rlds.format import RldsFormat, tfds_name
from pipeline.sources.rlds.example import read_example
from pipeline.sources.rlds.records import FileFormat, read_records
from tests.conftest import made_episode
from tests.contracts.format import FormatContract, Listed, exported, ingested, place_of

TINY = 1e-5
"""Megabytes of a file: each episode gets one of its own."""


class TestTfrecord(FormatContract):
    resumes = True

    def format(self) -> RldsFormat:
        return RldsFormat("tfrecord", file_mb=TINY)


class TestArrayRecord(FormatContract):
    resumes = True

    def format(self) -> RldsFormat:
        return RldsFormat(file_mb=TINY)


def with_observation(*shape: int) -> list[Episode]:
    rng = np.random.default_rng(0)
    episodes = [made_episode(rng, length) for length in (3, 1)]
    screens = [rng.integers(0, 256, (episode.rows, *shape), np.uint8) for episode in episodes]
    return [
        replace(episode, steps={**episode.steps, "observation": each})
        for episode, each in zip(episodes, screens, strict=True)
    ]


def written(episodes: list[Episode], form: RldsFormat, folder: Path) -> Path:
    workspace = Workspace(str(folder / "outputs"), "bin")
    listed = ingested(Listed(episodes), workspace)
    place = place_of(exported(form, workspace))
    back = list(form.source(place).episodes("toy", "corner"))
    assert [each.digest() for each in back] == [each.digest() for each in episodes]
    assert listed.manifest.counts["episodes"] == len(episodes)
    return place


def test_it_lies_where_tensorflow_datasets_looks_for_it(tmp_path: Path):
    place = written(with_observation(3), RldsFormat("tfrecord", file_mb=TINY), tmp_path)
    assert place.parts[-3:] == ("toy_corner", "listed-v1", "1.0.0")
    info = json.loads((place / "dataset_info.json").read_text())
    (split,) = info["splits"]
    files = sorted(path.name for path in place.glob("toy_corner-train.*"))
    assert files == [f"toy_corner-train.tfrecord-0000{number}-of-00002" for number in range(2)]
    assert (info["name"], info["configName"], info["version"]) == place.parts[-3:]
    assert (info["fileFormat"], split["name"], split["shardLengths"]) == ("tfrecord", "train", ["1", "1"])
    assert int(split["numBytes"]) == sum((place / name).stat().st_size for name in files)
    assert json.loads((place / "metadata.json").read_text())["digest"] in info["description"]


@pytest.mark.parametrize(
    ("domain", "task", "name"),
    [
        ("metaworld", "assembly", "metaworld_assembly"),
        ("gym", "CartPole-v1", "gym_cart_pole_v1"),
        ("atari", "../up n'down", "atari_up_n_down"),
        ("3d", "Ω", "d_3d"),
        ("", "..", "dataset"),
    ],
)
def test_a_name_is_spelt_as_tensorflow_datasets_spells_names(domain: str, task: str, name: str):
    assert tfds_name(domain, task) == name


@pytest.mark.parametrize(
    ("shape", "file", "pictures", "node"),
    [
        ((16, 17, 3), "array_record", "png", "image png"),
        ((16, 17, 1), "tfrecord", "png", "image png"),
        ((16, 17, 3), "tfrecord", "zlib", "tensor zlib"),
        ((16, 17, 3), "tfrecord", "bytes", "tensor bytes"),
        ((18, 20), "tfrecord", "png", "tensor zlib"),
        ((18, 20), "array_record", "png", "tensor bytes"),
        ((4, 18, 20), "tfrecord", "png", "tensor zlib"),
        ((7, 7, 3), "tfrecord", "png", "tensor bytes"),
    ],
)
def test_pictures_lie_as_it_is_wanted(tmp_path: Path, shape: tuple[int, ...], file: str, pictures: str, node: str):
    place = written(with_observation(*shape), RldsFormat(file, pictures), tmp_path)
    features = json.loads((place / "features.json").read_text())["featuresDict"]["features"]
    observation = features["steps"]["sequence"]["feature"]["featuresDict"]["features"]["observation"]
    kind = "image" if "image" in observation else "tensor"
    told = observation[kind]
    assert f"{kind} {told.get('encodingFormat') or told.get('encoding')}" == node
    assert told["shape"]["dimensions"] == [str(size) for size in shape]


def test_a_record_has_the_keys_that_features_json_says(tmp_path: Path):
    place = written(with_observation(3), RldsFormat("tfrecord"), tmp_path)
    (file,) = place.glob("*.tfrecord-*")
    keys = [list(read_example(record)) for record in read_records(file, FileFormat.TFRECORD)]
    assert keys[0] == sorted(keys[0]) == keys[1]
    assert {"steps/observation", "steps/is_terminal", "mission", "seed", "episode_id"} <= set(keys[0])


def test_files_are_cut_by_the_size_of_the_arrays():
    lengths = np.array([9, 9, 9, 99, 9, 0])
    assert shards.shard_counts(lengths, 1, 20).tolist() == [2, 2, 1, 1]
    assert shards.shard_counts(lengths, 1, 10**6).tolist() == [6]
    assert shards.shard_counts(lengths, 1, 0).tolist() == [1] * 6


def test_a_setting_that_is_none_is_refused():
    with pytest.raises(UnknownName, match=r"format\.file.*array_record, tfrecord"):
        RldsFormat("parquet")
    with pytest.raises(UnknownName, match=r"format\.pictures.*bytes, png, zlib"):
        RldsFormat(pictures="jpeg")


@pytest.mark.parametrize("format", FileFormat)
def test_a_full_disk_is_told_as_one(format: FileFormat, tmp_path: Path):
    """Writing to /dev/full, as any file of a full disk."""
    (tmp_path / ".x.partial").symlink_to("/dev/full")
    with pytest.raises(OSError) as caught:
        shards.write_shard(tmp_path / "x", format, iter([bytes(2**20)]))
    assert caught.value.errno == errno.ENOSPC


def test_a_record_that_protocol_buffers_cannot_read_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(shards, "LONGEST_RECORD", 100)
    others = re.escape(holders(Refusal.LONG))
    with pytest.raises(CannotHold, match=rf"takes 101 bytes .* at most 100\. {others} holds it"):
        shards.write_shard(tmp_path / "x", FileFormat.TFRECORD, iter([bytes(100), bytes(101)]))
    assert not list(tmp_path.iterdir())
