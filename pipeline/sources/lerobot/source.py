"""LeRobotDataset v3.0, from a folder or the Hugging Face hub, as whole episodes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.episode import Episode
from pipeline.errors import InvalidInput, unknown_name
from pipeline.machine.secrets import refuse_password
from pipeline.sources.contract import Source
from pipeline.sources.files import files_identity, local_path
from pipeline.sources.hub import Repository
from pipeline.sources.lerobot.conventions import LeRobotRules
from pipeline.sources.lerobot.foreign import foreign_episodes
from pipeline.sources.lerobot.names import DATA, FINAL, VERSION, VIDEOS
from pipeline.sources.lerobot.ours import OwnTable, is_untouched, own_episodes, own_table
from pipeline.sources.lerobot.pictures import picture_reader
from pipeline.sources.lerobot.tree import WANTED, Tree, read_tree
from pipeline.sources.provenance import made_from
from pipeline.sources.quirks import Quirk, Quirks
from pipeline.wording import check_choice


class LeRobotSource(Source):
    """Episodes of a LeRobotDataset v3.0: our own exports exactly, those of others as they say they are.

    A set may hold several tasks of ours: then only the episodes of the task that is asked for come. Else any name of a
    task is taken.

    Args:
        path: local folder with `meta/info.json`; without it the files come from the hub.
        repo_id, revision: dataset repository on the hub and its branch, tag or commit.
        cache: folder for downloads; unset: the hub client's own.
        videos: `decode` reads videos, which are lossy, `skip` leaves them out; unset: a set with videos is refused.
        done: what `next.done` alone means: `terminated` or `truncated`; unset: it does not say which.
        last_row: `observation` takes the last row of each episode for the last observation.
    """

    name = "lerobot"

    def __init__(
        self,
        path: str | None = None,
        repo_id: str | None = None,
        revision: str = VERSION,
        cache: str | None = None,
        videos: str | None = None,
        done: str | None = None,
        last_row: str | None = None,
    ) -> None:
        for setting, address in (("path", path), ("cache", cache)):
            refuse_password(address, f"source.{setting}")
        for setting, value, known in (
            ("videos", videos, ("decode", "skip")),
            ("done", done, ("terminated", "truncated")),
            ("last_row", last_row, ("observation",)),
        ):
            if value is not None:
                check_choice(f"source.{setting}", value, known)
        if (path is None) == (repo_id is None):
            raise InvalidInput("source=lerobot needs source.path=FOLDER or source.repo_id=OWNER/NAME, one of the two.")
        self.path, self._cache = None if path is None else str(path), cache
        self._hub = (
            Repository(repo_id, revision, cache, "source.repo_id, source.revision", "source.path") if repo_id else None
        )
        self._rules = LeRobotRules(videos, done, last_row == "observation")
        self._tree: Tree | None = None
        self._quirks: dict[str, Quirks] = {}

    def identity(self, domain: str, task: str) -> Mapping[str, Any]:
        """Checksums of the set's files and the settings that change an episode; downloads, but reads no episode."""
        tree = self._read()
        _numbers(tree, domain, task)
        folders = [name for name in ("meta", DATA, FINAL, VIDEOS) if (tree.root / name).is_dir()]
        return {
            "source": self.name,
            "files": {name: files_identity(tree.root / name) for name in folders},
            **self._rules.identity(tree),
            **_made_from(tree),
        }

    def count(self, domain: str, task: str) -> int | None:
        return len(_numbers(self._read(), domain, task))

    def episodes(self, domain: str, task: str, start: int = 0) -> Iterator[Episode]:
        """Episodes from number `start` on, in the order of the table; rows before it are not read."""
        tree = self._read()
        wanted = _numbers(tree, domain, task)[start:]
        self._quirks[f"{domain}-{task}"] = quirks = Quirks()
        table = own_table(tree)
        with picture_reader() as pictures:
            if table and is_untouched(tree, table):
                yield from own_episodes(tree, table, wanted, pictures)
            else:
                _note_changed(quirks, table)
                yield from foreign_episodes(tree, self._rules, wanted, pictures, quirks)

    def quirks(self, domain: str, task: str) -> Iterable[Quirk]:
        """What was odd, decided or left out in the last reading of the task, as far as it came."""
        return self._quirks.get(f"{domain}-{task}", ())

    def _read(self) -> Tree:
        if self._tree is None:
            self._tree = read_tree(self._folder())
        return self._tree

    def _folder(self) -> Path:
        if self._hub is None:
            return local_path(str(self.path), WANTED, self._cache)
        wanted = ["meta/*", f"{DATA}/*", f"{FINAL}/*", *([f"{VIDEOS}/*"] if self._rules.videos == "decode" else [])]
        return self._hub.download("The set", wanted)


def _numbers(tree: Tree, domain: str, task: str) -> Sequence[int]:
    """The numbers of the episodes of a task, in order. Raises UnknownName where a set of several tasks has not it."""
    every = range(len(tree.episodes))
    if "env" not in tree.episodes.column_names:
        return every
    environments = tree.episodes["env"]
    known = sorted(map(str, environments.unique().to_pylist()))
    if len(known) < 2:
        return every
    if f"{domain}/{task}" not in known:
        names = [each.removeprefix(f"{domain}/") for each in known]
        raise unknown_name(f"task of {domain} in this LeRobot set", task, names)
    numbers: list[int] = np.flatnonzero(environments.to_numpy() == f"{domain}/{task}").tolist()
    return numbers


def _made_from(tree: Tree) -> dict[str, Any]:
    """What the episodes were made from, one entry a task."""
    each = (tree.repertoire or {}).get("provenance", [])
    known = [made_from(one) for one in each if isinstance(one, Mapping)] if isinstance(each, list) else []
    return {"made_from": [one["made_from"] for one in known if one]} if known else {}


def _note_changed(quirks: Quirks, table: OwnTable | None) -> None:
    if table:
        quirks.note(
            "stale_episode_metadata",
            "The set was exported by repertoire, but its episodes are no longer those: it is read as LeRobot's own "
            "columns say. Last observations are not among them.",
            rule="LeRobot's own columns decide",
            dropped=1,
            unit="tables",
        )
