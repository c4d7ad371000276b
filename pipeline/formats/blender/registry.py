"""RLHF-Blender's registry: a SQLite file with its projects, experiments and environments."""

from __future__ import annotations

import errno
import os
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from pipeline.command import again
from pipeline.errors import InUse, InvalidInput
from pipeline.sources.rlhf_blender.literals import literal_value
from pipeline.sources.rlhf_blender.names import DATABASE
from pipeline.wording import few

PROJECTS, EXPERIMENTS, ENVIRONMENTS = "Project", "Experiment", "Environment"

TABLES: Mapping[str, Mapping[str, Any]] = {
    PROJECTS: {
        "project_name": "",
        "created_timestamp": -1,
        "project_path": "",
        "project_description": "",
        "project_tags": [],
        "project_environments": [],
        "project_datasets": [],
        "project_experiments": [],
        "wandb_entity": "",
    },
    EXPERIMENTS: {
        "exp_name": "",
        "created_timestamp": -1,
        "run_timestamp": -1,
        "last_modified": -1,
        "pid": -1,
        "status": [],
        "env_id": "",
        "environment_config": {},
        "demo_gen_environment_config": {},
        "framework": "",
        "path": "",
        "algorithm": "",
        "hyperparams": {},
        "num_timesteps": -1,
        "checkpoint_frequency": -1,
        "checkpoint_list": [],
        "episodes_per_eval": -1,
        "parallel_envs": -1,
        "observation_space_info": "",
        "action_space_info": "",
        "exp_tags": [],
        "exp_comment": "",
        "wandb_tracking": False,
        "device": "auto",
        "trained_agent_path": "",
        "seed": 0,
    },
    ENVIRONMENTS: {
        "env_name": "",
        "registered": 0,
        "registration_id": "",
        "observation_space_info": "",
        "action_space_info": "",
        "has_state_loading": 0,
        "description": "",
        "tags": [],
        "gym_entry_point": "",
        "additional_gym_packages": [],
    },
}
"""The columns of each table in their order, with what a new row holds. Each has an `id` before them, too."""

BUSY_SECONDS = 60.0
"""So long one waits for another program that writes."""


class Registry:
    """An open registry. Rows are found by their name and numbered from 1.

    Values go in and out as Python's: lists, mappings and truth values are stored as the text that `repr` gives, which
    is how RLHF-Blender reads them.
    """

    def __init__(self, path: Path, connection: sqlite3.Connection) -> None:
        self.path = path
        self._connection = connection

    def find(self, table: str, **where: str) -> Row | None:
        """The first row whose column has this value."""
        ((column, value),) = where.items()
        return next(self._select(table, f'WHERE "{column}" = ? ORDER BY id LIMIT 1', value), None)

    def numbered(self, table: str, number: int) -> Row:
        """The row of this id, which is there."""
        return next(self._select(table, "WHERE id = ?", number))

    def rows(self, table: str) -> Iterator[Row]:
        """All rows in their order."""
        return self._select(table, "ORDER BY id")

    def _select(self, table: str, condition: str, *bound: Any) -> Iterator[Row]:
        columns = ("id", *TABLES[table])
        names = ", ".join(f'"{each}"' for each in columns)
        for found in self._connection.execute(f'SELECT {names} FROM "{table}" {condition}', bound).fetchall():
            yield Row(self.path, table, dict(zip(columns, found, strict=True)))

    def insert(self, table: str, **values: Any) -> int:
        """A new row with these values; returns its id."""
        row = {name: stored_value(value) for name, value in {**TABLES[table], **values}.items()}
        names, marks = ", ".join(f'"{name}"' for name in row), ", ".join("?" for _ in row)
        made = self._connection.execute(f'INSERT INTO "{table}" ({names}) VALUES ({marks})', [*row.values()])
        assert made.lastrowid is not None
        return made.lastrowid

    def change(self, table: str, number: int, **values: Any) -> None:
        """Other values in the row of this id."""
        names = ", ".join(f'"{name}" = ?' for name in values)
        bound = [*map(stored_value, values.values()), number]
        self._connection.execute(f'UPDATE "{table}" SET {names} WHERE id = ?', bound)


class Row:
    """One row of a table."""

    def __init__(self, path: Path, table: str, values: Mapping[str, Any]) -> None:
        self.path = path
        self._table, self._values = table, values

    @property
    def id(self) -> int:
        """Its number."""
        return int(self._values["id"])

    def text(self, column: str) -> str:
        """A column as it is stored."""
        value = self._values[column]
        return "" if value is None else str(value)

    def listed(self, column: str) -> list[str]:
        """A column that holds a list, its values as texts; empty where nothing is stored. Raises InvalidInput for
        anything else.
        """
        return [str(each) for each in self._literal(column, list, tuple)]

    def mapping(self, column: str) -> dict[str, Any]:
        """A column that holds a mapping; empty where nothing is stored. Raises InvalidInput for anything else."""
        return dict(self._literal(column, dict))

    def _literal(self, column: str, *kinds: type) -> Any:
        text = self.text(column)
        try:
            value = literal_value(text) if text.strip() else kinds[0]()
            if isinstance(value, kinds):
                return value
            why = f"a {type(value).__name__}"
        except ValueError as error:
            why = str(error)
        raise InvalidInput(
            f"{self.path}: {column} of row {self.id} of {self._table} should be a plain {kinds[0].__name__} ({why}): "
            f"{text[:60]!r}. Nothing of it is evaluated; mend that row, or choose another place: {_elsewhere()}"
        )


def stored_value(value: Any) -> int | str:
    """A value as a column holds it: numbers and texts as they are, others as `repr` writes them.

    >>> stored_value({"difficulty": "it's hard", "limits": (1, 2.5)})
    '{\\'difficulty\\': "it\\'s hard", \\'limits\\': (1, 2.5)}'
    """
    if isinstance(value, str) or (isinstance(value, int) and not isinstance(value, bool)):
        return value
    text = repr(value)
    assert literal_value(text) == value, f"no literal: {text}"
    return text


@contextmanager
def reading_registry(folder: Path) -> Iterator[Registry | None]:
    """The registry of a folder, to read in; None where there is none. Raises InvalidInput as `changing_registry`."""
    path = folder / DATABASE
    if not path.exists():
        yield None
        return
    with _connected(path) as connection:
        _check(path, connection)
        missing = {*TABLES} - {*_tables(connection)}
        yield None if missing else Registry(path, connection)


@contextmanager
def changing_registry(folder: Path) -> Iterator[Registry]:
    """The registry of a folder, made where there is none. All that is changed in the block is changed at once, or
    nothing where the block ends with an error.

    Raises InvalidInput for a file that is none, or was written by another version: it lacks columns. Raises InUse where
    another program writes for longer than a minute.
    """
    path = folder / DATABASE
    with _connected(path) as connection:
        connection.execute("BEGIN IMMEDIATE")
        try:
            _check(path, connection)
            for table, columns in TABLES.items():
                connection.execute(_definition(table, columns))
            yield Registry(path, connection)
        except BaseException:
            if connection.in_transaction:  # SQLite ends it itself where the disk is full
                connection.execute("ROLLBACK")
            raise
        connection.execute("COMMIT")


@contextmanager
def _connected(path: Path) -> Iterator[sqlite3.Connection]:
    try:
        with closing(sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None)) as connection:
            yield connection
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode == sqlite3.SQLITE_FULL:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path)) from error
        if "locked" not in str(error):
            raise InvalidInput(f"{path} cannot be used: {error}. Choose another place: {_elsewhere()}") from error
        raise InUse(
            f"Another program writes {path}, still after {BUSY_SECONDS:.0f} s. Wait for it, or end it; then run the "
            f"same command again."
        ) from error
    except (sqlite3.DatabaseError, UnicodeDecodeError) as error:  # the latter of what a damaged file has for names
        raise InvalidInput(
            f"{path} is no registry of RLHF-Blender: {error}. Choose another place: {_elsewhere()}"
        ) from error


def _check(path: Path, connection: sqlite3.Connection) -> None:
    """Raises InvalidInput where a table lacks columns."""
    for table in _tables(connection):
        there = {row[1] for row in connection.execute(f'PRAGMA table_info("{table}")')}
        if missing := [name for name in ("id", *TABLES[table]) if name not in there]:
            raise InvalidInput(
                f"{path} was written by another version of RLHF-Blender: its table {table} lacks {few(missing)}. "
                f"Nothing is written into it. Choose another place: {_elsewhere()}"
            )


def _tables(connection: sqlite3.Connection) -> list[str]:
    """Those of ours that are there."""
    names = {row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    return [table for table in TABLES if table in names]


def _definition(table: str, columns: Mapping[str, Any]) -> str:
    whole = {name: isinstance(value, int) and not isinstance(value, bool) for name, value in columns.items()}
    listed = ", ".join(f'"{name}" {"INTEGER" if is_whole else "TEXT"}' for name, is_whole in whole.items())
    return f'CREATE TABLE IF NOT EXISTS "{table}" (id INTEGER PRIMARY KEY AUTOINCREMENT, {listed})'


def _elsewhere() -> str:
    return again(format__out="blender-2")
