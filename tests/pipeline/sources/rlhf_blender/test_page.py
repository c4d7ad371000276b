"""The page of the source: its code gives the steps that the door gives."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from pipeline.sources.rlhf_blender.source import BlenderSource
from tests.matrix import ROOT
from tests.pipeline.sources.rlhf_blender.test_source import TASK, run_of
from tests.rlhf_blender_files import write_run


def test_the_code_of_the_page_prints_the_steps_that_come_in(tmp_path: Path, capsys):
    (code,) = re.findall(r"```python\n(.*?)```", (ROOT / "docs/sources/rlhf_blender.md").read_text(), re.DOTALL)
    write_run(tmp_path, run_of(4, 3, 9, most=5))
    exec(code, {"tree": str(tmp_path)})
    shown = capsys.readouterr().out.splitlines()
    for number, episode in enumerate(BlenderSource(str(tmp_path)).episodes(*TASK)):
        observation, reward = episode.steps["observation"], episode.steps["reward"][:-1]
        assert shown[number] == f"{number} {episode.length} {np.sum(reward)} {observation[0]} {observation[-1]}"
    assert len(shown) == 3
