"""LeRobotDataset v3.0 out, and back by its door."""

from __future__ import annotations

from pipeline.formats.lerobot.format import LeRobotFormat
from tests.contracts.format import FormatContract


class TestLeRobot(FormatContract):
    resumes = True

    def format(self) -> LeRobotFormat:
        return LeRobotFormat(file_mb=0.002)
