"""`format=simple` against the contract."""

from __future__ import annotations

from pipeline.formats.image_text.simple import SimpleFormat
from tests.contracts.one_way import OneWayContract


class TestSimple(OneWayContract):
    def format(self) -> SimpleFormat:
        return SimpleFormat()
