"""A job of a sweep whose interpreter crashes or is killed: the others finish, and the same command makes the rest."""

import json

import pytest

from pipeline.machine.forked import can_fork
from tests.crashing import WORDS
from tests.test_run import digests, run

pytestmark = pytest.mark.skipif(not can_fork(), reason="no process can be forked here")

SWEEP = ("-m", "stage=collect", *WORDS, "task=corner,maze,key", "episodes=2", "workers=1", "policy=random")
REASONS = {
    "segfault": "The process crashed (SIGSEGV) in string_at of ctypes/__init__.py",
    "exit": "The process ended with exit status 0 and without a word",
    "kill": "The process was killed (SIGKILL)",
}


@pytest.mark.parametrize(
    ("launcher", "corner", "maze"),
    [
        ("basic", "segfault", "exit"),
        pytest.param("joblib", "kill", "segfault", marks=pytest.mark.slow),
        pytest.param("basic", "kill", "kill", marks=pytest.mark.slow),
        pytest.param("joblib", "exit", "exit", marks=pytest.mark.slow),
    ],
)
def test_a_crash_ends_one_job_alone_and_the_same_command_goes_on(tmp_path, monkeypatch, launcher, corner, maze):
    words = (*SWEEP, f"hydra/launcher={launcher}")
    monkeypatch.setenv("CRASH_CORNER", corner)
    monkeypatch.setenv("CRASH_MAZE", maze)
    text = run(tmp_path, *words, status=1)
    entries = [json.loads(path.read_text()) for path in sorted(tmp_path.rglob("failed.json"))]
    assert [(entry["stage"], entry["task"]) for (entry,) in entries] == [
        ("collect", "toy/corner"), ("collect", "toy/maze"),
    ]  # fmt: skip
    for (entry,), how in zip(entries, (corner, maze), strict=True):
        assert entry["message"].startswith(REASONS[how])
        assert entry["message"] in text
        assert "the same command goes on" in entry["message"]
    assert "2 failed" in text
    assert digests(tmp_path, "key")
    monkeypatch.delenv("CRASH_CORNER")
    monkeypatch.delenv("CRASH_MAZE")
    text = run(tmp_path, *words)
    assert "collect toy/key found" in text
    assert "collect toy/corner built" in text
    assert "collect toy/maze built" in text
