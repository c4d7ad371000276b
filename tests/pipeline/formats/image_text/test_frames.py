"""`format=frames` against the contract."""

from __future__ import annotations

from pipeline.formats.image_text.frames import FramesFormat
from tests.contracts.one_way import OneWayContract


class TestFrames(OneWayContract):
    resumes = True

    def format(self) -> FramesFormat:
        return FramesFormat()
