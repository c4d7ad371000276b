"""What is asked of the chain: one value that every stage of it takes."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from pipeline.campaign.tasks import ALL
from pipeline.command import Command
from pipeline.dataset.amount import Amount
from pipeline.dataset.workspace import check_dataset_name
from pipeline.domains.domain import Domain
from pipeline.embedding.settings import Embedding
from pipeline.errors import InvalidInput
from pipeline.regent.context import RETRIEVED
from pipeline.regent.pools import QueryPlan, choose, choose_by_mission
from pipeline.regent.rows import RowLayout
from pipeline.regent.settings import RetrievalSettings
from pipeline.regent.tokens import Tokenizer
from pipeline.wording import check_type


@dataclass(frozen=True)
class Recipe:
    """How the artifacts of the chain are made. Making one opens nothing; `Chain.of` applies it to a workspace.

    Attributes:
        task: one task. A list, `all` or None where tasks are still to be chosen: then see `for_task`.
        dataset: name of the dataset of episodes.
        episodes: only its first so many; None takes all.
        retrieval: pool, queries and metric.
        embedding: makes vectors of pictures; None where observations are vectors.
        images: bins hold the pictures, too: four grey screens of each state as float32, 11 GB for a game.
        upstream_json: beside the bins, the JSON files that the original code reads: hundreds of MB.
        tokenizer: of missions that were collected; ingested ones keep their tokens.

    Raises InvalidInput for values that cannot be, for no domain, and for too few neighbours.
    """

    domain: Domain
    task: str | list[str] | None
    dataset: str
    episodes: int | None = None
    retrieval: RetrievalSettings = field(default_factory=RetrievalSettings)
    embedding: Embedding | None = None
    images: bool = False
    upstream_json: bool = False
    tokenizer: Tokenizer = field(default_factory=Tokenizer)

    def __post_init__(self) -> None:
        if not isinstance(self.domain, Domain):
            raise InvalidInput(
                f"The stages of the chain need a domain: domain=NAME\nWhat is there: {Command('catalog').line()}"
            )
        check_type("dataset", self.dataset, str, "a text")
        check_dataset_name(self.dataset)
        check_type("episodes", self.episodes, int | None, "a whole number or null")
        Amount(self.episodes)
        check_type("bins.images", self.images, bool, "true or false")
        check_type("bins.upstream_json", self.upstream_json, bool, "true or false")
        if self.neighbours < RETRIEVED:
            raise InvalidInput(
                f"retrieval.neighbours={self.neighbours} is too few: distances and bins use the first {RETRIEVED}."
            )

    def for_task(self, task: str) -> Recipe:
        """The same for one task."""
        return dataclasses.replace(self, task=task)

    @property
    def one_task(self) -> str:
        """The task. Raises InvalidInput where none or several were asked for."""
        if not isinstance(self.task, str) or self.task == ALL:
            raise InvalidInput(f"This needs a recipe for one task: recipe.for_task({self.domain.tasks[0]!r})")
        return self.task

    @property
    def unseen(self) -> bool:
        """Whether the task is held out from training: then its queries are the pool itself."""
        return self.task in self.domain.unseen

    @property
    def demos(self) -> int:
        """Episodes that may be retrieved, of each mission where there are missions."""
        return self.retrieval.demos or self.domain.regent.demos

    @property
    def neighbours(self) -> int:
        """Kept for each query."""
        return self.retrieval.neighbours or self.domain.regent.neighbours

    @property
    def states(self) -> int:
        """Query rows are taken until they hold this many states."""
        return self.retrieval.states or self.domain.regent.states

    @property
    def fewest(self) -> int:
        """Episodes that a mission needs to take part."""
        return min(self.demos, self.domain.regent.fewest.get(self.one_task, self.demos))

    def choose(self, layout: RowLayout, missions: Callable[[], Sequence[str]]) -> QueryPlan:
        """Queries and pools of a dataset, by the domain's rule. `missions` gives those of all its episodes.

        Raises InvalidInput where nothing is left to retrieve.
        """
        regent = self.domain.regent
        if regent.missions:
            return choose_by_mission(layout, missions(), self.demos, self.states, self.fewest)
        return choose(layout, self.demos, self.states, self.unseen, regent.rows_per_demo)

    def retrieval_parameters(self) -> dict[str, object]:
        """What was asked for, as it stands in the manifest of a retrieval."""
        regent = self.domain.regent
        rule: dict[str, object] = {"queries": "pool" if self.unseen else "leading rows"}
        if regent.missions:
            rule = {"queries": "missions", "fewest": self.fewest}
        elif regent.rows_per_demo is not None:
            rule["rows_per_demo"] = regent.rows_per_demo
        return {
            "metric": self.retrieval.metric,
            "demos": self.demos,
            "neighbours": self.neighbours,
            "states": None if self.unseen else self.states,
            **rule,
            "row_width": regent.row_width,
        }
