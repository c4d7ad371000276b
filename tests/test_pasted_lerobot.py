"""What is suggested about LeRobot sets, each provoked and pasted into a warm shell."""

import numpy as np
import pytest

from pipeline.frames.video import write_video
from tests.lerobot_files import FPS, LeRobotFiles
from tests.warm_shell import WarmShell

pytestmark = pytest.mark.slow

MUJOCO = ("domain=mujoco", "dataset=d-v1", "domain.max_steps=5")


@pytest.fixture
def shell(tmp_path):
    shell = WarmShell(tmp_path)
    yield shell
    shell.close()


def test_tasks_with_other_arrays_are_exported_one_by_one(shell):
    shell.run("stage=collect", *MUJOCO, "task=[hopper,walker]", "policy=random", "episodes=1", "workers=1")
    commands = shell.suggested("stage=export", *MUJOCO, "task=[hopper,walker]", "format=lerobot")
    assert len(commands) == 2
    for command in commands:
        shell.pasted(command)


def test_videos_are_decoded_or_left_out(shell):
    files = LeRobotFiles([3, 2])
    shape = files.pictures.shape[1:]
    files.features["observation.images.wrist"] = {"dtype": "video", "shape": list(shape), "names": None}
    for name in ("chunk_index", "file_index"):
        files.facts[f"videos/observation.images.wrist/{name}"] = [0, 0]
    files.facts["videos/observation.images.wrist/from_timestamp"] = [0.0, 3 / FPS]
    folder = files.write(shell.folder / "a set")
    path = folder / "videos/observation.images.wrist/chunk-000/file-000.mp4"
    path.parent.mkdir(parents=True)
    write_video(path, [np.full(shape, 40 * row, np.uint8) for row in range(5)], FPS)
    words = ("stage=ingest", "source=lerobot", "source.path=a set", "domain=toy", "task=corner")
    decode, skip = shell.suggested(*words)
    shell.pasted(f"{decode} dataset=decoded-v1")
    shell.pasted(f"{skip} dataset=skipped-v1")
