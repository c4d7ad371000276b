"""A domain: its tasks under the names that people write, and how to make one environment of it."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pipeline.command import override
from pipeline.errors import InvalidInput, unknown_name
from pipeline.interfaces import Environment
from pipeline.wording import check_count, check_type


@dataclass(frozen=True)
class Regent:
    """How REGENT prepares this domain (paper arXiv:2412.04759, appendix; JAT chunking for `row_width`).

    Attributes:
        row_width: steps in one row of the tokenised JAT layout.
        demos: leading episodes that may be retrieved.
        neighbours: how many are kept per state; training uses the first 19.
        states: query rows are taken until they hold this many states.
        rows_per_demo: the pool is cut to this many rows for each of its episodes, all together; None does not cut.
        missions: a state retrieves inside its own mission; `demos` are then those of each mission.
        fewest: tasks whose missions need fewer episodes than `demos` to take part -> how many.
    """

    row_width: int
    demos: int
    neighbours: int
    states: int
    rows_per_demo: int | None = None
    missions: bool = False
    fewest: Mapping[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("row_width", "demos", "neighbours", "states"):
            check_count(f"domain.regent.{name}", getattr(self, name))
        check_type("domain.regent.rows_per_demo", self.rows_per_demo, int | None, "a whole number or null")
        check_type("domain.regent.missions", self.missions, bool, "true or false")
        check_type("domain.regent.fewest", self.fewest, Mapping, "numbers by task")


@dataclass(frozen=True)
class Domain:
    """What `conf/domain/<name>.yaml` builds.

    Attributes:
        tasks: every task under its JAT name, in JAT's order.
        version: generation of the simulator's tasks, where there are several.
        unseen: tasks held out from training; their queries are the pool itself.
        spellings: patterns with `{task}` of other names that are understood; `<name>-{task}` always is.
        aliases: irregular other names -> tasks; the patterns hold for them, too.
        environment: makes one simulator when called with `task=`.
        episodes: collected when the user asks for neither episodes nor states.
        display_name: what people call it, where that is not its name; changes no data.
        settings: values below `domain.` that a command must give again to mean this domain; most need none.

    Raises InvalidInput for values of the wrong type, and for no task.
    """

    name: str
    max_steps: int | None
    episodes: int
    environment: Callable[..., Environment]
    tasks: Sequence[str]
    regent: Regent
    unseen: Sequence[str] = ()
    version: str | None = None
    spellings: Sequence[str] = ()
    aliases: Mapping[str, str] = field(default_factory=dict)
    display_name: str | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_type("domain.max_steps", self.max_steps, int | None, "a whole number or null")
        check_count("domain.episodes", self.episodes)
        check_type("domain.regent", self.regent, Regent, "what conf/domain/toy.yaml has there")
        check_type("domain.aliases", self.aliases, Mapping, "tasks by their other names")
        for name in ("tasks", "unseen", "spellings"):
            _check_texts(f"domain.{name}", getattr(self, name))
        if isinstance(self.tasks, list) and not self.tasks:
            raise InvalidInput("domain.tasks=[] leaves no task. Leave it out for all of them.")

    @property
    def words(self) -> str:
        """What a command says to mean this domain, quoted for a shell: `domain=gym domain.env_id=CartPole-v1`."""
        return shlex.join([f"domain={self.name}", *(override(f"domain.{k}", v) for k, v in self.settings.items())])

    @property
    def label(self) -> str:
        """`gym`, or `gym (Pole on a cart)` where people call it something else."""
        return f"{self.name} ({self.display_name})" if self.display_name else self.name

    def task(self, name: str) -> str:
        """The JAT name of a task in any understood spelling. Raises UnknownName with the nearest names."""
        wanted = _plain(name)
        for known, task in {**{task: task for task in self.tasks}, **self.aliases}.items():
            if wanted in {_plain(spelling) for spelling in self._spellings(known)}:
                return task
        raise unknown_name(f"{self.name} task", name, self.tasks)

    def _spellings(self, name: str) -> list[str]:
        return [name, f"{self.name}-{name}", *(pattern.format(task=name) for pattern in self.spellings)]


def _check_texts(setting: str, value: object) -> None:
    if isinstance(value, Sequence) and not isinstance(value, (str, list, tuple)):
        return  # a sequence of the domain's own, such as one that cannot be read before an id is given
    if not isinstance(value, (list, tuple)) or not all(isinstance(each, str) for each in value):
        raise InvalidInput(f"{setting}={value} is of the wrong type: it must be a list of texts.")


def _plain(name: Any) -> str:
    return "".join(character for character in str(name).lower() if character.isalnum())
