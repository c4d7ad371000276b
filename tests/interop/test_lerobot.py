"""LeRobot's own class gives out what we hold, and its tools take our sets."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import numpy as np
import pytest

from pipeline.formats.lerobot.format import LeRobotFormat
from pipeline.sources.lerobot.source import LeRobotSource
from tests.interop.held import at_ends, held_episodes, laid, transitions
from tests.interop.side import run_by, side_python, tool

pytestmark = pytest.mark.interop

FPS = 20


def python_of(version: str) -> Path:
    """The Python with this LeRobot. 0.6 needs a torch of its own: it is taken from a Python 3.12 that has both."""
    if version == "0.4":
        return side_python("lerobot")
    for path in [os.environ.get("LEROBOT06_PYTHON", ""), *tool().candidates("3.12")]:
        words = [path, "-c", "import torch, lerobot"]
        if path and subprocess.run(words, capture_output=True, check=False).returncode == 0:
            return Path(path)
    pytest.skip("no Python 3.12 with lerobot[dataset] 0.6 and torch is here; LEROBOT06_PYTHON can name one")


def by_lerobot(root: str, seen: str, fps: int) -> dict[str, object]:
    """Every row, and windows of three observations and two actions."""
    import os
    from pathlib import Path

    import numpy as np

    os.environ["HF_HOME"] = str(Path.cwd())
    from torch import library

    operators = library.Library("torchvision", "DEF")  # beside a torch for the CPU a torchvision may lack these two
    for name in ("nms", "qnms"):
        operators.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    from lerobot.datasets.lerobot_dataset import LeRobotDataset

    dataset = LeRobotDataset("any/name", root=root)
    rows = [dataset[row] for row in range(len(dataset))]
    found = {name: np.stack([np.asarray(row[name]) for row in rows]) for name in rows[0] if name != "task"}
    found["task"] = np.array([row["task"] for row in rows])
    windows = LeRobotDataset(
        "any/name", root=root, delta_timestamps={seen: [-1 / fps, 0, 1 / fps], "action": [0, 1 / fps]}
    )
    for name in (seen, f"{seen}_is_pad", "action", "action_is_pad"):
        found[f"windows/{name}"] = np.stack([np.asarray(windows[row][name]) for row in range(len(windows))])
    some = LeRobotDataset("any/name", root=root, episodes=[1, 4])
    found["some"] = np.array([int(some[row]["index"]) for row in range(len(some))])
    found["mean"] = np.asarray(dataset.meta.stats[seen]["mean"])
    found["lengths"] = np.array(dataset.meta.episodes["length"])
    return found


def by_merging(one: str, two: str, out: str) -> dict[str, object]:
    """The number of rows of two sets that LeRobot's own tool has merged."""
    import os
    from pathlib import Path

    os.environ["HF_HOME"] = str(Path.cwd())
    from torch import library

    operators = library.Library("torchvision", "DEF")
    for name in ("nms", "qnms"):
        operators.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    from lerobot.datasets.dataset_tools import merge_datasets
    from lerobot.datasets.lerobot_dataset import LeRobotDataset

    sets = [LeRobotDataset("any/name", root=each) for each in (one, two)]
    return {"rows": len(merge_datasets(sets, output_repo_id="any/merged", output_dir=out))}


@pytest.mark.parametrize("version", ["0.4", "0.6"])
@pytest.mark.parametrize("picture", [False, True], ids=["vectors", "screens"])
def test_lerobot_gives_out_our_rows_windows_and_statistics(tmp_path: Path, picture: bool, version: str):
    episodes = held_episodes(picture)
    place = laid(LeRobotFormat(fps=FPS), tmp_path, episodes)
    seen = "observation.image" if picture else "observation.state"
    read = run_by(python_of(version), by_lerobot, place, seen, FPS)
    observations = transitions(episodes, "observation")
    if picture:
        observations = observations[:, np.newaxis].astype(np.float32) / 255
    np.testing.assert_array_equal(read[seen], observations)
    np.testing.assert_array_equal(read["action"], transitions(episodes, "action"))
    np.testing.assert_array_equal(read["next.reward"], transitions(episodes, "reward").astype(np.float32))
    np.testing.assert_array_equal(read["next.done"], at_ends(episodes))
    np.testing.assert_array_equal(
        read["next.terminated"], at_ends(episodes) & np.repeat([e.terminated for e in episodes], read["lengths"])
    )
    assert set(read["task"]) == {"toy/corner"}
    assert read["lengths"].tolist() == [episode.length for episode in episodes]
    ends = np.cumsum(read["lengths"])
    assert read["some"].tolist() == [*range(ends[0], ends[1]), *range(ends[3], ends[4])]
    rows = np.arange(ends[-1])
    first, last = (np.repeat(each, read["lengths"]) for each in (ends - read["lengths"], ends - 1))
    for offset, step in enumerate((-1, 0, 1)):
        at = np.clip(rows + step, first, last)
        np.testing.assert_array_equal(read[f"windows/{seen}"][:, offset], observations[at])
        np.testing.assert_array_equal(read[f"windows/{seen}_is_pad"][:, offset], at != rows + step)
    np.testing.assert_allclose(read["mean"].ravel(), observations.mean((0, 2, 3) if picture else 0), rtol=1e-5)


def test_sets_that_lerobot_merged_come_in_as_those_of_others(tmp_path: Path):
    episodes = held_episodes()
    one, two = (
        laid(LeRobotFormat(fps=FPS), tmp_path / name, part)
        for name, part in (("one", episodes[:5]), ("two", episodes[5:]))
    )
    merged = tmp_path / "merged"
    assert run_by(python_of("0.4"), by_merging, one, two, merged)["rows"] == sum(episode.length for episode in episodes)
    back = list(LeRobotSource(str(merged)).episodes("toy", "corner"))
    assert [episode.length for episode in back] == [episode.length for episode in episodes]
    for episode, expected in zip(back, episodes, strict=True):
        for name in ("observation", "action", "reward"):
            np.testing.assert_array_equal(episode.steps[name][:-1], expected.steps[name][:-1])
