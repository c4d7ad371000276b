"""What is read by `stage=bench_loading`: a dataset in each storage and in the forms of others, copied where it is not
there so.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
from filelock import FileLock, Timeout

from pipeline.artifacts.artifact import ALL_TASKS, EPISODES, Artifact, Spec
from pipeline.artifacts.exported import EXPORT, datasets_in, place_in
from pipeline.dataset.amount import Amount
from pipeline.dataset.grow import EPISODES_FORMAT, Noticed, grow
from pipeline.dataset.reader import EpisodeDataset
from pipeline.dataset.workspace import Workspace
from pipeline.dataset.writer import DatasetWriter
from pipeline.domains.domain import Domain
from pipeline.errors import InvalidInput
from pipeline.formats.absent import FinalObservation
from pipeline.formats.choice import form_of
from pipeline.formats.exports import export_of
from pipeline.storage.choice import storage_named
from pipeline.views.bench.foreign import FOREIGN, lacks
from pipeline.views.bench.measuring import Feed, PlaceFeed, ViewFeed
from pipeline.views.bench.readers import ArrayReader, Draws, by_tensorstore, by_zarr_python, memory_mapped
from pipeline.views.windows import Windows
from pipeline.wording import how_many

FIELDS = ("observation", "action", "reward")

COPIES = ".bench_loading-"
"""Begins the names of the folders that copies lie in while they are read."""

READERS = ("view", "memmap", "zarr-python", "tensorstore", *FOREIGN)
"""Every reader that can be asked for."""


@contextmanager
def room_for_copies(root: Path) -> Iterator[Path]:
    """An empty hidden folder in `root`, removed at the end; so are those of runs that were killed."""
    for left in root.glob(f"{COPIES}*"):
        if left.is_dir():
            with suppress(Timeout), FileLock(_lock_of(left), timeout=0):  # the system takes it from a process that died
                _remove(left)
    folder = root / f"{COPIES}{uuid4().hex}"
    with FileLock(_lock_of(folder)):
        folder.mkdir()
        try:
            yield folder
        finally:
            _remove(folder)


def _lock_of(folder: Path) -> Path:
    return folder.with_name(f"{folder.name}.lock")


def _remove(folder: Path) -> None:
    shutil.rmtree(folder)
    _lock_of(folder).unlink(missing_ok=True)


@dataclass(frozen=True)
class LeftOut:
    """A reader that is not measured, and why."""

    name: str
    why: str


@dataclass(frozen=True)
class LoadingData:
    """The first episodes of a dataset, which all readers read.

    Attributes:
        artifact: the dataset, limited to these episodes.
        domain: of its task.
        workspace: where it lies.
        length: states of a window.
        work: an empty folder for copies.
        made: what was copied there, a sentence each.
    """

    artifact: Artifact
    domain: Domain
    workspace: Workspace
    length: int
    work: Path
    made: list[str] = field(default_factory=list)

    def feeds(self, wanted: Sequence[str], small: int) -> Iterator[Callable[[], Feed | LeftOut]]:
        """Of each wanted reader in turn: what makes its files where they are not there, and gives its feed.

        `small` is how many of the episodes go into the forms of others.
        """
        made: dict[tuple[str, Any], Callable[[], Feed | LeftOut]] = {
            ("view", storage): partial(self._view, storage) for storage in ("bin", "zarr")
        }
        arrays = {"memmap": memory_mapped, "zarr-python": by_zarr_python, "tensorstore": by_tensorstore}
        made |= {(name, 0): partial(self._arrays, name, opening) for name, opening in arrays.items()}
        made |= {(form, 0): partial(self._foreign, form, small) for form in FOREIGN}
        yield from (make for (name, _), make in made.items() if name in wanted)

    def _view(self, storage: str) -> Feed:
        dataset = self._stored(storage, derived=True)
        artifact = dataset.artifact
        assert artifact is not None
        beside = artifact.path.with_name(f".{artifact.path.name}.rows")
        view = partial(_view, artifact, self.length)
        return ViewFeed(f"view, {storage}", f"our view, {storage}", (artifact.path, beside), _states(artifact), view)

    def _arrays(self, name: str, opening: Callable[..., Any]) -> Feed:
        storage = "bin" if name == "memmap" else "zarr"
        dataset = self._stored(storage)
        assert dataset.artifact is not None
        words = {"memmap": "a loop over memory maps, bin"}.get(name, f"{name}, window by window")
        reader = partial(ArrayReader, dataset, arrays_of(dataset, FIELDS), self.length, opening)
        return PlaceFeed(
            name, words, (dataset.artifact.path,), _states(dataset.artifact), Draws(dataset.lengths, self.length),
            reader, in_workers=name != "tensorstore",
        )  # fmt: skip

    def _foreign(self, form: str, small: int) -> Feed | LeftOut:
        if why := lacks(form):
            return LeftOut(form, why)
        lengths = EpisodeDataset.of(self.artifact).lengths[:small]
        if not len(Draws(lengths, self.length)):
            return LeftOut(form, f"none of the first {how_many(small, 'episodes')} has {self.length} states")
        there = self._export(form, small)
        place, states = (place_in(there), _states(there)) if there else (None, int(lengths.sum()))
        if place is None:
            try:
                place = self._exported(form, small)
            except InvalidInput as error:
                return LeftOut(form, str(error).split("\n")[0])
        make, _, words = FOREIGN[form]
        return PlaceFeed(
            form, words, (place,), states, Draws(lengths, self.length), partial(make, str(place), self.length)
        )

    def _stored(self, storage: str, derived: bool = False) -> EpisodeDataset:
        """The dataset in a storage; a copy of it where it is not there, or has no parts of its own unless `derived`."""
        kind, artifact = storage_named(storage), self.artifact
        beside = Workspace(str(self.workspace.root.parent), storage).dataset(
            artifact.domain, artifact.task, artifact.manifest.version, artifact.episodes
        )
        if beside.path.name == artifact.manifest.version + kind.suffix and (derived or not beside.is_derived):
            return EpisodeDataset.of(beside)
        spec = Spec(artifact.domain, artifact.task, EPISODES, EPISODES_FORMAT, {}, name=artifact.manifest.version)
        copies = Workspace(str(self.work), storage)
        if copies.get(spec) is None:
            self.made.append(f"{how_many(artifact.episodes or 0, 'episodes')} were copied to {storage} for this")
        return EpisodeDataset.of(grow(copies, spec, Amount(artifact.episodes), self._copy))

    def _copy(self, writer: DatasetWriter, amount: Amount) -> Noticed:
        for episode in EpisodeDataset.of(self.artifact).read_ahead(writer.count):
            writer.append(episode)
        return Noticed()

    def _export(self, form: str, small: int) -> Artifact | None:
        """An export that is there and holds these episodes of this dataset alone."""
        for export in self.workspace.of_kind(self.artifact.domain, self.artifact.task, EXPORT):
            datasets = datasets_in(export)
            same = len(datasets) == 1 and datasets[0].version == self.artifact.manifest.version
            if (
                same
                and export.task != ALL_TASKS
                and export.manifest.parameters.get("format") == form
                and (datasets[0].episodes or 0) >= small
            ):
                return export
        return None

    def _exported(self, form: str, small: int) -> Path:
        """The first episodes in a form, in the folder for copies."""
        asked = (self.artifact.manifest.version, small)
        rule = str(FinalObservation.REPEAT)
        export = export_of(self.domain, [self.artifact.task], self.workspace, asked, form_of({"format": form}), rule)
        folder = self.work / form
        folder.mkdir()
        export.format.write(export.data, folder)
        self.made.append(f"{how_many(small, 'episodes')} were exported to {form} for this")
        return folder / str(export.place)


def arrays_of(dataset: EpisodeDataset, fields: Sequence[str]) -> tuple[str, ...]:
    """The step arrays of some fields: of nested observations all of them."""
    names = dataset.array_names()
    return tuple(name for each in fields for name in names if name == each or name.startswith(f"{each}/"))


def leading(dataset: EpisodeDataset, megabytes: float, length: int) -> int:
    """How many of the first episodes hold so many megabytes in the arrays that are read, and at least one window."""
    specs = [dataset.spec(name) for name in arrays_of(dataset, FIELDS)]
    row = sum(int(np.prod(shape, dtype=np.int64)) * dtype.itemsize for shape, dtype in specs)
    enough = int(np.searchsorted(dataset.state_ends * row, megabytes * 1e6)) + 1
    first = int(np.argmax(dataset.lengths >= length)) + 1
    return min(max(enough, first), len(dataset))


def _view(artifact: Artifact, length: int) -> Windows:
    """Opened anew, so that nothing of it is mapped or remembered."""
    return Windows.of(EpisodeDataset.of(artifact), length=length, fields=FIELDS)


def _states(artifact: Artifact) -> int:
    return int(artifact.manifest.counts["states"])
