"""`format=interleaved` against the contract."""

from __future__ import annotations

from pipeline.formats.image_text.interleaved import InterleavedFormat
from tests.contracts.one_way import OneWayContract


class TestInterleaved(OneWayContract):
    def format(self) -> InterleavedFormat:
        return InterleavedFormat()
