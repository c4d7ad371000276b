"""Which states of a dataset query and which may be retrieved, as the config group `retrieval` and the domain say."""

from __future__ import annotations

from dataclasses import dataclass

from pipeline.dataset.reader import EpisodeDataset
from pipeline.domains.domain import Domain
from pipeline.errors import InvalidInput, unknown_name
from pipeline.regent.context import RETRIEVED
from pipeline.regent.pools import QueryPlan, choose, choose_by_mission
from pipeline.regent.rows import RowLayout
from pipeline.search.metric import Metric, check_metric

DEVICES = ("auto", "cpu", "cuda")


@dataclass(frozen=True)
class RetrievalSettings:
    """What the config group `retrieval` sets; None takes the domain's own value.

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
            if value is not None and value < 1:
                raise InvalidInput(f"retrieval.{name}={value} must be at least 1.")


@dataclass(frozen=True)
class Queries:
    """The choice for one dataset.

    Attributes:
        neighbours: kept for each query.
        parameters: what was asked for, as it stands in the manifest of a retrieval.
    """

    layout: RowLayout
    choice: QueryPlan
    neighbours: int
    parameters: dict[str, object]


def choose_queries(domain: Domain, task: str, dataset: EpisodeDataset, settings: RetrievalSettings) -> Queries:
    """Apply the domain's rule. Raises InvalidInput for settings that leave nothing to retrieve."""
    regent, unseen = domain.regent, task in domain.unseen
    neighbours = settings.neighbours or regent.neighbours
    if neighbours < RETRIEVED:
        raise InvalidInput(
            f"retrieval.neighbours={neighbours} is too few: distances and bins use the first {RETRIEVED}."
        )
    layout = RowLayout(dataset.lengths, regent.row_width)
    demos, states = settings.demos or regent.demos, settings.states or regent.states
    rule: dict[str, object] = {"queries": "pool" if unseen else "leading rows"}
    if regent.missions:
        least = min(demos, regent.fewest.get(task, demos))
        choice = choose_by_mission(layout, dataset.texts("mission"), demos, states, least)
        rule = {"queries": "missions", "fewest": least}
    else:
        choice = choose(layout, demos, states, unseen, regent.rows_per_demo)
        if regent.rows_per_demo is not None:
            rule["rows_per_demo"] = regent.rows_per_demo
    parameters = {
        "metric": settings.metric,
        "demos": demos,
        "neighbours": neighbours,
        "states": None if unseen else states,
        **rule,
        "row_width": regent.row_width,
    }
    return Queries(layout, choice, neighbours, parameters)
