"""The command that a message tells to run next: what it is about, and all that the user typed and that still matters.

    Command("retrieval", "maze", settings={"dataset": "random-v1"}).line()
    python run.py stage=retrieval domain=toy task=maze dataset=random-v1 'paths.root=my data' storage=bin

`run.py` hands over the typed words once for each job (`user_typed`); that is the only state here. Without them, as when
the library is called from Python, a command holds what the code itself knows.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

COLLECT, INGEST = DOORS = ("collect", "ingest")
"""The two stages by which episodes come in."""

DERIVING = ("stitch", "select", "split")
"""The stages that make datasets of others."""

SOURCES = (
    *("d4rl", "dqn_replay", "envlogger", "frames", "jat", "kabuki", "lerobot", "lram", "minari", "ogbench", "rlds"),
    "rlhf_blender",
)
"""The doors, as conf/source has them."""

MADE_BY: dict[str, tuple[str, dict[str, str]]] = {
    "random-v1": (COLLECT, {"policy": "random"}),
    **{f"{source.replace('_', '-')}-v1": (INGEST, {"source": source}) for source in SOURCES},
}
"""What makes the datasets whose names the program itself gives; `scripted-v1` is what the default policy makes."""

CHAIN = ("embeddings", "retrieval", "distances", "bins", "parquet", "report", "report_index", "plan", "publish")
"""Stages that are given a recipe."""

RECIPES = ("all", "regent")
"""Stages that stand for several others."""

NEVER = ("stage", "task", "inputs", "force", "sweep")
"""Words of the command that failed which no other command repeats."""

PLACES = ("paths", "storage", "workspace")
"""Where and how artifacts lie: no recorded command says that of today."""

STAGES_OF: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(("policy", "frames", "render"), (COLLECT,)),
    "seed": (COLLECT, "split"),
    "source": (INGEST, "doctor"),
    **dict.fromkeys(("states", "trust"), DOORS),
    "workers": (*DOORS, "frames", "verify", "doctor"),
    **dict.fromkeys(
        ("dataset", "episodes"), (*DOORS, *DERIVING, "frames", "export", "doctor", "bench_loading", *CHAIN)
    ),
    "retrieval": CHAIN,
    "embedding": (*CHAIN, "fetch"),
    **dict.fromkeys(("tokenizer", "bins"), ("bins", "parquet", "publish", "plan")),
    "hub": ("publish", "fetch"),
    "format": ("export", "publish", "register"),
}
"""The stages that read a setting. What is not listed matters to all of them."""

FIRST = ("stage", "domain", "task", "dataset")
"""The order in which people write a command; the rest follows as it was typed."""

NO_TEXTS = ("true", "false", "null", "nan", "inf")
"""Words that a command line takes for something else than a text."""


@dataclass(frozen=True)
class Typed:
    """What the user typed.

    Attributes:
        words: one job's overrides, without those of Hydra itself.
        script: the path of run.py from where the user stands.
        door: the stage by which episodes come in: `ingest` where the configuration has a source.
    """

    words: tuple[str, ...] = ()
    script: str = "run.py"
    door: str = COLLECT


_typed = Typed()


def typed() -> Typed:
    """What the user typed; nothing where no command line is known."""
    return _typed


@contextmanager
def user_typed(words: Typed) -> Iterator[None]:
    """Commands hold these words until the end of the block."""
    global _typed
    before, _typed = _typed, words
    try:
        yield
    finally:
        _typed = before


def also_typed(settings: Mapping[str, Any]) -> None:
    """Settings that the program found for what was typed: until the end of the block, as if they had been typed."""
    global _typed
    _typed = replace(_typed, words=(*_typed.words, *(override(key, value) for key, value in settings.items())))


@dataclass(frozen=True)
class Command:
    """One command that can be pasted.

    Attributes:
        stage: what to run, one or several; empty: the stages that were typed, with all other words, too.
        task: of which task; empty: of those that were typed.
        domain: the words that mean the domain, for where nobody typed one.
        settings: values to set; None takes a typed word away. They replace typed words.
        recorded: the command of a manifest. Its words count in the place of the typed ones, except for those that say
            where artifacts lie.
    """

    stage: str | tuple[str, ...] = ""
    task: str = ""
    domain: str = ""
    settings: Mapping[str, Any] = field(default_factory=dict)
    recorded: str = ""

    @property
    def stages(self) -> tuple[str, ...]:
        """The stages to run; none where those are meant that were typed."""
        return ((self.stage,) if self.stage else ()) if isinstance(self.stage, str) else self.stage

    def words(self, given: Typed | None = None) -> list[str]:
        """The overrides, in order and not quoted. `given` stands for what was typed."""
        kept = [word for word in self._base(typed() if given is None else given) if self._matters(word)]
        own = [override("stage", self.stage)] if self.stage else []
        own += [override("task", self.task)] if self.task else []
        if not any(key_of(word) in ("domain", "experiment") for word in kept):
            own += shlex.split(self.domain)
        own += [override(key, value) for key, value in self.settings.items() if value is not None]
        return sorted([*own, *kept], key=_place)

    def line(self, given: Typed | None = None) -> str:
        """The whole command, quoted for a shell."""
        given = typed() if given is None else given
        return f"python {shlex.quote(given.script)} {shlex.join(self.words(given))}".rstrip()

    def _base(self, given: Typed) -> list[str]:
        if not self.recorded:
            return list(given.words)
        places = [word for word in given.words if group_of(word) in PLACES]
        return [w for w in _overrides(self.recorded) if group_of(w) not in PLACES and key_of(w) != "stage"] + places

    def _matters(self, word: str) -> bool:
        key, group = key_of(word), group_of(word)
        if key in self.settings or (key == "task" and self.task) or (key == "stage" and self.stage):
            return False
        if word.startswith("~") and key == "domain" and self.domain:  # its place is taken by a domain
            return False
        if not self.stage or key == "task":
            return True
        if key.startswith("stage."):
            return key.split(".")[1] in self.stages
        if group in NEVER:
            return False
        readers = STAGES_OF.get(group, self.stages)
        return any(stage in RECIPES or stage in readers for stage in self.stages)


def making(dataset: str, task: str, domain: str, settings: Mapping[str, Any] | None = None) -> Command:
    """The command by which episodes of a dataset come in.

    A name that the program gives says what makes it (`MADE_BY`): the expert must not play a `random-v1`. A policy, a
    source or an experiment that was typed counts before the name.
    """
    chosen = any(group_of(word) in ("policy", "source", "experiment") for word in typed().words)
    stage, maker = (typed().door, {}) if chosen else MADE_BY.get(dataset, (typed().door, {}))
    return Command(stage, task, domain, {**maker, "dataset": dataset, **(settings or {})})


def again(**settings: Any) -> str:
    """The command that was typed, with some settings changed (None takes one away); dots of names are written `__`.

    Without a command line: the settings alone.
    """
    changed = {key.replace("__", "."): value for key, value in settings.items()}
    if typed().words:
        return Command(settings=changed).line()
    return shlex.join(override(key, value) for key, value in changed.items() if value is not None)


def with_name(wrong: str, right: str) -> str:
    """The command that was typed with another name in the place of a wrong one; empty where that was not typed."""
    name = re.compile(rf"(?<![^,\[ ]){re.escape(wrong)}(?![^,\] ])")
    return _with(right if word == wrong else _renamed(word, name, right) for word in typed().words)


def with_key(wrong: str, right: str) -> str:
    """The command that was typed with another setting in the place of a wrong one, and of what lies below it.

    Empty where that was not typed.
    """
    name = re.compile(rf"[+~]*{re.escape(wrong)}(?=[.=]|$)")
    return _with(name.sub(right, word, 1) if name.match(word) else word for word in typed().words)


def with_words(wrong: Sequence[str], right: Sequence[str]) -> str:
    """The command that was typed with others in the place of some words that follow each other.

    Empty where those were not typed.
    """
    words, length = typed().words, len(wrong)
    starts = (at for at in range(len(words)) if words[at : at + length] == tuple(wrong))
    at = next(starts, None)
    return "" if at is None else _with((*words[:at], *right, *words[at + length :]))


def _with(words: Iterable[str]) -> str:
    """The command with these words instead of those that were typed; empty where they are the same."""
    changed = tuple(words)
    return Command().line(replace(typed(), words=changed)) if changed != typed().words else ""


def _renamed(word: str, wrong: re.Pattern[str], right: str) -> str:
    key, equals, value = word.partition("=")
    return key + equals + wrong.sub(lambda _: right, value)


def domain_words(recorded: str, name: str) -> str:
    """The words that mean the domain in a manifest's command, quoted for a shell; else its name alone."""
    return shlex.join(domain_overrides(recorded) or [f"domain={name}"])


def domain_overrides(recorded: str) -> list[str]:
    """The words of a manifest's command that mean the domain and its settings, not quoted."""
    return [word for word in _overrides(recorded) if is_of_domain(word)]


def is_of_domain(word: str) -> bool:
    """Whether a word chooses the domain or sets something of it."""
    return group_of(word) == "domain"


def override(key: str, value: Any) -> str:
    """One word of a command line, not quoted: `retrieval.demos=2`, `+domain.env_kwargs={rows: 10}`."""
    new = "+" if isinstance(value, Mapping) and not key.startswith("stage.") else ""  # keys that are nowhere else
    return f"{new}{key}={_value(value)}"


def key_of(word: str) -> str:
    """The setting that a word sets: `domain.env_kwargs` of `+domain.env_kwargs={rows: 10}`."""
    return word.split("=", 1)[0].lstrip("+~").split("@")[0]


def group_of(word: str) -> str:
    """The group that a word is about: `domain` of `+domain.env_kwargs={rows: 10}`."""
    return re.split(r"[./]", key_of(word))[0]


def _place(word: str) -> int:
    group = group_of(word)
    if word.startswith("-"):
        return -1  # -m
    return len(FIRST) if group not in FIRST or key_of(word).startswith("stage.") else FIRST.index(group)


def _overrides(command: str) -> list[str]:
    """The overrides of a recorded command, without Hydra's; none of one that did not run `run.py`."""
    try:
        words = shlex.split(command)
    except ValueError:  # a quotation without an end: nobody ran that
        return []
    if not any(word.endswith("run.py") for word in words[:2]):
        return []
    return [word for word in words[2:] if "=" in word and group_of(word) != "hydra"]


def _value(value: Any) -> str:
    """A value as it is typed on the command line: keys have no quotes, texts only where they are needed."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key}: {_value(each)}" for key, each in value.items()) + "}"
    if isinstance(value, Sequence) and not isinstance(value, str):
        return "[" + ",".join(map(_value, value)) + "]"
    plain = isinstance(value, str) and re.fullmatch(r"[A-Za-z_][\w./:-]*", value, re.ASCII)
    return value if plain and value.lower() not in NO_TEXTS else json.dumps(value, ensure_ascii=False)
