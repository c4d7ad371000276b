"""RLDS out, and back through its own door."""

from __future__ import annotations

from pipeline.formats.rlds.format import RldsFormat
from tests.contracts.format import FormatContract


class TestTfrecord(FormatContract):
    resumes = True

    def format(self) -> RldsFormat:
        return RldsFormat("tfrecord", shard_size=1e-5)


class TestArrayRecord(FormatContract):
    resumes = True

    def format(self) -> RldsFormat:
        return RldsFormat(shard_size=1e-5)
