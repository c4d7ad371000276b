"""What the config group `retrieval` sets."""

from __future__ import annotations

from dataclasses import dataclass

from pipeline.errors import InvalidInput, unknown_name
from pipeline.search.metric import Metric, check_metric
from pipeline.wording import check_type

DEVICES = ("auto", "cpu", "cuda")


@dataclass(frozen=True)
class RetrievalSettings:
    """Which states query, which may be retrieved, and how they are compared; None takes the domain's own value.

    Attributes:
        metric: `l2` or `cosine`.
        demos: episodes of the pool.
        neighbours: kept per state, at least 19.
        states: query rows are taken until they hold this many.
        device: where large pools are searched: `cpu`, `cuda`, or `auto`, a GPU where there is one; with equal results.
    """

    metric: Metric = "l2"
    demos: int | None = None
    neighbours: int | None = None
    states: int | None = None
    device: str = "auto"

    def __post_init__(self) -> None:
        if self.device not in DEVICES:
            raise unknown_name("retrieval.device", self.device, DEVICES)
        check_metric(self.metric, "retrieval.metric")
        for name in ("demos", "neighbours", "states"):
            value = getattr(self, name)
            check_type(f"retrieval.{name}", value, int | None, "a whole number or null")
            if value is not None and value < 1:
                raise InvalidInput(f"retrieval.{name}={value} must be at least 1.")
