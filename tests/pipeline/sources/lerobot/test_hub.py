"""A set on the hub, at the tag that LeRobot gives it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.sources.lerobot.source import LeRobotSource
from tests.hub_server import serving
from tests.lerobot_files import LeRobotFiles

ROOT = Path(__file__).parents[4]
REPO = "somebody/robot"
READ = """
import json, sys
from pipeline.sources.lerobot.source import LeRobotSource
source = LeRobotSource(repo_id=sys.argv[1], cache=sys.argv[2])
lengths = [episode.length for episode in source.episodes("toy", "corner")]
print(json.dumps([lengths, source.identity("toy", "corner")]))
"""


@pytest.mark.slow
def test_a_set_of_the_hub_is_read_as_a_folder_is(tmp_path: Path):
    folder = LeRobotFiles([3, 4]).write(tmp_path / "set")
    (folder / "images").mkdir()
    (folder / "images/left.png").write_bytes(b"left behind")
    with serving(tmp_path / "hub") as hub:
        hub.create_from(folder, REPO)
        repo = hub.repo(REPO)
        repo.tags["v3.0"] = repo.branches["main"]
        words = [sys.executable, "-c", READ, REPO, str(tmp_path / "cache")]
        here = {"HF_ENDPOINT": hub.url, "HF_HUB_DISABLE_XET": "1", "HF_HUB_DISABLE_IMPLICIT_TOKEN": "1"}
        environment = {key: value for key, value in os.environ.items() if key != "HF_HUB_OFFLINE"}
        environment |= {**here, "PYTHONPATH": str(ROOT)}
        run = subprocess.run(words, env=environment, capture_output=True, text=True, timeout=120, check=False)
        assert run.returncode == 0, run.stderr
        assert "images/left.png" not in hub.sent(REPO)
    lengths, identity = json.loads(run.stdout)
    assert lengths == [3, 4]
    assert identity == LeRobotSource(str(folder)).identity("toy", "corner")
