"""The numbers that a user gives for each job of a sweep, checked before a cluster is asked, and how one refuses."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pipeline.command import Command
from pipeline.errors import InvalidSettings


class Refused(InvalidSettings):
    """The cluster takes no job of this sweep. `instead` is a command that it may take; `label` says what that does."""

    def __init__(self, message: str, label: str = "", instead: Command | None = None) -> None:
        super().__init__(message)
        self.label, self.instead = label, instead

    def __str__(self) -> str:
        return f"{self.args[0]}\n{self.label}: {self.instead.line()}" if self.instead else str(self.args[0])


@dataclass(frozen=True)
class JobNumber:
    """What a setting of the jobs must be.

    Attributes:
        name: how the user calls it.
        wanted: what it must be, in words.
        types: those that it may have; None among them where it may be unset.
        least: the least that it may be.
    """

    name: str
    wanted: str
    types: tuple[type, ...]
    least: float


def check_numbers(settings: Mapping[str, Any], numbers: Mapping[str, JobNumber]) -> None:
    """Raises Refused for settings of a launcher that are no such numbers as they must be."""
    for key, number in numbers.items():
        value: Any = settings.get(key)
        if type(value) not in number.types or (value is not None and not number.least <= value < math.inf):
            raise Refused(f"{number.name}={value} must be {number.wanted}.")
