"""What a manifest keeps of the run that made it."""

from __future__ import annotations

import json
import platform
import shlex
import subprocess
import sys
import time
from importlib import metadata
from pathlib import Path

import numpy as np

from pipeline.command import typed
from pipeline.machine.provenance import Stopwatch, peak_memory, program_commit, versions


def test_a_record_is_json_and_its_seconds_are_those_since_the_start():
    watch = Stopwatch()
    time.sleep(0.05)
    record = json.loads(json.dumps(watch.record()))
    assert 0.05 <= record["seconds"] < 60
    assert record["host"] == platform.node()
    assert record["peak_memory_bytes"] > 2**20


def test_peak_memory_is_in_bytes_and_never_falls():
    block = np.ones(2**23)
    assert peak_memory() >= block.nbytes
    highest = peak_memory()
    del block
    assert peak_memory() >= highest


def test_versions_are_those_of_the_installed_packages_alone():
    assert versions()["python"] == platform.python_version()
    assert versions()["numpy"] == metadata.version("numpy")
    assert all(versions().values())


def test_the_commit_is_that_of_the_checkout_and_empty_outside_of_one():
    root = Path(__file__).parents[3]
    if (root / ".git").exists():
        head = subprocess.run(["git", "rev-parse", "HEAD"], cwd=root, capture_output=True, text=True, check=True)
        assert program_commit().removesuffix("+") == head.stdout.strip()
    else:
        assert program_commit() == ""


def test_outside_run_py_the_command_is_that_of_the_program(monkeypatch):
    assert not typed().words
    monkeypatch.setattr(sys, "argv", ["/somewhere/train.py", "--note", "two words"])
    command = Stopwatch().record()["command"]
    assert shlex.split(command) == ["python", "train.py", "--note", "two words"]
    monkeypatch.setattr(
        sys, "argv", ["train.py", "--hf_token", "hushed", "--api-key=hu shed", "ftp://a:hushed@h", "-n", "3"]
    )
    words = ["--hf_token", "[secret]", "--api-key=[secret]", "ftp://h", "-n", "3"]
    assert shlex.split(Stopwatch().record()["command"]) == ["python", "train.py", *words]
