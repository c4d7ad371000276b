"""LeRobot sets of others, as they say they are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.episode import Episode
from pipeline.errors import InvalidInput
from pipeline.sources.lerobot.source import LeRobotSource
from tests.contracts.source import SourceContract
from tests.lerobot_files import LeRobotFiles


class TestLeRobotSource(SourceContract):
    any_task = True

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
    ("version", "wanted"), [("v2.1", "convert_dataset_v21_to_v30.*--root="), ("v4.0", "should be v3.0"), (7, "is 7")]
)
def test_other_versions_are_refused(tmp_path: Path, version: Any, wanted: str):
    files = LeRobotFiles([4], picture=None)
    files.info["codebase_version"] = version
    with pytest.raises(InvalidInput, match=wanted):
        read(files.write(tmp_path))
