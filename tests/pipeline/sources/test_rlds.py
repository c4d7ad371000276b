"""RLDS in: datasets that other projects wrote, by the rules of RLDS."""

from __future__ import annotations

from pathlib import Path

from pipeline.sources.rlds.source import RldsSource
from tests.contracts.source import SourceContract
from tests.rlds_files import write_walks


class TestRlds(SourceContract):
    any_task = True

    def write(self, folder: Path) -> None:
        write_walks(folder)

    def source(self, folder: Path) -> RldsSource:
        return RldsSource(str(folder))
