"""LeRobot sets of others, as they say they are."""

from __future__ import annotations

import io
import shutil
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from PIL import Image

from pipeline.episode import Episode
from pipeline.errors import InvalidInput
from pipeline.frames.video import write_video
from pipeline.sources.lerobot.source import LeRobotSource
from tests.contracts.source import NamingSourceContract
from tests.lerobot_files import FPS, LeRobotFiles
from tests.named import edited_json


def name_rows(folder: Path, name: str) -> None:
    """The rows are to be found under that name alone."""
    shutil.rmtree(folder / "data")
    edited_json(folder / "meta/info.json", lambda info: info.update(data_path=name))


def write_column(folder: Path, name: str) -> None:
    """The set with a column of that name."""
    files = LeRobotFiles([3, 1, 4])
    for each in (files.columns, files.features):
        each[name] = each.pop("next.success")
    shutil.rmtree(folder)
    files.write(folder)


class TestLeRobotSource(NamingSourceContract):
    any_task = True
    files_named: ClassVar = {"data_path": name_rows}
    arrays_named: ClassVar = {"column": write_column}

    def write(self, folder: Path) -> None:
        LeRobotFiles([3, 1, 4]).write(folder)

    def source(self, folder: Path) -> LeRobotSource:
        return LeRobotSource(str(folder))


def read(folder: Path, **settings: Any) -> list[Episode]:
    return list(LeRobotSource(str(folder), **settings).episodes("toy", "corner"))


def test_columns_become_arrays_with_the_values_of_the_file(tmp_path: Path):
    files = LeRobotFiles([3, 2])
    files.number("observation.velocity.left", np.arange(5) + 0.5, "float64")
    files.number("gripper.open", [True, False, True, True, False], "bool")
    first, second = read(files.write(tmp_path))
    assert sorted(first.steps) == [
        "action", "discount", "info/gripper/open", "observation/images/top", "observation/state",
        "observation/velocity/left", "reward",
    ]  # fmt: skip
    np.testing.assert_array_equal(first.steps["observation/images/top"][:3], files.pictures[:3])
    np.testing.assert_array_equal(second.steps["observation/images/top"][:2], files.pictures[3:])
    np.testing.assert_array_equal(second.steps["observation/velocity/left"], [[3.5], [4.5], [0]])
    np.testing.assert_array_equal(first.steps["info/gripper/open"], [True, False, True, False])
    np.testing.assert_array_equal(first.steps["reward"][:3], files.columns["next.reward"][:3].astype(np.float64))
    assert first.steps["action"].dtype == np.float32
    assert (first.success, second.success) == (1, 0)
    assert (first.mission, second.mission) == ("task 0", "task 1")
    assert not first.has_final_observation
    assert first.has_final_reward


def test_the_only_observation_is_the_observation(tmp_path: Path):
    (episode,) = read(LeRobotFiles([4], picture=None).write(tmp_path))
    assert episode.steps["observation"].shape == (5, 3)


@pytest.mark.parametrize(
    ("flags", "done", "ends"),
    [
        (["next.done"], None, (False, False, "source")),
        (["next.done"], "terminated", (True, False, "terminated")),
        (["next.done"], "truncated", (False, True, "time_limit")),
        (["next.done", "next.truncated"], None, (False, True, "time_limit")),
        (["next.terminated"], None, (True, False, "terminated")),
        ([], None, (False, False, "source")),
    ],
)
def test_an_end_is_what_the_columns_say(tmp_path: Path, flags: list[str], done: str | None, ends: tuple[Any, ...]):
    files = LeRobotFiles([4], picture=None)
    del files.columns["next.done"], files.features["next.done"]
    for name in flags:
        files.number(name, [False, False, False, True], "bool")
    (episode,) = read(files.write(tmp_path), done=done)
    assert (episode.terminated, episode.truncated, episode.end_reason) == ends
    assert episode.steps["discount"].tolist() == [1, 1, 1, 0 if ends[0] else 1, 0]


def test_a_padded_last_row_is_noted_and_taken_for_an_observation_where_that_is_said(tmp_path: Path):
    files = LeRobotFiles([4], picture=None)
    for name in ("action", "next.reward"):
        files.columns[name][3] = files.columns[name][2]
    files.columns["next.done"] = [False, False, True, True]
    source = LeRobotSource(str(files.write(tmp_path)), done="terminated")
    (episode,) = source.episodes("toy", "corner")
    assert episode.length == 4
    assert "padded_last_rows" in {quirk.name for quirk in source.quirks("toy", "corner")}
    (episode,) = read(tmp_path, done="terminated", last_row="observation")
    assert episode.length == 3
    assert episode.terminated
    assert episode.has_final_observation
    np.testing.assert_array_equal(episode.steps["observation"], files.columns["observation.state"])
    assert not episode.steps["action"][3].any()


def test_what_is_odd_is_kept_and_counted(tmp_path: Path):
    files = LeRobotFiles([4, 2], picture=None)
    files.columns["next.done"][1] = True
    files.columns["timestamp"] = files.columns["timestamp"] * 1.5
    files.columns["task_index"] = [0, 1, 1, 1, 0, 0]
    files.number("note", ["a", None, "b", "b", None, None], "string")
    files.number("labels", [["a"]] * 6, "string", [2])
    del files.columns["next.reward"], files.features["next.reward"]
    source = LeRobotSource(str(files.write(tmp_path)))
    first, second = source.episodes("toy", "corner")
    assert {quirk.name: quirk.count for quirk in source.quirks("toy", "corner")} == {
        "unread_arrays": 1, "no_rewards": 1, "no_terminals": 1, "own_timestamps": 2, "ends_inside": 1,
        "varying_missions": 1,
    }  # fmt: skip
    assert first.steps["info/next/done"].tolist() == [False, True, False, True, False]
    np.testing.assert_allclose(first.steps["info/timestamp"], [0, 0.15, 0.3, 0.45, 0])
    assert first.info_texts == {"note": ["a", None, "b", "b"]}
    assert not second.info_texts
    assert not first.has_final_reward
    assert first.mission == "task 0"


def test_pictures_come_in_other_formats_too(tmp_path: Path):
    files = LeRobotFiles([2], picture=None)
    depth = np.arange(32, dtype=np.uint16).reshape(2, 4, 4) * 1000
    for name, kind, values, channels in (
        ("observation.depth", "TIFF", depth, 1),
        ("observation.photo", "JPEG", np.full((2, 8, 8, 3), 90, np.uint8), 3),
    ):
        cells = []
        for each in values:
            Image.fromarray(each).save(file := io.BytesIO(), kind)
            cells.append({"bytes": file.getvalue(), "path": None})
        files.columns[name] = cells
        shape = [*values.shape[1:3], channels]
        files.features[name] = {"dtype": "image", "shape": shape, "names": ["height", "width", "channels"]}
    source = LeRobotSource(str(files.write(tmp_path)))
    (episode,) = source.episodes("toy", "corner")
    np.testing.assert_array_equal(episode.steps["observation/depth"][:2], depth)
    assert (episode.steps["observation/photo"][:2] == 90).all()
    assert "lossy_pictures" in {quirk.name for quirk in source.quirks("toy", "corner")}


def test_a_frame_of_a_video_is_found_by_its_time(tmp_path: Path):
    pytest.importorskip("av")
    files = LeRobotFiles([3, 4], picture=None)
    name = "observation.images.wrist"
    files.features[name] = {"dtype": "video", "shape": [16, 32, 3], "names": ["height", "width", "channels"]}
    files.facts |= {f"videos/{name}/{key}": [0, 0] for key in ("chunk_index", "file_index")}
    files.facts[f"videos/{name}/from_timestamp"] = [0.0, 3 / FPS]
    folder = files.write(tmp_path)
    video = folder / f"videos/{name}/chunk-000/file-000.mp4"
    video.parent.mkdir(parents=True)
    write_video(video, [np.full((16, 32, 3), 30 * row, np.uint8) for row in range(7)], FPS)
    for start in (0, 1):
        episodes = list(LeRobotSource(str(folder), videos="decode").episodes("toy", "corner", start))
        levels = [episode.steps["observation/images/wrist"][:-1].mean((1, 2, 3)) for episode in episodes]
        np.testing.assert_allclose(np.concatenate(levels), np.arange([0, 3][start], 7) * 30, atol=3)
    assert LeRobotSource(str(folder), videos="decode").identity("toy", "corner")["lossy"] == "video"
    assert "observation" in read(folder, videos="skip")[0].steps
    write_video(video, [np.zeros((16, 32, 3), np.uint8)] * 5, FPS)
    with pytest.raises(InvalidInput, match=r"episode 1: .*file-000.mp4 has no frame at 0.5"):
        read(folder, videos="decode")
