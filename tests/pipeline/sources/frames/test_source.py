from __future__ import annotations

from pathlib import Path

from pipeline.sources.frames.source import FramesSource
from tests.contracts.source import SourceContract
from tests.frame_files import write_tree


class TestFrames(SourceContract):
    domain, task = "atari", "alien"

    def write(self, folder: Path) -> None:
        write_tree(folder)

    def source(self, folder: Path) -> FramesSource:
        return FramesSource(str(folder))


class TestFramesAsAgentsSeeThem(TestFrames):
    def source(self, folder: Path) -> FramesSource:
        return FramesSource(str(folder), "grey84")
