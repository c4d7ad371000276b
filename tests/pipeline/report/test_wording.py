"""Texts without the folders of the machine."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from pipeline.report.wording import portable_command, short_command, without_folders


@pytest.mark.parametrize(
    ("text", "short"),
    [
        ("no weights at /data/nets/resnet.pt.", "no weights at …/resnet.pt."),
        (f"{Path.home()}/my folder/x is gone", "…/my folder/x is gone"),
        (f"the file {Path.cwd()}/outputs/a.json", "the file …/a.json"),
        ("see https://example.org/a/b and toy/maze/episodes", "see https://example.org/a/b and toy/maze/episodes"),
        ("1/2 of them, /proc and ../up/there", "1/2 of them, /proc and ../up/there"),
    ],
)
def test_absolute_paths_keep_their_last_name_only(text: str, short: str):
    assert without_folders(text) == short


@pytest.mark.parametrize(
    ("command", "short"),
    [
        ("python run.py 'stage=[frames,report]' task=pong", "python run.py 'stage=[frames,report]' task=pong"),
        ("python run.py 'paths.root=/mnt/my data/out' task=pong", "python run.py paths.root=…/out task=pong"),
        ("python run.py source.path=/mnt/jat", "python run.py source.path=…/jat"),
        ("python run.py 'policy.files=[/a/b/c.zip,/a/b/d.zip]'", "python run.py 'policy.files=[…/c.zip,…/d.zip]'"),
        ("python run.py domain.display_name='it is'", "python run.py 'domain.display_name=it is'"),
    ],
)
def test_a_command_keeps_its_words_and_loses_its_folders(command: str, short: str):
    assert short_command(command) == short


def test_a_command_to_paste_asks_the_shell_for_folders_and_never_runs_in_a_wrong_one(tmp_path: Path):
    line = portable_command(f"python {tmp_path}/run.py task=pong 'paths.root={tmp_path}/my data' 'source.path=my log'")
    assert line == "python run.py task=pong paths.root=\"${PATHS_ROOT:?}\" 'source.path=my log'"
    printed = line.replace("python run.py", "printf '%s|'")
    unset = subprocess.run(["bash", "-c", printed], capture_output=True, text=True, env={}, check=False)
    assert unset.returncode != 0
    assert "PATHS_ROOT" in unset.stderr
    put_in = {"PATHS_ROOT": f"{tmp_path}/my data"}
    found = subprocess.run(["bash", "-c", printed], capture_output=True, text=True, env=put_in, check=True)
    assert found.stdout == f"task=pong|paths.root={tmp_path}/my data|source.path=my log|"
