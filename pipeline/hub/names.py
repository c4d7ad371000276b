"""Names in a repository: configurations and their shards, and the folder of a task's small files."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field

from pipeline.errors import DamagedArtifact, InvalidInput

CARD = "README.md"
EXTRAS = "regent"
DESCRIPTION = "published.json"
SUBSET, NEWDATA = "subset", "newdata"

PLAIN = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9_.-]{0,199}")
"""A name that is a name on every file system, and never the way to another folder."""
SHARD = re.compile(rf"({PLAIN.pattern})_({SUBSET}|{NEWDATA})/train-(\d{{5}})-of-(\d{{5}})\.parquet")


@dataclass
class Listed:
    """What a repository holds of one task.

    Attributes:
        name: `metaworld-assembly`.
        shards: paths of the parquet files by configuration, in order.
        extras: paths of the small files.
    """

    name: str
    shards: dict[str, list[str]] = field(default_factory=dict)
    extras: list[str] = field(default_factory=list)

    @property
    def paths(self) -> list[str]:
        return [*(path for shards in self.shards.values() for path in shards), *self.extras]

    @property
    def description(self) -> str | None:
        """Path of the file that describes the task, where it is there."""
        path = f"{extras_folder(self.name)}/{DESCRIPTION}"
        return path if path in self.extras else None

    def check_names(self, where: str) -> None:
        """Raises InvalidInput for a file whose path could lead elsewhere, on whatever file system; `where` is shown."""
        for path in self.paths:
            for name in path.split("/"):
                plain_name(name, f"{where}, in the path {path!r},")

    def check_complete(self) -> None:
        """Raises DamagedArtifact where shards of a configuration are missing, or are of two different cuts."""
        for config, shards in self.shards.items():
            numbers = [(int(shard[3]), int(shard[4])) for path in shards if (shard := SHARD.fullmatch(path))]
            count = numbers[0][1]
            if numbers != [(number, count) for number in range(count)]:
                raise DamagedArtifact(
                    f"The shards of {config} in the repository do not make one whole: {', '.join(shards)}. "
                    f"Publish the task again."
                )


def extras_folder(name: str) -> str:
    """The folder of a task's small files: `regent/metaworld-assembly`."""
    return f"{EXTRAS}/{name}"


def listed_tasks(paths: Iterable[str]) -> dict[str, Listed]:
    """The tasks of a repository by name, each with at least one configuration."""
    tasks: dict[str, Listed] = {}
    paths = sorted(paths)
    for path in paths:
        if shard := SHARD.fullmatch(path):
            task = tasks.setdefault(shard[1], Listed(shard[1]))
            task.shards.setdefault(f"{shard[1]}_{shard[2]}", []).append(path)
    for path in paths:
        folder, name, *below = (*path.split("/"), "", "")[:3]
        if folder == EXTRAS and below != [""] and name in tasks:
            tasks[name].extras.append(path)
    return tasks


def plain_name(name: str, where: str) -> str:
    """A name from a repository that becomes the name of a file here. Raises InvalidInput for anything with a path."""
    if not PLAIN.fullmatch(name):
        raise InvalidInput(f"{where} names a file {name!r}; only letters, digits, - _ and . are taken.")
    return name
