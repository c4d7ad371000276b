"""What a stage declares about itself: the campaign asks this, and reads nothing out of the stage's settings."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class StageFacts:
    """What a campaign must know of a stage before it calls it. Each module of `stages` has one, `FACTS`.

    Attributes:
        per_task: it runs once for every task and dataset; otherwise once for all, and may print instead of making.
        begins: it needs no dataset that is there already, so it can work on every task of the domain.
        tasks: gives the domain's tasks that can be had at all, or None where that cannot be known beforehand.
        foresee: raises what would stop the stage for every task, whatever these hold, before hours of earlier stages.

    The two functions are called with those of the stage's settings that they name as parameters. Of a setting that
    belongs to one task, `foresee` is given that of the first.
    """

    per_task: bool = True
    begins: bool = False
    tasks: Callable[..., Sequence[str] | None] | None = None
    foresee: Callable[..., None] | None = None
