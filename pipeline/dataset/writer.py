"""Writing a dataset: episodes arrive in order, are packed into parts, and join the dataset in one step."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int64, Shaped

from pipeline.artifacts.artifact import PARTS, Artifact, Manifest, Part
from pipeline.dataset.amount import Amount, Size
from pipeline.dataset.bulk import StoredPart
from pipeline.dataset.bundle import Bundle, join_packed
from pipeline.dataset.columns import Columns, row_specs, step_arrays
from pipeline.dataset.parts import (
    ENDS,
    PART_BYTES,
    Facts,
    close_part,
    facts_in,
    finish_part,
    fitting,
    is_full,
    pack,
    part_name,
    remove_part,
    remove_unfinished,
    unfinished,
    unpack,
    write_facts,
    write_part,
)
from pipeline.dataset.plain import PlainEpisode, bundle_plain
from pipeline.dataset.reader import EpisodeDataset
from pipeline.dataset.resets import reset_specs
from pipeline.dataset.spill import SPILL, load_bundle, remove_packed, remove_torn, spill_path
from pipeline.dataset.summary import PartSummary, step_bytes, summary_of
from pipeline.episode import Episode
from pipeline.machine.files import FileTable, sync_folder
from pipeline.storage.choice import open_arrays
from pipeline.storage.contract import Storage

EVERYTHING = Amount()


class Buffer:
    """Episodes that wait to be packed together.

    Attributes:
        nbytes: raw bytes of their step arrays.
    """

    def __init__(self, episodes: Iterable[Episode] = ()) -> None:
        self._pieces: list[Bundle | tuple[Episode, bytes | None] | tuple[PlainEpisode, bytes]] = []
        self._count = self.nbytes = self.states = 0
        for episode in episodes:
            self.append(episode, None)

    def __len__(self) -> int:
        return self._count

    def append(self, episode: Episode, digest: bytes | None) -> None:
        """Add one; the digest is None where it has not been taken."""
        self._pieces.append((episode, digest))
        self._count += 1
        self.nbytes += episode.nbytes
        self.states += episode.length

    def append_plain(self, episode: PlainEpisode, digest: bytes) -> None:
        """Add one that is plain."""
        self._pieces.append((episode, digest))
        self._count += 1
        self.nbytes += episode.nbytes
        self.states += episode.length

    def append_bundle(self, bundle: Bundle) -> None:
        """Add several at once."""
        self._pieces.append(bundle)
        self._count += len(bundle)
        self.nbytes += int(bundle.nbytes.sum())
        self.states += int(bundle.lengths.sum())

    def digested(self) -> list[tuple[Episode, bytes | None]]:
        """Each episode with its digest; those of bundles are made from their arrays."""
        return [each for run in self._runs() for each in (run.digested() if isinstance(run, Bundle) else run)]

    def packed(self) -> dict[str, Shaped[np.ndarray, "..."]]:
        """The arrays of a part of these episodes. What is packed alike already is joined as it is."""
        runs = [run if isinstance(run, Bundle) else Bundle(_packed(run)) for run in self._runs()]
        joined = join_packed(runs)
        return _packed(self.digested()) if joined is None else joined

    def _runs(self) -> Iterator[Bundle | list[tuple[Episode, bytes | None]]]:
        """Bundles, those of plain episodes among them, and between them what came one by one."""
        for kind, run in groupby(self._pieces, lambda each: type(each if isinstance(each, Bundle) else each[0])):
            pieces: list[Any] = [*run]
            if kind is Bundle:
                yield from pieces
            else:
                yield bundle_plain(pieces) if kind is PlainEpisode else pieces


def _packed(episodes: Sequence[tuple[Episode, bytes | None]]) -> dict[str, Shaped[np.ndarray, "..."]]:
    each, digests = zip(*episodes, strict=True)
    return pack(each, digests=digests)


class DatasetWriter:
    """Appends episodes to a draft of a dataset.

    Parts are cut by a rule that sees only the ordered episodes, so growth in steps, kills and worker counts leave the
    same parts as one undisturbed run. A committed last part that is not full yet is opened again: its episodes are the
    first of the next part, and the old folder stays for readers until `stage=gc`. A source that writes parts itself
    cuts them by its own rule; they are adopted as they are.

    Args:
        draft: the folder that is written to; what a killed run left there is continued.
        final: the dataset's folder, which need not exist.
        spill: where finished episodes wait; None: a folder of the draft.

    Attributes:
        columns: the arrays that the episodes share.
        packed: episodes that are in parts already.
        spill: the folder where workers leave finished episodes.
        files: checksums of the parts that this run has written, by the part's name.
        summaries: those of the parts that this run has written, by the part's name.
    """

    def __init__(
        self, draft: Path, final: Path, storage: Storage, part_bytes: int = PART_BYTES, spill: Path | None = None
    ) -> None:
        self._draft, self._final, self._storage, self._part_bytes = draft, final, storage, part_bytes
        (draft / PARTS).mkdir(parents=True, exist_ok=True)
        remove_unfinished(draft / PARTS)
        self.spill = spill or draft / SPILL
        self.spill.mkdir(exist_ok=True)
        existing = Artifact(final, Manifest.read(final)) if final.exists() else None
        if existing:
            existing.require_whole()
        committed = existing.manifest.parts if existing else []
        reopened = committed[-1:] if committed and not self._is_closed(committed[-1]) else []
        self._old = committed[: len(committed) - len(reopened)]
        self._new: list[Part] = []
        self.packed = sum(part.episodes for part in self._old)
        self.files: dict[str, FileTable] = {}
        self.summaries: dict[str, PartSummary] = {}
        self._buffer = self._take_over_parts()
        if reopened and not self._new and not self._buffer:
            self._buffer = Buffer(EpisodeDataset(final, reopened))
        self.columns = self._known_columns()
        remove_packed(self.spill, self.packed)
        remove_torn(self.spill)

    @property
    def count(self) -> int:
        """Episodes so far, committed ones included. The next `append` is episode number `count`."""
        return self.packed + len(self._buffer)

    @property
    def size(self) -> Size:
        """Episodes and states so far, committed ones included."""
        return Size(self.count, sum(part.states for part in [*self._old, *self._new]) + self._buffer.states)

    @property
    def notes(self) -> list[str]:
        """What had to be left out."""
        return self.columns.notes

    def append(self, episode: Episode, digest: bytes | None = None) -> None:
        """Add the next episode, and its digest if that has been taken; writes a part when it is full.

        Raises InvalidEpisode where it has other arrays than those before it.
        """
        conformed = self.columns.conform(episode, self.count)
        self._take(conformed, digest if conformed is episode else None)

    def append_plain(self, episode: PlainEpisode, digest: bytes) -> None:
        """Add the next episode, whose rows `columns` knows."""
        self._buffer.append_plain(episode, digest)
        self._write_full()

    def _take(self, episode: Episode, digest: bytes | None) -> None:
        self._buffer.append(episode, digest)
        self._write_full()

    def append_spilled(self, amount: Amount = EVERYTHING) -> bool:
        """Append the next episodes if a worker has spilled them, up to the amount; says whether it did."""
        path = spill_path(self.spill, self.count)
        if not path.exists():
            return False
        bundle = load_bundle(path)
        self._append_bundle(bundle.between(0, int(amount.needed(self.size, bundle.lengths).sum())))
        return True

    def _append_bundle(self, bundle: Bundle) -> None:
        """As `append` of each of its episodes. They are alike: where the first one fits as it is, all do."""
        first = bundle.between(0, 1).episodes()[0]
        if (conformed := self.columns.conform(first, self.count)) is first:
            while bundle:
                bundle = self._filled_with(bundle)
            return
        self._take(conformed, None)
        for episode in bundle.episodes()[1:]:
            self.append(episode)

    def _filled_with(self, bundle: Bundle) -> Bundle:
        """The rest of a bundle, when a part has taken as many of its episodes as it can."""
        taken = fitting(len(self._buffer), self._buffer.nbytes, bundle.nbytes, self._part_bytes)
        self._buffer.append_bundle(bundle.between(0, taken))
        self._write_full()
        return bundle.between(taken, len(bundle))

    def adopt(self, part: StoredPart) -> None:
        """Take over a finished part: its folder is moved. Raises InvalidEpisode as `append`.

        Episodes that were appended before become a part of their own.
        """
        if self._buffer:
            self._write_buffer(facts={})
        summary = part.summarised()
        self.columns.learn(summary.steps)
        nbytes = summary.rows * sum(row.nbytes for row in summary.steps.values())
        facts = part.all_facts()
        entry = self._next_part(np.cumsum(part.lengths + 1), nbytes, facts)
        files = part.files | close_part(part.folder, facts)
        part.folder.rename(self._draft / PARTS / entry.name)
        self._add(entry, files, summary)

    def take(self, part: Part, arrays: Mapping[str, Shaped[np.ndarray, "..."]]) -> bool:
        """Copy the arrays of a part of the same dataset unchanged, and return whether that was possible.

        It is not where appending the part's episodes would cut other parts: where the part may still grow, or where
        episodes already wait to be packed.
        """
        if self._buffer or not self._is_closed(part):
            return False
        self.columns.learn(row_specs(step_arrays(arrays)) | reset_specs(arrays))
        self._write(part, arrays)
        return True

    def finish(self) -> list[Part]:
        """Write the last part and return all parts of the dataset, in order. The caller commits."""
        if self._buffer:
            self._write_buffer()
        if self.spill.parent == self._draft:
            shutil.rmtree(self.spill)
        return [*self._old, *self._new]

    def commit_parts(self) -> None:
        """Move the draft's parts into an existing dataset. They belong to it only once its manifest lists them."""
        for part in self._new:
            target = self._final / PARTS / part.name
            if target.exists():  # a run that died between this move and the manifest left it
                shutil.rmtree(target)
            (self._draft / PARTS / part.name).rename(target)
        sync_folder(self._final / PARTS)

    def _is_closed(self, part: Part) -> bool:
        """Whether nothing can be added to a part: it is full, or a source cut it."""
        return part.facts is not None or is_full(part.episodes, part.bytes, self._part_bytes)

    def _next_part(self, ends: Int64[np.ndarray, " n"], nbytes: int, facts: Facts | None) -> Part:
        """The part that follows those that are there; its episodes end at the rows `ends`."""
        return Part(part_name(self.packed, len(ends)), len(ends), int(ends[-1]) - len(ends), nbytes, facts)

    def _write_full(self) -> None:
        if is_full(len(self._buffer), self._buffer.nbytes, self._part_bytes):
            self._write_buffer()

    def _write_buffer(self, facts: Facts | None = None) -> None:
        """Write the buffered episodes as a part; a part with `facts` is closed."""
        arrays = self._buffer.packed()
        self._write(self._next_part(arrays[ENDS], self._buffer.nbytes, facts), arrays)
        self._buffer = Buffer()
        remove_packed(self.spill, self.packed)

    def _write(self, part: Part, arrays: Mapping[str, Shaped[np.ndarray, "..."]]) -> None:
        folder = self._draft / PARTS / part.name
        files = write_part(self._storage, folder, arrays)
        if part.facts is not None:
            files |= write_facts(unfinished(folder), part.facts)
        finish_part(folder)
        summary = summary_of(arrays)
        self._add(replace(part, stuck=summary.stuck or None), files, summary)

    def _add(self, part: Part, files: FileTable, summary: PartSummary) -> None:
        self._new.append(part)
        self.packed += part.episodes
        self.files[part.name], self.summaries[part.name] = files, summary

    def _take_over_parts(self) -> Buffer:
        """Take over the parts that a killed run had finished, as long as each begins where the one before ends.

        Returns the episodes of the last one where it may have to grow, because that run died while committing.
        """
        while found := sorted((self._draft / PARTS).glob(f"{self.packed:06d}-*")):
            arrays = open_arrays(found[0])
            part = self._next_part(arrays[ENDS][:], step_bytes(arrays), facts_in(found[0]))
            if not self._is_closed(part):
                episodes = unpack({name: array[:] for name, array in arrays.items()})
                remove_part(found[0])
                return Buffer(episodes)
            if not part.facts:  # it was packed here; a source's facts say it
                summary = summary_of({name: array[:] for name, array in arrays.items()})
                part = replace(part, stuck=summary.stuck or None)
            self._new.append(part)
            self.packed += part.episodes
        return Buffer()

    def _known_columns(self) -> Columns:
        """The arrays of the episodes that are there already."""
        columns = Columns()
        for folder, part in [*((self._final, p) for p in self._old), *((self._draft, p) for p in self._new)]:
            arrays = open_arrays(folder / PARTS / part.name)
            columns.learn(row_specs(step_arrays(arrays)) | reset_specs(arrays))
        for number, (episode, _) in enumerate(self._buffer.digested(), self.packed):
            columns.conform(episode, number)
        return columns
