"""RLDS in: datasets that other projects wrote, by the rules of RLDS."""

from __future__ import annotations

import io
import json
import re
import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from PIL import Image

from pipeline.episode import Episode
from pipeline.errors import InvalidInput, UnknownName
from pipeline.sources.rlds.source import RldsSource
from tests.contracts.source import NamingSourceContract, SourceContract
from tests.named import edited_json
from tests.rlds_files import (
    ONCE,
    STEPS,
    image,
    nested,
    record,
    sequence,
    tensor,
    text,
    tfrecord,
    walk,
    write_pictures,
    write_tfds,
    write_walks,
)


class TestRlds(NamingSourceContract):
    any_task = True
    files_named: ClassVar = {
        "template": lambda folder, name: edited_json(
            folder / "dataset_info.json",
            lambda info: info.update(splits=[{"name": "train", "numShards": "1", "filepathTemplate": name}]),
        )
    }
    arrays_named: ClassVar = {
        "feature": lambda folder, name: write_tfds(
            folder, {**STEPS, name: tensor("float32")}, [[record(walk(0, 3, True, **{f"steps/{name}": np.zeros(4)}))]]
        )
    }

    def write(self, folder: Path) -> None:
        write_walks(folder)

    def source(self, folder: Path) -> RldsSource:
        return RldsSource(str(folder))


class TestPictures(SourceContract):
    any_task = True

    def write(self, folder: Path) -> None:
        write_pictures(folder, 4)

    def source(self, folder: Path) -> RldsSource:
        return RldsSource(str(folder), mission="language_instruction")


def read(folder: Path, **settings: Any) -> tuple[list[Episode], dict[str, int]]:
    """The episodes, and how often each quirk was met."""
    source = RldsSource(str(folder), **settings)
    episodes = list(source.episodes("toy", "corner"))
    return episodes, {quirk.name: quirk.count for quirk in source.quirks("toy", "corner")}


def one(folder: Path, values: Mapping[str, Any], steps: Mapping[str, Any] = STEPS, **settings: Any) -> Any:
    """What is read of a dataset with one episode."""
    return read(write_tfds(folder / "set", dict(steps), [[record(values)]], ONCE), **settings)


def test_each_step_is_what_was_written(tmp_path: Path):
    write_walks(tmp_path)
    episodes, quirks = read(tmp_path)
    assert [episode.length for episode in episodes] == [2, 3, 4, 5]
    for number, episode in enumerate(episodes):
        values = walk(number, 2 + number, number % 2 == 0)
        np.testing.assert_array_equal(episode.steps["observation/state"], values["steps/observation/state"])
        assert episode.steps["observation/small"].dtype == np.int8
        np.testing.assert_array_equal(episode.steps["observation/small"], values["steps/observation/small"])
        np.testing.assert_array_equal(episode.steps["action"], values["steps/action"])
        np.testing.assert_array_equal(episode.steps["reward"], values["steps/reward"])
        assert (episode.terminated, episode.truncated) == (number % 2 == 0, number % 2 == 1)
        assert episode.has_final_observation
        assert episode.info_texts["language_instruction"] == ["pick up the red ball"] * episode.length
        assert episode.reset_info["episode_id"] == number
        assert episode.reset_texts == {"file": f"logs/{number}.npz"}
    assert not quirks


def test_a_text_is_the_mission_where_it_is_named(tmp_path: Path):
    (episode,), _ = one(tmp_path, walk(0, 3, True), mission="language_instruction")
    assert episode.mission == "pick up the red ball"
    assert not episode.info_texts
    texts = ["go", "go", "stop", "stop"]
    (episode,), quirks = one(
        tmp_path, walk(0, 3, True, **{"steps/language_instruction": texts}), mission="language_instruction"
    )
    assert (episode.mission, quirks["varying_missions"]) == ("go", 1)
    assert episode.info_texts["language_instruction"] == texts[:3]


def test_a_last_row_that_is_a_step_is_one_where_that_is_set(tmp_path: Path):
    values = walk(0, 3, False, **{"steps/reward": np.float32([1, 2, 3, 4]), "steps/action": np.array([1, 2, 3, 0])})
    (episode,), quirks = one(tmp_path, values)
    assert episode.steps["reward"].tolist() == [1, 2, 3, 0]
    assert quirks == {"last_row_values": 1}
    (episode,), quirks = one(tmp_path, values, last_row="valid")
    assert episode.steps["reward"].tolist() == [1, 2, 3, 4, 0]
    assert not episode.has_final_observation
    assert not episode.steps["observation/state"][-1].any()
    assert quirks == {"contradicting_discounts": 1}


@pytest.mark.parametrize(
    ("changed", "quirk"),
    [
        ({"steps/is_last": np.zeros(4, bool)}, "incomplete"),
        ({"steps/is_first": np.zeros(4, bool)}, "incomplete"),
        ({"invalid": True}, "invalid_episodes"),
    ],
)
def test_an_episode_that_is_none_is_left_out_and_counted(tmp_path: Path, changed: dict[str, Any], quirk: str):
    records = [record(walk(0, 3, True, **changed)), record(walk(1, 3, True, invalid=False))]
    if "invalid" not in changed:
        records[0] = record(walk(0, 3, True, invalid=False, **changed))
    write_tfds(tmp_path, STEPS, [records], ONCE | {"invalid": tensor("bool")})
    episodes, quirks = read(tmp_path)
    assert [int(episode.reset_info["episode_id"]) for episode in episodes] == [1]
    assert quirks == {quirk: 1}


def test_an_episode_of_one_row_is_left_out_and_counted(tmp_path: Path):
    write_tfds(tmp_path, STEPS, [[record(walk(0, 0, False)), record(walk(1, 1, False))]], ONCE)
    episodes, quirks = read(tmp_path)
    assert [episode.length for episode in episodes] == [1]
    assert quirks == {"empty_episodes": 1}


def test_what_is_not_there_is_made_by_rule_and_told(tmp_path: Path):
    without = {name: node for name, node in STEPS.items() if name not in ("reward", "discount")}
    (episode,), quirks = one(tmp_path, walk(0, 3, True), without)
    assert episode.steps["discount"].tolist() == [1, 1, 0, 0]
    assert not episode.steps["reward"].any()
    assert set(quirks) == {"no_rewards", "no_discounts"}
    without = {name: node for name, node in STEPS.items() if name not in ("is_terminal", "is_first", "is_last")}
    (episode,), quirks = one(tmp_path, walk(0, 3, True), without)
    assert episode.terminated
    assert set(quirks) == {"no_terminals"}


def test_is_terminal_counts_more_than_a_discount(tmp_path: Path):
    values = walk(0, 3, True, **{"steps/discount": np.ones(4, np.float32)})
    (episode,), quirks = one(tmp_path, values)
    assert episode.terminated
    assert quirks == {"contradicting_discounts": 1}
    assert episode.steps["discount"].tolist() == [1, 1, 1, 0]


def test_pictures_are_read_as_they_were_and_jpeg_is_marked(tmp_path: Path):
    write_pictures(tmp_path)
    episodes, quirks = read(tmp_path)
    assert quirks["lossy_pictures"] == len(episodes) == 2
    for number, episode in enumerate(episodes):
        rng = np.random.default_rng(number)
        pixels = rng.integers(0, 256, (3 + number, 8, 9, 3), np.uint8)
        np.testing.assert_array_equal(episode.steps["observation/image"], pixels)
        assert episode.steps["observation/wrist"].shape == pixels.shape
        assert episode.steps["observation/depth"].dtype == np.uint16
        assert episode.steps["observation/joints"].dtype == np.float64
        assert episode.info_texts["observation/hint"][:2] == ["left", "right"]


@pytest.mark.parametrize(
    ("mode", "shape"), [("L", (5, 6, 1)), ("RGB", (5, 6, 3)), ("RGBA", (5, 6, 4)), ("P", (5, 6, 3)), ("1", (5, 6, 1))]
)
def test_a_png_of_any_kind_is_read(tmp_path: Path, mode: str, shape: tuple[int, ...]):
    pixels = np.random.default_rng(0).integers(0, 256, (5, 6, 3), np.uint8)
    picture, file = Image.fromarray(pixels).convert(mode), io.BytesIO()
    picture.save(file, "PNG")
    steps = {**STEPS, "observation": image(*shape)}
    (episode,), _ = one(tmp_path, walk(0, 1, True, **{"steps/observation": [file.getvalue()] * 2}), steps)
    wanted = np.asarray(picture.convert({1: "L", 3: "RGB", 4: "RGBA"}[shape[2]])).reshape(shape)
    np.testing.assert_array_equal(episode.steps["observation"][0], wanted)


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"steps/reward": np.float32([0, np.nan, 0, 0])}, "reward holds NaN.*step 1"),
        ({"steps/discount": np.float32([1, 2, 0, 0])}, r"discount must lie in \[0, 1\]"),
        ({"steps/reward": np.zeros(3, np.float32)}, "same number of rows.*'reward': 3"),
        ({"steps/is_first": np.array([1, 0, 1, 0])}, "is_first is set at row 2"),
        ({"steps/is_last": np.array([0, 1, 0, 1])}, "is_last is set at row 1"),
        ({"steps/observation/state": np.arange(8)}, "should be real numbers, it is whole numbers"),
        ({"steps/observation/small": np.full(8, 200)}, "no int8"),
        ({"steps/observation/small": np.zeros(7, int)}, "7 values, no multiple of 2"),
        ({"steps/language_instruction": [b"\xff"] * 4}, "no UTF-8"),
        ({"episode_id": None}, "episode_id should be there once, it is there 0 times"),
    ],
)
def test_a_record_that_is_wrong_is_named_with_its_place(tmp_path: Path, changed: dict[str, Any], words: str):
    write_tfds(tmp_path, STEPS, [[record(walk(0, 3, True)), record(walk(1, 3, True, **changed))]], ONCE)
    with pytest.raises(InvalidInput, match=rf"(?s)train\.tfrecord-00000-of-00001: record 1: .*{words}"):
        read(tmp_path)


@pytest.mark.parametrize(
    ("steps", "words"),
    [
        ({"tokens": sequence(tensor("int64"))}, r"steps/tokens \(sequence\) cannot be read: it is ragged"),
        ({"inner": sequence(nested({"x": tensor("int64")}))}, r"steps/inner \(sequence\)"),
        ({"any": tensor("float32", -1)}, r"steps/any \(float32\)"),
        ({"words": tensor("string", 3)}, r"steps/words \(string\)"),
        (
            {"action": nested({"x": tensor("int64"), "y": tensor("int64")})},
            "one array is wanted for each step.s action",
        ),
        ({"action": None}, "no array action"),
        ({"observation": None}, "no observation"),
        ({"observation": text()}, "no observation"),
        ({"observation": tensor("int64", encoding="rot13")}, "unknown encoding"),
    ],
)
def test_features_that_no_episode_has_are_refused(tmp_path: Path, steps: dict[str, Any], words: str):
    every = {name: node for name, node in (STEPS | steps).items() if node is not None}
    write_tfds(tmp_path, every, [[record(walk(0, 3, True))]], ONCE)
    with pytest.raises(InvalidInput, match=words):
        RldsSource(str(tmp_path)).identity("toy", "corner")


def test_what_is_left_out_is_not_looked_at(tmp_path: Path):
    steps = STEPS | {"tokens": sequence(tensor("int64"))}
    write_tfds(tmp_path, steps, [[record(walk(0, 3, True))]], ONCE)
    (episode,), _ = read(tmp_path, leave_out=["steps/tokens", "steps/language_instruction"])
    assert not episode.info_texts


def test_no_rlds_at_all_is_named(tmp_path: Path):
    write_tfds(tmp_path, STEPS, [[record({})]])
    (tmp_path / "features.json").write_text(json.dumps(nested({"image": tensor("uint8", 3)})))
    with pytest.raises(InvalidInput, match="no RLDS dataset.*it has image"):
        RldsSource(str(tmp_path)).identity("toy", "corner")
    (tmp_path / "features.json").unlink()
    with pytest.raises(InvalidInput, match=r"3\.2\.1 or older"):
        RldsSource(str(tmp_path)).identity("toy", "corner")


def test_a_data_dir_is_read_where_it_holds_one_dataset(tmp_path: Path):
    write_walks(tmp_path / "walks" / "small" / "1.0.0")
    assert len(read(tmp_path)[0]) == 4
    write_walks(tmp_path / "walks" / "large" / "1.0.0")
    with pytest.raises(InvalidInput, match=r"2 datasets: walks/large/1\.0\.0, walks/small/1\.0\.0"):
        read(tmp_path)
    shutil.rmtree(tmp_path / "walks")
    with pytest.raises(InvalidInput, match=r"no dataset of TensorFlow Datasets. Wanted: the folder of a version"):
        read(tmp_path)


def test_splits_are_read_by_name(tmp_path: Path):
    write_tfds(tmp_path, STEPS, [[record(walk(number, 3, True)) for number in range(2)]], ONCE, split="train")
    write_tfds(tmp_path, STEPS, [[record(walk(7, 2, True))]], ONCE, split="val")
    info = json.loads((tmp_path / "dataset_info.json").read_text())
    info["splits"].insert(0, {"name": "train", "shardLengths": ["2"]})
    (tmp_path / "dataset_info.json").write_text(json.dumps(info))
    assert [len(read(tmp_path, split=split)[0]) for split in ("train", "val")] == [2, 1]
    with pytest.raises(UnknownName, match="Known: train, val"):
        read(tmp_path, split="test")


def test_files_that_are_missing_are_named(tmp_path: Path):
    write_walks(tmp_path)
    (tmp_path / "set-train.tfrecord-00001-of-00002").unlink()
    with pytest.raises(InvalidInput, match="2 files, of which 1 are missing: set-train.tfrecord-00001-of-00002"):
        RldsSource(str(tmp_path)).identity("toy", "corner")


def test_another_number_of_records_is_named(tmp_path: Path):
    write_walks(tmp_path)
    file = tmp_path / "set-train.tfrecord-00001-of-00002"
    file.write_bytes(tfrecord([record(walk(1, 3, False))]))
    with pytest.raises(InvalidInput, match="holds 1 records, and dataset_info.json says 3"):
        read(tmp_path)


def test_files_are_found_by_any_template_and_without_lengths(tmp_path: Path):
    split = {"name": "train", "numShards": "1", "filepathTemplate": "{SPLIT}/{NUM_SHARDS}-{SHARD_INDEX}.x"}
    write_tfds(tmp_path, STEPS, [[record(walk(0, 3, True))]], ONCE, splits=[split])
    (tmp_path / "train").mkdir()
    (tmp_path / "set-train.tfrecord-00000-of-00001").rename(tmp_path / "train" / "00001-00000.x")
    assert len(read(tmp_path)[0]) == 1


def test_settings_that_change_an_episode_are_part_of_the_identity(tmp_path: Path):
    write_walks(tmp_path)
    settings: list[dict[str, Any]] = [
        {}, {"last_row": "valid"}, {"mission": "file"}, {"leave_out": ["file"]}
    ]  # fmt: skip
    identities = [RldsSource(str(tmp_path), **each).identity("toy", "corner") for each in settings]
    assert len({json.dumps(each, sort_keys=True) for each in identities}) == len(settings)
    with pytest.raises(UnknownName, match="dummy, valid"):
        RldsSource(str(tmp_path), last_row="none")


def test_an_action_of_several_arrays_is_joined_or_chosen(tmp_path: Path):
    steps = {**STEPS, "action": nested({"b": tensor("float32", 2), "a": tensor("int64")})}
    parts = {"steps/action/b": np.float32([[1, 2], [3, 4]]), "steps/action/a": np.array([7, 8]), "steps/action": None}
    (episode,), quirks = one(tmp_path, walk(0, 1, True, **parts), steps, action="join")
    assert episode.steps["action"].tolist() == [[7, 1, 2], [0, 0, 0]]
    assert quirks == {"last_row_values": 1}
    (episode,), _ = one(tmp_path, walk(0, 1, True, **parts), steps, action="b")
    assert episode.steps["action"].tolist() == [[1, 2], [0, 0]]
    assert episode.steps["info/action/a"].tolist() == [7, 8]
    with pytest.raises(InvalidInput, match="(?s)there are action/a, action/b.*source.action=join"):
        one(tmp_path, walk(0, 1, True, **parts), steps)
    with pytest.raises(InvalidInput, match="no array action/c"):
        one(tmp_path, walk(0, 1, True, **parts), steps, action="c")


def test_names_of_other_projects_become_safe_ones(tmp_path: Path):
    steps = {**STEPS, "observation": nested({"..": tensor("float32"), "a b:c": tensor("float32")}), "x.json": text()}
    values = walk(0, 1, True, **{"steps/observation/..": np.zeros(2), "steps/observation/a b:c": np.ones(2)})
    (episode,), _ = one(tmp_path, values | {"steps/x.json": ["", "y"]}, steps)
    names = {name for name in episode.steps if name.startswith("observation")}
    assert names == {"observation/%2E%2E", "observation/a b%3Ac"}
    assert re.fullmatch(r"x%2Ejson", next(name for name in episode.info_texts if name.startswith("x")))
    assert replace(episode).digest() == episode.digest()
