"""RLHF-Blender's trees (0.5.0): what people were shown, one checkpoint of an experiment a dataset."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from pipeline.episode import Episode
from pipeline.errors import InvalidInput
from pipeline.sources.contract import Source
from pipeline.sources.files import files_identity
from pipeline.sources.provenance import made_from
from pipeline.sources.quirks import NO_STEP, Quirk, Quirks
from pipeline.sources.rlhf_blender.names import DATABASE, LEFT_OVER, REWARDS, UNCERTAINTY
from pipeline.sources.rlhf_blender.reading import RecordedRows, count_rows, read_rows
from pipeline.sources.rlhf_blender.registry import RegisteredExperiment
from pipeline.sources.rlhf_blender.rows import RowRules, as_episode
from pipeline.sources.rlhf_blender.tree import CheckpointChoice, CheckpointFolder, chosen_folder

_NOT_READ = {
    "renders": "videos, whose frames are no longer the pictures that were seen",
    "env_states": "states of the simulator, which are code",
}
"""Folders beside those of numbers."""


class BlenderSource(Source):
    """Episodes of one checkpoint, in the order of their numbers.

    Args:
        path: the folder `data`, the one above it, or a folder of episodes.
        environment: the id of the environment; unset: that of the task.
        experiment, checkpoint: which one of several.
        infos: False leaves infos out, and what they alone say: last observations, ends, values.
        trust: infos are pickles. Without it plain values are read, and whatever is code is refused.
        cache: where copies of what lies at a URL are kept; unset: the user's folder of caches.
    """

    name = "rlhf_blender"

    def __init__(
        self,
        path: str,
        environment: str | None = None,
        experiment: str | int | None = None,
        checkpoint: str | int | None = None,
        infos: bool = True,
        trust: bool = False,
        cache: str | None = None,
    ) -> None:
        self.path, self.infos, self.trust, self.cache = path, infos, trust, cache
        named = (None if each is None else str(each) for each in (environment, experiment, checkpoint))
        self.choice = CheckpointChoice(*named)
        self._quirks: dict[str, Quirks] = {}

    def identity(self, domain: str, task: str) -> Mapping[str, Any]:
        """Size and checksum of all files that are read, what the registry says of the experiment, and where an export
        of ours came from.
        """
        folder = self._folder(domain, task)
        known = {} if folder.own is None else made_from(folder.own.provenance)
        return {
            "source": self.name,
            **files_identity(folder.root or folder.episodes, list(_files(folder))),
            **_registered(folder).facts,
            "checkpoint": folder.name.checkpoint,
            **({} if self.infos else {"infos": False}),
            **known,
        }

    def count(self, domain: str, task: str) -> int:
        """Those of at least two rows: one alone is no step."""
        return len(_kept(self._folder(domain, task)))

    def episodes(self, domain: str, task: str, start: int = 0) -> Iterator[Episode]:
        """As of `Source`. Raises InvalidInput for files that are missing, damaged, or contradict each other."""
        folder = self._folder(domain, task)
        self._quirks[task] = quirks = Quirks()
        kept, rules = _kept(folder), _rules(folder)
        _note(folder, len(folder.numbers) - len(kept), quirks)
        for number in kept[start:]:
            rows = read_rows(folder, number, self.infos, self.trust)
            _require_own_rows(folder, number, rows)
            try:
                yield as_episode(rows, number, rules, quirks)
            except InvalidInput as error:
                raise InvalidInput(f"{folder.episode(number)}: {error}") from error

    def quirks(self, domain: str, task: str) -> Iterable[Quirk]:
        """What the files lack, or say otherwise than each other."""
        return self._quirks.get(task, ())

    def _folder(self, domain: str, task: str) -> CheckpointFolder:
        return chosen_folder(self.path, domain, task, self.choice, self.cache)


def _registered(folder: CheckpointFolder) -> RegisteredExperiment:
    number = -1 if folder.name.experiment is None else folder.name.experiment
    return folder.registry.experiments.get(number, RegisteredExperiment(""))


def _rules(folder: CheckpointFolder) -> RowRules:
    """An export of ours registers its observations with the axis that it gave them."""
    if folder.own is not None:
        return RowRules(True, {}, folder.own.action_space)
    known = _registered(folder)
    return RowRules(False, known.observation_space, known.action_space)


def _files(folder: CheckpointFolder) -> Iterator[Path]:
    """Those that are read."""
    for number in folder.numbers:
        yield folder.episode(number)
        beside = (folder.file(kind, number) for kind in (REWARDS, UNCERTAINTY))
        yield from (path for path in beside if path is not None and path.exists())
    if folder.own is not None:
        yield folder.own.path


def _kept(folder: CheckpointFolder) -> Sequence[int]:
    """The numbers of the episodes that have a step."""
    return [number for number in folder.numbers if count_rows(folder, number) > 1]


def _require_own_rows(folder: CheckpointFolder, number: int, rows: RecordedRows) -> None:
    """Raises InvalidInput for files that are not those of the export that stands beside them."""
    if folder.own is None:
        return
    stated = folder.own.rows[number] if number < len(folder.own.rows) else 0
    if stated != len(rows.rewards):
        raise InvalidInput(
            f"{folder.own.path} says that episode {number} has {stated} rows, and {folder.episode(number)} has "
            f"{len(rows.rewards)}: one of them is of another recording. Move {folder.own.path.name} away to read the "
            f"folder as RLHF-Blender's own."
        )


def _note(folder: CheckpointFolder, empty: int, quirks: Quirks) -> None:
    """What is odd of the folder as a whole."""
    sentence = "{count} episodes have no step; they were left out."
    quirks.note("empty_episodes", sentence, empty, rule=NO_STEP, dropped=empty, unit="episodes")
    sentence = "{count} files beside the episodes have other names, and were left out."
    quirks.note("unknown_files", sentence, folder.others, rule="by name", dropped=folder.others, unit="files")
    sentence = f"{{count}} files of whole runs lie in {LEFT_OVER}, left by a crash; they are not read."
    over = folder.left_over
    quirks.note("left_over_runs", sentence, over, rule="episodes alone", dropped=over, unit="files")
    if folder.registry.unread:
        sentence = f"{DATABASE} was not read: {folder.registry.unread}."
        quirks.note("unread_registry", sentence, rule="data come in without it", dropped=1, unit="files")
    if folder.root is None:
        sentence = "The episodes lie in no tree; their rewards are those of the .npz files alone."
        quirks.note("no_rewards_files", sentence, rule="the .npz has those of each row")
    elif there := [what for kind, what in _NOT_READ.items() if (folder.root / kind).is_dir()]:
        sentence = f"Left out: {' and '.join(there)}."
        quirks.note("unread_folders", sentence, rule="numbers alone", dropped=len(there), unit="folders")
