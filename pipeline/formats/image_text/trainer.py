"""What the forms of image-text trainers share: rows in windows, planned row groups, parquet files alone in a folder."""

from __future__ import annotations

import logging
from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from math import inf
from pathlib import Path, PurePosixPath
from typing import Any, ClassVar

import pyarrow as pa

from pipeline.errors import InvalidInput
from pipeline.formats.aspects import Aspect
from pipeline.formats.contract import Format, Outgoing
from pipeline.formats.image_text.guide import Guide
from pipeline.formats.image_text.hub_readme import hub_readme
from pipeline.formats.image_text.names import environment_name
from pipeline.formats.image_text.prefix import checked_prefix, prefix_of
from pipeline.formats.image_text.rows import write_rows, wrong_rows
from pipeline.formats.image_text.sharing import RowGroups, planned_groups, too_few_words
from pipeline.formats.image_text.signposts import SIGNPOSTS, signposts_of
from pipeline.formats.image_text.tokens import PictureTokens
from pipeline.formats.image_text.trainer_rows import ORIGIN, PICTURES, TaskRows, row_group_tables
from pipeline.formats.image_text.words import BECOMES
from pipeline.formats.provenance import PROVENANCE
from pipeline.machine.files import write_atomic, write_json
from pipeline.wording import check_type, few

FORMAT = 1
DATA, README = "data", "README.md"
MEGABYTE = 10**6

MOST = 10**9
"""Of pictures, workers and tokens that may be asked for: products of them are still numbers of 64 bits."""

log = logging.getLogger(__name__)


class TrainerFormat(Format):
    """A folder of parquet files, whose rows are windows of episodes, which a public trainer reads as they are.

    Args:
        window: pictures a row at most; unset: the form's own.
        shards: workers, GPUs x loader workers, among which the row groups are shared out evenly.
        max_tokens: the trainer's packer takes samples of fewer tokens; others are dropped there.
        file_mb: about so large is a file at most.
        prefix: the folder of the parquet files as the trainer sees it; unset: where they are laid.
        per_task: each task is an output of its own.
    """

    joins = True
    holds = frozenset()
    shows_frames = True
    text_columns: ClassVar[Mapping[str, pa.DataType]] = {}

    def __init__(
        self,
        window: int | None = None,
        shards: int = 64,
        max_tokens: int = 16384,
        file_mb: float = 512,
        prefix: str | None = None,
        per_task: bool = False,
    ) -> None:
        if window is not None:
            _check_count("window", window, 2)
        for name, value in (("shards", shards), ("max_tokens", max_tokens)):
            _check_count(name, value, 1)
        check_type("format.file_mb", file_mb, int | float, "a number of megabytes")
        if not 0 < file_mb < inf:
            raise InvalidInput(f"format.file_mb={file_mb} must be more than 0, and finite.")
        check_type("format.per_task", per_task, bool, "true or false")
        self._window, self._shards, self._max_tokens, self._file_mb = window, shards, max_tokens, file_mb
        self.joins = not per_task
        self._prefix = None if prefix is None else checked_prefix(prefix, per_task)

    def identity(self) -> Mapping[str, Any]:
        """Without the prefix: where the files will lie does not change them."""
        settings = {"window": self._window, "shards": self._shards, "max_tokens": self._max_tokens}
        return {"version": FORMAT, **settings, "file_mb": self._file_mb, "per_task": not self.joins}

    def becomes(self) -> Mapping[Aspect, str]:
        return BECOMES

    @abstractmethod
    def task_rows(self, data: Outgoing, tokens: PictureTokens) -> TaskRows:
        """The rows of a task, whose pictures make so many tokens. Raises CannotHold where a window does not fit."""

    def require(self, data: Sequence[Outgoing]) -> None:
        self._tasks(data)

    def place(self, data: Sequence[Outgoing]) -> PurePosixPath:
        return PurePosixPath("." if self.joins else environment_name(data[0]))

    def write(self, data: Sequence[Outgoing], folder: Path) -> None:
        top = folder / self.place(data)
        (top / DATA).mkdir(parents=True, exist_ok=True)
        tasks = self._tasks(data)
        groups = self._groups(tasks)
        guide = self._guide(data, tasks, groups, DATA)
        label = data[0].domain if self.joins else label_of(data)
        for line in (*guide.facts(), f"{', '.join(SIGNPOSTS)} are written where format.out lays it"):
            log.info("export %s: %s", label, line)
        if groups.rows < self._shards:
            log.warning("export %s: %s", label, too_few_words(groups, self._shards))
        for number, name in enumerate(groups.names):
            if not (top / DATA / name).is_file():
                write_rows(top / DATA / name, self._file(tasks, groups, number), self._schema, [PICTURES])
        write_json(top / PROVENANCE, [dict(each.provenance) for each in data])
        readme = hub_readme(guide, self._schema).encode()
        write_atomic(top / README, lambda file: file.write(readme))

    def signposts(self, data: Sequence[Outgoing], place: str) -> Mapping[str, bytes]:
        tasks = self._tasks(data)
        groups = self._groups(tasks)
        prefix = prefix_of(self._prefix, place, environment_name(data[0]), groups.names)
        return signposts_of(self._guide(data, tasks, groups, prefix))

    def wrong(self, data: Sequence[Outgoing], path: Path) -> Iterator[str]:
        tasks = self._tasks(data)
        groups = self._groups(tasks)
        wanted, there = groups.names, sorted(each.name for each in (path / DATA).iterdir())
        if there != wanted:
            yield f"{DATA} holds {few(there) or 'nothing'} instead of {few(wanted)}"
            return
        for number, name in enumerate(wanted):
            for line in wrong_rows(path / DATA / name, self._file(tasks, groups, number), self._schema, _row_words):
                yield f"{name}: {line}"

    @property
    def _schema(self) -> pa.Schema:
        return pa.schema([(PICTURES, pa.list_(pa.binary())), *self.text_columns.items(), *ORIGIN])

    def _file(self, tasks: Sequence[TaskRows], groups: RowGroups, number: int) -> Iterator[pa.Table]:
        """The row groups of a file."""
        own = groups.groups_of(number)
        return islice(row_group_tables(tasks, groups, self._schema, own.start), len(own))

    def _tasks(self, data: Sequence[Outgoing]) -> list[TaskRows]:
        found = []
        for each in data:
            assert each.frames is not None
            width, height = next(each.frames.between(0, 1)).sides()[0].tolist()
            found.append(self.task_rows(each, PictureTokens(width, height)))
        return found

    def _groups(self, tasks: Sequence[TaskRows]) -> RowGroups:
        rows, size = sum(task.windows.rows for task in tasks), sum(task.size for task in tasks)
        return planned_groups(rows, self._shards, size, max(1, round(self._file_mb * MEGABYTE)))

    def _guide(self, data: Sequence[Outgoing], tasks: Sequence[TaskRows], groups: RowGroups, prefix: str) -> Guide:
        name = environment_name(data[0]) if len(data) == 1 else data[0].domain
        return Guide(self.name, name, prefix, tasks, groups, self._max_tokens)


def label_of(data: Sequence[Outgoing]) -> str:
    """`atari/alien`, or `atari` for several tasks."""
    return f"{data[0].domain}/{data[0].task}" if len(data) == 1 else data[0].domain


def _row_words(table: pa.Table, row: int) -> str:
    environment, episode, step = (table[name][row].as_py() for name, _ in ORIGIN)
    return f"the row of {environment}, {episode}, from step {step} on,"


def _check_count(name: str, value: object, least: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= MOST:
        raise InvalidInput(f"format.{name}={value} must be a whole number of {least} or more, at most {MOST:,}.")
