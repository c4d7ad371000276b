"""RLHF-Blender's files: what every form keeps, and its own rules."""

from __future__ import annotations

from pipeline.formats.blender.format import BlenderFormat
from tests.contracts.one_way import OneWayContract


class TestBlenderFormat(OneWayContract):
    resumes = True

    def format(self) -> BlenderFormat:
        return BlenderFormat()
