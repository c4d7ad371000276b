"""Texts without the folders of the machine."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.report.wording import short_command, without_folders


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
