"""The tokenised JAT dataset of one task, from a folder or the Hugging Face hub, as whole episodes."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from pipeline.episode import Episode
from pipeline.errors import InvalidInput, InvalidSettings, UnknownName
from pipeline.machine.files import is_folder, is_plain_file
from pipeline.machine.secrets import refuse_password
from pipeline.sources.contract import Source
from pipeline.sources.files import InFolders, local_path
from pipeline.sources.hub import Repository
from pipeline.sources.jat.episodes import JatTask, first_stack_rule, read_episodes
from pipeline.sources.jat.kinds import kind_of
from pipeline.sources.jat.layout import AfterFullRow, Layout, Metadata, read_layout, read_metadata
from pipeline.sources.jat.maps import BOUNDARIES, EPISODES_TO_TEXT, REGENT
from pipeline.sources.jat.missions import RAW, Missions, RawTask, missions_beside, raw_metadata, read_raw
from pipeline.sources.jat.rows import row_files, row_shapes
from pipeline.sources.jat.screens import REPEAT, ZEROS, FrameStack
from pipeline.sources.quirks import NO_STEP, Quirk, Quirks
from pipeline.wording import check_choice, few

WANTED = "a folder with DOMAIN-TASK/train-*.parquet in it"

METADATA = (*BOUNDARIES, EPISODES_TO_TEXT)
HUB = "hub"


class Found(NamedTuple):
    """A task and what is known of its episodes beside its rows."""

    task: JatTask
    metadata: Metadata | None
    raw: RawTask | None


class JatSource(Source):
    """JAT episodes, train split only.

    JAT dropped the last observation and the last reward of every episode: `has_final_observation` and
    `has_final_reward` are False, both are zeros here. JAT shifts rewards right by one; here they follow their
    action again.

    Args:
        path: local folder with `{domain}-{task}/*.parquet`; without it the files come from the hub.
        repo_id, revision: dataset repository on the hub and its branch, tag or commit.
        cache: folder for downloads; unset: the hub client's own.
        row_width: steps per row, padding included; unset: 32 for Atari, 256 otherwise.
        stacks: Atari's stacks of frames. `auto` stores single frames where the task's first row shows how to make
            the stacks again, `repeat` and `zeros` name what stands before an episode's first frame, `keep` stores
            stacks as given.
        missions: BabyAI's. `auto` wants their texts, `tokens` names each by the token ids that its rows hold.
        raw: local folder of the raw dataset, which has texts and lengths of BabyAI's episodes, or `hub`; unset: the
            hub if `path` is unset, else nothing.
        raw_repo_id, raw_revision: the raw dataset on the hub.
    """

    name = "jat"

    def __init__(
        self,
        path: str | None = None,
        repo_id: str = "jat-project/jat-dataset-tokenized",
        revision: str = "main",
        cache: str | None = None,
        row_width: int | None = None,
        stacks: str = "auto",
        missions: str = "auto",
        raw: str | None = None,
        raw_repo_id: str = "jat-project/jat-dataset",
        raw_revision: str = "main",
    ) -> None:
        if row_width is not None and row_width < 1:
            raise InvalidInput(
                f"source.row_width must be the steps of a JAT row, 32 or 256 as published; it is {row_width}."
            )
        for setting, address in (("path", path), ("raw", raw), ("cache", cache)):
            refuse_password(address, f"source.{setting}")
        check_choice("source.stacks", stacks, ("auto", REPEAT, ZEROS, "keep"))
        check_choice("source.missions", missions, ("auto", "tokens"))
        self.path = None if path is None else str(path)  # a folder called 123 is typed as a number
        self.row_width = row_width
        self.stacks = stacks
        self.missions = missions
        self.raw = raw
        self._cache = cache
        self._rows = Repository(repo_id, revision, cache, "source.repo_id, source.revision", "source.path")
        settings = "source.raw_repo_id, source.raw_revision"
        self._texts = Repository(raw_repo_id, raw_revision, cache, settings, "source.raw")
        self._downloaded: dict[tuple[Repository, str], Path] = {}
        self._raw: dict[str, RawTask] = {}
        self._quirks: dict[str, Quirks] = {}

    def identity(self, domain: str, task: str) -> dict[str, Any]:
        """Which data this is, by facts of its files that stay when the folder moves; downloads, but reads no episode.

        `frame_stack`, of Atari, says how to make the stacks again: how many `frames`, and the `padding` before the
        first of an episode, where single frames are `stored`.
        """
        found = self._find(domain, task)
        facts: dict[str, Any] = {
            "source": self.name,
            "data": "local" if self.path is not None else f"{self._rows.repo_id}@{self._rows.revision}",
            "files": [file.facts() for file in found.task.files],
            "row_width": found.task.width,
            "boundaries": found.metadata.identity() if found.metadata else {"rule": _rule(found.task)},
        }
        if found.task.stack:
            facts["frame_stack"] = found.task.stack.identity()
        if found.task.missions:
            facts["missions"] = found.task.missions.identity()
        return facts

    def count(self, domain: str, task: str) -> int | None:
        """Number of episodes where metadata or the raw dataset tell, else None."""
        metadata = self._find(domain, task).metadata
        return len(metadata.first_rows) - 1 if metadata else None

    def episodes(self, domain: str, task: str, start: int = 0) -> Iterator[Episode]:
        """Episodes from number `start` on, in row order; rows before it are not read where files tell their number."""
        found = self._find(domain, task)
        layout = read_layout(found.task.files, found.task.width, found.metadata, _after_full_row(found.task))
        _check_missions(found, layout)
        self._quirks[f"{domain}-{task}"] = quirks = Quirks()
        _note_boundaries(quirks, found, layout)
        yield from read_episodes(found.task, layout, start, quirks)

    def quirks(self, domain: str, task: str) -> Iterable[Quirk]:
        """What was inferred, left out or strange in the last reading of the task, as far as it came."""
        return self._quirks.get(f"{domain}-{task}", ())

    def _find(self, domain: str, task: str) -> Found:
        name = f"{domain}-{task}"
        given = self.path is not None
        root = self._given(str(self.path), name) if given else self._download(self._rows, name, METADATA)
        folder = _task_folder(root, name, self._rows if self.path is None else None, "source.path")
        folders = [folder, root / REGENT / name]
        kind = kind_of(domain)
        width = self.row_width or kind.row_width
        files = row_files(folder, kind.columns)
        metadata = read_metadata(folders, files, width)
        raw = self._raw_task(name, folders) if kind.missions else None
        missions = self._missions(name, folders, metadata, raw) if kind.missions else None
        if metadata is None and raw:
            metadata = raw_metadata(raw, width)
        stack = self._stack(JatTask(domain, task, files, kind, width)) if kind.stacks else None
        return Found(JatTask(domain, task, files, kind, width, stack, missions), metadata, raw)

    def _stack(self, task: JatTask) -> FrameStack:
        if self.stacks == "auto":
            return first_stack_rule(task)
        shape = row_shapes(task.files, {task.kind.observations: task.kind.columns[task.kind.observations]}, task.width)
        return FrameStack(shape[task.kind.observations][1], None if self.stacks == "keep" else self.stacks)

    def _raw_task(self, name: str, folders: list[Path]) -> RawTask | None:
        """What the raw dataset says, where it is asked for or nothing else could name missions."""
        named = self.missions == "tokens" or any(is_plain_file(at / EPISODES_TO_TEXT) for at in folders)
        if self.raw is None and (named or self.path is not None):
            return None
        if name not in self._raw:
            hub = self._texts if self.raw in (None, HUB) else None
            root = self._download(hub, name) if hub else self._given(str(self.raw), name)
            self._raw[name] = read_raw(_task_folder(root, name, hub, "source.raw"))
        return self._raw[name]

    def _missions(self, name: str, folders: list[Path], metadata: Metadata | None, raw: RawTask | None) -> Missions:
        if self.missions == "tokens":
            return Missions(None)
        texts = raw.missions if raw else missions_beside(folders, metadata)
        if texts is None:
            raise InvalidInput(
                f"The rows of {name} hold missions as tokens only; their texts are needed. Put REGENT's "
                f"{EPISODES_TO_TEXT} of the task into {folders[0]} or {folders[1]}; or set source.raw=FOLDER with "
                f"{name}/train-*.parquet of the raw dataset, or source.raw=hub to download it; or name missions by "
                f"their tokens with source.missions=tokens, which is enough for retrieval."
            )
        return Missions(texts)

    def _given(self, path: str, name: str) -> Path:
        """The folder of tasks at a path; of one that lies elsewhere, a copy of what is of this task."""
        if "://" not in path:
            return Path(path).expanduser()
        return local_path(path, WANTED, self._cache, InFolders((name, f"{REGENT}/{name}")))

    def _download(self, repository: Repository, name: str, beside: tuple[str, ...] = ()) -> Path:
        """The snapshot folder; what is in the cache already is not downloaded again."""
        if (repository, name) not in self._downloaded:
            wanted = [
                f"{name}/train-*.parquet",
                *(f"{at}{name}/{file}" for at in ("", f"{REGENT}/") for file in beside),
            ]
            self._downloaded[repository, name] = repository.download(name, wanted)
        return self._downloaded[repository, name]


def _task_folder(root: Path, name: str, hub: Repository | None, setting: str) -> Path:
    """The folder of a task below a folder of tasks. Raises UnknownName with those that are there."""
    if is_folder(root / name):
        return root / name
    if hub:
        raise UnknownName(f"The dataset {hub} has no files {name}/train-*. Check {hub.settings} and the task.")
    if not is_folder(root):
        raise InvalidSettings(f"{setting} must be a folder with {name}/*.parquet in it. There is no folder {root}.")
    there = sorted(path.name for path in root.iterdir() if is_folder(path) and not path.name.startswith("."))
    near = difflib.get_close_matches(name, there, n=3, cutoff=0.5)
    listed = near + [other for other in there if other not in near]
    download = "set source.raw=hub" if setting == "source.raw" else f"leave out {setting}"
    hint = f" {setting} is the folder above {name}." if root.name == name else ""
    raise UnknownName(
        f"No folder {name} in {root}. Folders there: {few(listed, most=8) or 'none'}.{hint} "
        f"Choose one of these tasks, or {download} to download {name}."
    )


def _after_full_row(task: JatTask) -> AfterFullRow:
    """Stacks decide where episodes end only if each is the one before, moved on by a frame. Stacks that are stored as
    given need not be so, and a stack of a single frame cannot show it.
    """
    mute = task.stack is not None and (task.stack.padding is None or task.stack.frames < 2)
    return "nothing" if mute else task.kind.after_full_row


def _rule(task: JatTask) -> str:
    return "masks, first rewards and stacks" if _after_full_row(task) == "stacks" else "masks and first rewards"


def _check_missions(found: Found, layout: Layout) -> None:
    """Raise InvalidInput unless missions and rows agree in the number of episodes and, for the raw dataset, in their
    lengths.
    """
    texts = found.task.missions.texts if found.task.missions else None
    lengths = np.add.reduceat(layout.lengths, layout.first_rows[:-1])
    if texts is not None and len(texts) != len(lengths):
        raise InvalidInput(f"{len(texts)} missions were found, but the rows hold {len(lengths)} episodes. {RAW}")
    if found.raw is None:
        return
    if len(found.raw.lengths) != len(lengths) or (found.raw.lengths != lengths).any():
        differ = np.flatnonzero(found.raw.lengths[: len(lengths)] != lengths[: len(found.raw.lengths)])
        raise InvalidInput(
            f"{found.raw.folder} holds {len(found.raw.lengths)} episodes with steps, the rows {len(lengths)}; "
            f"{f'episode {differ[0]} is the first of another length' if len(differ) else 'the first agree'}. {RAW}"
        )


def _note_boundaries(quirks: Quirks, found: Found, layout: Layout) -> None:
    """What the layout of a task's rows had to decide."""
    empty = [file.path.name for file in found.task.files if not file.rows]
    quirks.note(
        "files_without_rows",
        f"{{count}} files hold no rows: {few(empty)}.",
        len(empty),
        rule="the rows of the other files are all",
    )
    quirks.note(
        "inferred_ends",
        f"no metadata files; {{count}} of {len(layout.first_rows) - 1} episodes are taken to end with a full row "
        f"because the next row's first reward is 0.0.",
        layout.inferred,
        rule="a first reward of 0 begins an episode",
    )
    quirks.note(
        "undecided_full_rows",
        "no metadata files; after {count} full rows the stacks of frames tell whether the episode goes on.",
        int(layout.undecided.sum()),
        rule="an episode goes on where its stacks do",
    )
    no_step = found.raw.empty if found.raw else found.metadata.empty if found.metadata else 0
    quirks.note(
        "empty_episodes",
        "{count} episodes of length 0 have no rows and were left out.",
        no_step,
        rule=NO_STEP,
        dropped=no_step,
        unit="episodes",
    )
