"""What a campaign knows of a stage: what the stage declares about itself, and how it is called."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from pipeline.artifacts.artifact import Artifact


@dataclass(frozen=True)
class PiecesMade:
    """Pieces of an artifact that no job has joined yet: the stages after it have nothing to read.

    Attributes:
        line: which pieces are there, which are missing, and what joins them.
    """

    line: str


StageResult = Artifact | Sequence[Artifact] | PiecesMade | None
"""What a stage has made: an artifact, several, pieces of one, or nothing but what it printed."""


@dataclass(frozen=True)
class StageFacts:
    """What a campaign must know of a stage before it calls it. Each module of `stages` has one, `FACTS`.

    Attributes:
        per_task: it runs once for every task and dataset; otherwise once for all, and may print instead of making. A
            function where it depends on the settings.
        begins: it needs no dataset that is there already, so it can work on every task of the domain.
        tasks: gives the domain's tasks that can be had at all, or None where that cannot be known beforehand.
        foresee: raises what would stop the stage for every task, whatever these hold, before hours of earlier stages.
        foresee_several: the same where it runs for more tasks than one.
        reads: the names of the datasets that it reads of a task, all of which must be there; by itself it reads the one
            that the command names.
        names_dataset: the dataset that it makes has no name but the one that is given; it is not `<policy>-v1`.

    The functions are called with those of the stage's settings that they name as parameters. Of a setting that
    belongs to one task, `foresee` is given that of the first.
    """

    per_task: bool | Callable[..., bool] = True
    begins: bool = False
    tasks: Callable[..., Sequence[str] | None] | None = None
    foresee: Callable[..., None] | None = None
    foresee_several: Callable[..., None] | None = None
    reads: Callable[..., Sequence[str]] | None = None
    names_dataset: bool = False


class Settings(Protocol):
    """The composed settings of one dataset: they know how each stage is to be called."""

    def call(self, stage: str, task: str | None) -> StageResult:
        """Run a stage: for one task, or, where it runs once, for the tasks that the command names (`task` is None)."""

    def ask(self, stage: str, question: Callable[..., Any], task: str | None) -> Any:
        """Call one of a stage's declared functions with the settings that it names, as they are for `task`."""
