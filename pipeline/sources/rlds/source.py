"""Datasets of RLDS episodes as TensorFlow Datasets lays them on disk, without TensorFlow. docs/formats/rlds.md."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import islice, zip_longest
from pathlib import Path
from typing import Any

from pipeline.command import again
from pipeline.episode import Episode
from pipeline.errors import InvalidInput
from pipeline.sources.absent import unfilled
from pipeline.sources.contract import Source
from pipeline.sources.files import files_identity
from pipeline.sources.provenance import made_from
from pipeline.sources.quirks import Quirk, Quirks
from pipeline.sources.rlds.episodes import (
    ACTION,
    JOIN,
    NO_INFO,
    OBSERVATION,
    ForeignRules,
    LastRow,
    chosen_actions,
    is_ours,
    our_episode,
)
from pipeline.sources.rlds.features import STEPS, EpisodeFeatures, Leaf, LeafKind
from pipeline.sources.rlds.layout import TfdsDataset, open_dataset
from pipeline.sources.rlds.ours import FEATURES_FILE, INFO_FILE, METADATA
from pipeline.sources.rlds.record import rlds_record
from pipeline.sources.rlds.records import read_records
from pipeline.wording import check_choice, few, first_line


class RldsSource(Source):
    """Reads one split.

    Args:
        path: folder of a version, or a data_dir with one dataset.
        split: which one.
        last_row: what the last row of an episode is; see `LastRow`.
        action: of an action of several arrays, the one to take, or `join` for all side by side.
        mission: the text feature that is the mission of an episode, such as `language_instruction`.
        leave_out: features that are not read, such as `steps/tokens`.
        cache: where copies of what lies at a URL are kept; unset: the user's folder of caches.

    Raises InvalidInput for a `last_row` that is none.
    """

    name = "rlds"

    def __init__(
        self,
        path: str,
        split: str = "train",
        last_row: str = "dummy",
        mission: str | None = None,
        action: str | None = None,
        leave_out: Sequence[str] = (),
        cache: str | None = None,
    ) -> None:
        check_choice("source.last_row", last_row, list(LastRow))
        self.path, self.split, self.mission = path, split, mission or ""
        self.action, self.cache = action or "", cache
        self.last_row, self.leave_out = LastRow(last_row), tuple(leave_out)
        self._quirks: dict[tuple[str, str], Quirks] = {}

    def identity(self, domain: str, task: str) -> Mapping[str, Any]:
        dataset = open_dataset(self.path, self.cache)
        self._features(dataset, Quirks())
        shards = dataset.split(self.split).shards
        files = [*shards, *(dataset.folder / name for name in (FEATURES_FILE, INFO_FILE, METADATA))]
        settings = {
            "split": self.split,
            "last_row": str(self.last_row),
            "mission": self.mission,
            "action": self.action,
            "leave_out": sorted(self.leave_out),
        }
        there = [file for file in files if file.exists()]
        origin = made_from(dataset.metadata, whole=not self.leave_out)
        return {"source": self.name, **settings, **files_identity(dataset.folder, there), **origin}

    def count(self, domain: str, task: str) -> int | None:
        dataset = open_dataset(self.path, self.cache)
        counts = dataset.split(self.split).counts
        return sum(counts) if counts and is_ours(dataset.features) else None

    def quirks(self, domain: str, task: str) -> Iterable[Quirk]:
        return self._quirks.get((domain, task), ())

    def episodes(self, domain: str, task: str, start: int = 0) -> Iterator[Episode]:
        dataset = open_dataset(self.path, self.cache)
        quirks = self._quirks[domain, task] = Quirks()
        features = self._features(dataset, quirks)
        if is_ours(dataset.features):
            yield from self._ours(dataset, features, start)
        else:
            rules = ForeignRules.of(features, self.last_row, self.mission, self.action, quirks)
            yield from islice(self._foreign(dataset, features, rules), start, None)

    def _ours(self, dataset: TfdsDataset, features: EpisodeFeatures, start: int) -> Iterator[Episode]:
        for where, data in self._records(dataset, start):
            with _placed(where):
                episode = unfilled(our_episode(rlds_record(data, features)))
            yield episode

    def _foreign(self, dataset: TfdsDataset, features: EpisodeFeatures, rules: ForeignRules) -> Iterator[Episode]:
        for where, data in self._records(dataset, 0):
            with _placed(where):
                episode = rules.episode(rlds_record(data, features))
            if episode is not None:
                yield episode

    def _records(self, dataset: TfdsDataset, start: int) -> Iterator[tuple[str, bytes]]:
        """The records from number `start` on, each with the place where it lies."""
        split = dataset.split(self.split)
        for path, count in zip_longest(split.shards, split.counts or ()):
            if count is not None and start >= count:
                start -= count
                continue
            number = start
            for number, data in enumerate(read_records(path, split.format, start), start + 1):
                yield f"{path}: record {number - 1}", data
            if count is not None and number != count:
                raise InvalidInput(
                    f"{path} holds {number} records, and {INFO_FILE} says {count}: it is of another dataset, or was "
                    f"not copied whole. Copy it again."
                )
            start = 0

    def _features(self, dataset: TfdsDataset, quirks: Quirks) -> EpisodeFeatures:
        """What is read of each record. Raises InvalidInput where something of it cannot be an episode's."""
        where, features = dataset.folder / FEATURES_FILE, dataset.features
        steps = {n: leaf for n, leaf in features.steps.items() if f"{STEPS}/{n}" not in self.leave_out}
        once = {n: leaf for n, leaf in features.episode.items() if n not in self.leave_out}
        if left_out := [
            n for n in self.leave_out if n in {*features.episode, *(f"{STEPS}/{n}" for n in features.steps)}
        ]:
            quirks.note(
                "unread_arrays",
                f"Features that were left out: {', '.join(left_out)}.",
                len(left_out),
                rule="source.leave_out",
                dropped=len(left_out),
                unit="features",
            )
        if unread := [leaf for leaf in steps.values() if not leaf.is_read]:
            raise _unreadable(unread, where, self.leave_out)
        for leaf in once.values():
            if not leaf.is_read:
                quirks.note(
                    "unread_metadata",
                    f"{leaf.name} ({leaf.node}) of the episodes is not read.",
                    rule="facts are numbers or texts",
                    dropped=1,
                    unit="features",
                )
        features = EpisodeFeatures(steps, {n: leaf for n, leaf in once.items() if leaf.is_read})
        if not is_ours(dataset.features):
            _require_episodes(features, where, self.action)
        return features


def _unreadable(leaves: Sequence[Leaf], where: Path, left_out: Sequence[str]) -> InvalidInput:
    names = few([f"{STEPS}/{leaf.name} ({leaf.node})" for leaf in leaves])
    every = sorted({*left_out, *(f"{STEPS}/{leaf.name}" for leaf in leaves)})
    return InvalidInput(
        f"{where}: {names} cannot be read: it is ragged, a dataset inside the steps, or of a kind that is no array and "
        f"no text. Arrays of one shape, PNG and JPEG pictures and texts are read.\n"
        f"Read the rest: {again(source__leave_out=every)}"
    )


def _require_episodes(features: EpisodeFeatures, where: Path, action: str) -> None:
    """Raises InvalidInput for steps that lack what an episode needs."""
    steps, has = features.steps, f"It has {few(sorted(features.steps), 12) or 'none'}."
    actions = chosen_actions(features, action)
    if len(actions) > 1 and action != JOIN:
        several = "\n".join(f"  {again(source__action=name.removeprefix(f'{ACTION}/'))}" for name in actions)
        raise InvalidInput(
            f"{where}: one array is wanted for each step's {ACTION}; there are {few(actions, 12)}.\n"
            f"Join them, or take one of them:\n  {again(source__action=JOIN)}\n{several}"
        )
    if inside := [name for name in steps for each in NO_INFO[1:] if name.startswith(f"{each}/")]:
        raise InvalidInput(
            f"{where}: one array is wanted for each step's {inside[0].split('/')[0]}, not several. {has}"
        )
    if not actions:
        raise InvalidInput(
            f"{where}: the steps have no array {'/'.join(part for part in (ACTION, action) if part)}. {has}"
        )
    observed = [leaf for leaf in steps.values() if leaf.path[0] == OBSERVATION]
    if not any(leaf.kind != LeafKind.TEXT for leaf in observed):
        raise InvalidInput(f"{where}: the steps have no {OBSERVATION} that is an array or a picture. {has}")


@contextmanager
def _placed(where: str) -> Iterator[None]:
    """Errors about a record say where it lies."""
    try:
        yield
    except (ValueError, KeyError, TypeError, OverflowError, IndexError) as error:  # of damaged texts and numbers, too
        raise InvalidInput(f"{where}: {first_line(error)}") from error
