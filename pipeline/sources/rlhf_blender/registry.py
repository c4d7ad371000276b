"""What RLHF-Blender's registry says of an experiment. It is only read, and nothing in it is evaluated."""

from __future__ import annotations

import math
import sqlite3
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

from pipeline.sources.rlhf_blender.literals import literal_value
from pipeline.sources.rlhf_blender.names import DATABASE
from pipeline.wording import first_line

LONGEST = 2**16
"""Characters of a value that are read."""

_MOST_WORK = 2000
"""Calls of `_Work` after which a database is given up: a table may be written as a question without an end."""

_TEXTS = ("exp_name", "env_id", "framework", "algorithm")
_LITERALS = ("environment_config", "action_space_info", "observation_space_info")


@dataclass(frozen=True)
class RegisteredExperiment:
    """A row of the table of experiments.

    Attributes:
        name: of the experiment.
        facts: JSON: `environment`, `env_kwargs`, `framework`, `algorithm`, those that it says.
        observation_space, action_space: `label`, `shape`, ...; empty where nobody wrote them down.
    """

    name: str
    facts: Mapping[str, Any] = field(default_factory=dict)
    observation_space: Mapping[str, Any] = field(default_factory=dict)
    action_space: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class RegisteredNames:
    """The experiments of a registry by their numbers, and why it could not be read; empty where it could."""

    experiments: Mapping[int, RegisteredExperiment] = field(default_factory=dict)
    unread: str = ""


def read_registered(folder: Path) -> RegisteredNames:
    """The registry beside the folder `data`; empty where there is none. A strange or damaged one is said to be so."""
    path = folder / DATABASE
    if not path.is_file():
        return RegisteredNames()
    try:
        with closing(sqlite3.connect(f"file:{quote(str(path.absolute()))}?mode=ro", uri=True)) as connection:
            connection.set_progress_handler(_Work(), 100_000)
            return RegisteredNames(_experiments(connection))
    except (sqlite3.Error, UnicodeDecodeError, OverflowError) as error:
        return RegisteredNames(unread=first_line(error))


class _Work:
    def __init__(self) -> None:
        self._left = _MOST_WORK

    def __call__(self) -> bool:
        self._left -= 1
        return self._left < 0


def _experiments(connection: sqlite3.Connection) -> dict[int, RegisteredExperiment]:
    present = {row[1] for row in connection.execute('PRAGMA table_info("Experiment")')}
    columns = [name for name in (*_TEXTS, *_LITERALS) if name in present]
    if "exp_name" not in present or "id" not in present:
        raise sqlite3.DatabaseError("it has no table of experiments")
    asked = ", ".join(f'substr("{name}", 1, ?)' for name in columns)
    spaces = _spaces(connection)
    found = {}
    for number, *values in connection.execute(
        f'SELECT "id", {asked} FROM "Experiment" ORDER BY "id" LIMIT 100000', [LONGEST] * len(columns)
    ):
        if type(number) is int:
            row = dict(zip(columns, values, strict=True))
            found[number] = _experiment(row, spaces.get(str(row.get("env_id")), {}))
    return found


def _spaces(connection: sqlite3.Connection) -> dict[str, dict[str, Any]]:
    """The two spaces of each environment."""
    present = {row[1] for row in connection.execute('PRAGMA table_info("Environment")')}
    if not {"registration_id", *_LITERALS[1:]} <= present:
        return {}
    rows = connection.execute(
        'SELECT substr("registration_id", 1, ?), substr("action_space_info", 1, ?), '
        'substr("observation_space_info", 1, ?) FROM "Environment" ORDER BY "id" DESC LIMIT 100000',
        [LONGEST] * 3,
    )
    return {str(name): dict(zip(_LITERALS[1:], spaces, strict=True)) for name, *spaces in rows}


def _experiment(row: Mapping[str, Any], environment: Mapping[str, Any]) -> RegisteredExperiment:
    config = _mapping(row.get("environment_config"))
    texts = {name: str(row[name]) for name in _TEXTS if row.get(name) not in (None, "")}
    facts: dict[str, Any] = {"environment": texts["env_id"]} if "env_id" in texts else {}
    facts |= {name: texts[name] for name in ("framework", "algorithm") if name in texts}
    if isinstance(kwargs := config.get("env_kwargs"), Mapping) and kwargs:
        facts["env_kwargs"] = {str(name): _json(value) for name, value in kwargs.items()}
    spaces = [_mapping(row.get(name)) or _mapping(environment.get(name)) for name in _LITERALS[1:]]
    return RegisteredExperiment(texts.get("exp_name", ""), facts, action_space=spaces[0], observation_space=spaces[1])


def _mapping(text: Any) -> dict[str, Any]:
    """A column that holds a mapping; empty for anything else."""
    try:
        value = literal_value(text) if isinstance(text, str) and text.strip() else {}
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


def _json(value: Any) -> Any:
    """A literal as JSON has it; its text for what JSON lacks."""
    if isinstance(value, list | tuple):
        return [_json(each) for each in value]
    if isinstance(value, dict):
        return {str(name): _json(each) for name, each in value.items()}
    plain = isinstance(value, str | int | None) or (isinstance(value, float) and math.isfinite(value))
    return value if plain else repr(value)
