"""Writing a dataset: episodes arrive in order, are packed into parts, and join the dataset in one step."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.artifacts.artifact import Manifest
from pipeline.dataset.bulk import StoredPart
from pipeline.dataset.columns import Layout
from pipeline.dataset.infos import InfoLayouts
from pipeline.dataset.parts import ENDS, PART_BYTES, PART_EPISODES, FileTable, finish_part, pack, unpack, write_part
from pipeline.dataset.reader import PARTS, EpisodeDataset
from pipeline.dataset.spill import SPILL, SPILLED, intact, load_episode, spill_path
from pipeline.dataset.summary import PartSummary, part_entry, step_bytes, summary_of
from pipeline.digest import digest_file
from pipeline.episode import INFO, Episode
from pipeline.machine.files import read_json, sync_folder, write_json
from pipeline.storage.choice import open_arrays
from pipeline.storage.contract import Storage

FACTS = "facts.json"
"""In the folder of a part to which nothing may be added: what is told of it."""


class DatasetWriter:
    """Appends episodes to a draft of a dataset.

    Parts are cut by a rule that sees only the ordered episodes, so growth in steps, kills and worker counts leave the
    same parts as one undisturbed run. A committed last part that is not full yet is opened again: its episodes are the
    first of the next part, and the old folder stays for readers until `stage=gc`. A source that writes parts itself
    cuts them by its own rule; they are adopted as they are.

    Attributes:
        count: episodes so far, committed ones included. The next `append` is episode number `count`.
        layout: the arrays that all episodes share.
        files: checksums of the parts that this run has written, by the part's name.
        summaries: those of the parts that this run has written, by the part's name.
    """

    def __init__(self, draft: Path, final: Path, storage: Storage, part_bytes: int = PART_BYTES) -> None:
        self._draft, self._final, self._storage, self._part_bytes = draft, final, storage, part_bytes
        (draft / PARTS).mkdir(parents=True, exist_ok=True)
        for torn in (draft / PARTS).glob(".*"):  # was being written, or being removed
            shutil.rmtree(torn)
        self.spill = draft / SPILL
        self.spill.mkdir(exist_ok=True)
        committed = Manifest.read(final).parts if final.exists() else []
        reopened = committed[-1:] if committed and not self._whole(committed[-1]) else []
        self._old = committed[: len(committed) - len(reopened)]
        self._new: list[dict[str, Any]] = []
        self.files: dict[str, FileTable] = {}
        self.summaries: dict[str, PartSummary] = {}
        self._buffer: list[Episode] = []
        self._adopt_parts()
        if reopened and not self._new and not self._buffer:
            self._buffer = list(EpisodeDataset(final, reopened))
        self.layout = Layout()
        self._infos = self._known_infos()
        self._buffered = sum(episode.nbytes for episode in self._buffer)
        self._buffered_states = sum(episode.length for episode in self._buffer)
        self._drop_spilled()
        self._check_spilled()

    @property
    def packed(self) -> int:
        """Episodes that are in parts already."""
        return sum(int(part["episodes"]) for part in [*self._old, *self._new])

    @property
    def count(self) -> int:
        return self.packed + len(self._buffer)

    @property
    def states(self) -> int:
        return sum(int(part["states"]) for part in [*self._old, *self._new]) + self._buffered_states

    @property
    def notes(self) -> list[str]:
        """What had to be left out."""
        return self._infos.notes

    def append(self, episode: Episode) -> None:
        """Add the next episode; writes a part when it is full.

        Raises InvalidEpisode where it has other arrays than those before it.
        """
        self.layout.check(episode)
        episode = self._infos.conform(episode, self.count)
        self._buffer.append(episode)
        self._buffered_states += episode.length
        self._buffered += episode.nbytes
        if self._full(len(self._buffer), self._buffered):
            self._write_part()

    def adopt(self, part: StoredPart) -> None:
        """Take over a finished part: its folder is moved.

        Episodes that were appended before become a part of their own.
        """
        if self._buffer:
            self._write_part(closed=True)
        self.layout.agree((name, dtype, (0, *shape)) for name, (dtype, shape) in part.steps.items())
        ends = np.cumsum(part.lengths + 1)
        entry = part_entry(self._part_name(len(ends)), ends, int(ends[-1]) * part.row_bytes)
        entry["facts"] = part.told()
        table = part.files | _write_facts(part.folder, entry["facts"])
        part.folder.rename(self._draft / PARTS / entry["name"])
        self._new.append(entry)
        self.files[entry["name"]] = table
        if part.summary is not None:
            self.summaries[entry["name"]] = part.summary

    def take(self, part: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> bool:
        """Write the arrays of a part of the same dataset as they are; says whether it did.

        Not where it would be another part than appending its episodes makes: where it may grow, or follows others.
        """
        if self._buffer or not self._whole(part):
            return False
        steps = {n.removeprefix("steps/"): array for n, array in arrays.items() if n.startswith("steps/")}
        self.layout.agree((name, array.dtype, array.shape) for name, array in steps.items())
        for name, array in steps.items():
            if name.startswith(INFO):
                self._infos.learn(name, array.dtype, array.shape[1:])
        folder = self._draft / PARTS / str(part["name"])
        unfinished = write_part(self._storage, folder, arrays)
        if "facts" in part:
            _write_facts(unfinished, part["facts"])
        self.files[folder.name] = finish_part(folder)
        self.summaries[folder.name] = summary_of(arrays)
        self._new.append(dict(part))
        return True

    def append_spilled(self) -> bool:
        """Append the next episode if a worker has spilled it; says whether it did."""
        path = spill_path(self.spill, self.count)
        if not path.exists():
            return False
        self.append(load_episode(path))
        return True

    def finish(self) -> list[dict[str, Any]]:
        """Write the last part and return all parts of the dataset, in order. The caller commits."""
        if self._buffer:
            self._write_part()
        shutil.rmtree(self.spill)
        return [*self._old, *self._new]

    def commit_parts(self) -> None:
        """Move the draft's parts into an existing dataset. They belong to it only once its manifest lists them."""
        for part in self._new:
            target = self._final / PARTS / part["name"]
            if target.exists():  # a run that died between this move and the manifest left it
                shutil.rmtree(target)
            (self._draft / PARTS / part["name"]).rename(target)
        sync_folder(self._final / PARTS)

    def _full(self, episodes: int, size: int) -> bool:
        return size >= self._part_bytes or episodes >= PART_EPISODES

    def _whole(self, part: Mapping[str, Any]) -> bool:
        """Whether nothing can be added to a part: it is full, or a source cut it."""
        return "facts" in part or self._full(int(part["episodes"]), int(part["bytes"]))

    def _part_name(self, episodes: int) -> str:
        return f"{self.packed:06d}-{self.packed + episodes:06d}"

    def _known_infos(self) -> InfoLayouts:
        """The layouts of the infos that are in the dataset already; `layout` learns the other arrays on the way."""
        known = InfoLayouts()
        for folder, part in [*((self._final, p) for p in self._old), *((self._draft, p) for p in self._new)]:
            arrays = open_arrays(folder / PARTS / str(part["name"]))
            steps = {n.removeprefix("steps/"): array for n, array in arrays.items() if n.startswith("steps/")}
            self.layout.learn((name, array.dtype, array.shape) for name, array in steps.items())
            for name, array in steps.items():
                if name.startswith(INFO):
                    known.learn(name, np.dtype(array.dtype), tuple(array.shape[1:]))
        for index, episode in enumerate(self._buffer, self.packed):
            self.layout.check(episode)
            known.conform(episode, index)
        return known

    def _write_part(self, closed: bool = False) -> None:
        """Make a part of the buffer; to a `closed` one nothing may be added."""
        arrays = pack(self._buffer)
        entry = part_entry(self._part_name(len(self._buffer)), arrays[ENDS], self._buffered)
        folder = self._draft / PARTS / entry["name"]
        unfinished = write_part(self._storage, folder, arrays)
        if closed:
            entry["facts"] = {}
            _write_facts(unfinished, entry["facts"])
        self.files[entry["name"]] = finish_part(folder)
        self.summaries[entry["name"]] = summary_of(arrays)
        self._new.append(entry)
        self._buffer, self._buffered, self._buffered_states = [], 0, 0
        self._drop_spilled()

    def _adopt_parts(self) -> None:
        """Parts that an earlier, killed run had finished, as far as they follow each other."""
        while found := sorted((self._draft / PARTS).glob(f"{self.packed:06d}-*")):
            arrays = open_arrays(found[0])
            size = step_bytes(arrays)
            entry = part_entry(found[0].name, arrays[ENDS][:], size)
            if (facts := found[0] / FACTS).exists():
                entry["facts"] = read_json(facts)
            # The last part of a run that died while committing may have to grow.
            if not self._whole(entry):
                self._buffer = unpack({name: array[:] for name, array in arrays.items()})
                remove_part(found[0])
                return
            self._new.append(entry)

    def _check_spilled(self) -> None:
        """Files of a killed run are whole by their rename, but a power cut can still tear them."""
        for path in self.spill.glob(f"*{SPILLED}"):
            intact(path)

    def _drop_spilled(self) -> None:
        for path in self.spill.glob(f"*{SPILLED}"):
            if int(path.stem) < self.packed:
                path.unlink()


def remove_part(part: Path) -> None:
    """Remove a part's folder. A kill in the middle must not leave what looks like a part."""
    hidden = part.with_name(f".{part.name}")
    part.rename(hidden)
    shutil.rmtree(hidden)


def _write_facts(part: Path, facts: Mapping[str, int | str]) -> FileTable:
    """Close a part that is about to get its place."""
    path = part / FACTS
    write_json(path, facts)
    return {FACTS: {"size": path.stat().st_size, "blake3": digest_file(path)}}
