"""The demo, with the toy domain in the place of Meta-World, and an agent that learns online."""

import re
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest

ROOT = Path(__file__).parent.parent


def demo(root: Path, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "examples" / "demo.py"), "domain=toy", f"paths.root={root}", *words]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_the_demo_ends_with_a_line_for_each_task_and_the_pages_that_it_made(tmp_path):
    done = demo(tmp_path, "task=[corner,maze]", "episodes=6", "workers=1")
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.findall(r"^ *(toy/\w+) +6 +100%", done.stdout, re.MULTILINE) == ["toy/corner", "toy/maze"]
    pages = dict(re.findall(r"^(toy/\w+): (.+)$", done.stdout, re.MULTILINE))
    assert list(pages) == ["toy/corner", "toy/maze", "toy/_all"]
    assert all(Path(page).is_file() for page in pages.values())


@pytest.mark.slow
def test_a_demo_that_makes_nothing_says_why_and_nothing_else(tmp_path):
    done = demo(tmp_path, "task=nowhere")
    assert done.returncode == 1
    assert "There is no toy task named nowhere" in done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr


@pytest.mark.slow
def test_an_agent_learns_to_catch_and_its_log_is_a_kabuki_file(tmp_path):
    out = tmp_path / "catch.hdf5"
    command = [sys.executable, str(ROOT / "examples" / "kabuki_catch.py"), str(out), str(tmp_path / "outputs")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    early, late = (int(share) for share in re.findall(r"(\d+)%", done.stdout))
    assert early < 70 < late
    with h5py.File(out) as file:
        lasts = np.flatnonzero(file["is_last"])
        assert len(lasts) == file["is_first"][...].sum() == 600
        assert file["is_terminal"][...].sum() == 600
        assert file["observation"].shape == (6000, 10, 5)
        np.testing.assert_array_equal(file["discount"][...][lasts - 1], 0)
