"""Minari datasets in: `stage=ingest source=minari`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from pipeline.command import again
from pipeline.episode import Episode
from pipeline.errors import DamagedArtifact, InvalidEpisode, InvalidInput
from pipeline.machine.files import read_json
from pipeline.sources.contract import Source
from pipeline.sources.files import files_identity, local_path
from pipeline.sources.minari.foreign import ForeignReader
from pipeline.sources.minari.hdf5 import Hdf5Set
from pipeline.sources.minari.layout import (
    DATA,
    DATA_FORMATS,
    HDF5,
    MAIN,
    METADATA,
    OWN,
    check_dataset_id,
    default_dataset_id,
    places_from_json,
    rows_from_json,
)
from pipeline.sources.minari.own import own_minari_episode
from pipeline.sources.minari.raw import RawSet, reading_minari
from pipeline.sources.minari.spaces import space_leaves
from pipeline.sources.minari.tables import TableSet
from pipeline.sources.provenance import made_from
from pipeline.sources.quirks import NO_STEP, Quirk, Quirks
from pipeline.wording import check_choice, few, how_many

WANTED = "a Minari dataset (a folder with data/metadata.json), or a root of such datasets"


class MinariSource(Source):
    """One Minari dataset: HDF5, Arrow or Parquet, as Minari 0.4 and 0.5 write them. Any task's name is taken.

    Args:
        path: the dataset's folder, its folder `data`, or a root with datasets below it.
        id: which dataset of a root; None for the only one, or the only one of `<domain>/<task>/`.
        cache: where copies of what lies at a URL are kept; unset: the user's folder of caches.
    """

    name = "minari"

    def __init__(self, path: str, id: str | None = None, cache: str | None = None) -> None:
        self._path, self._id, self._cache = path, id, cache
        self._quirks = Quirks()

    def identity(self, domain: str, task: str) -> Mapping[str, Any]:
        dataset = self._dataset(domain, task)
        provenance = dataset.own.get("provenance")
        return {
            "source": self.name,
            **files_identity(dataset.folder),
            "dataset_id": str(dataset.metadata.get("dataset_id", "")),
            **({"jpeg": True} if dataset.has_jpegs else {}),
            **made_from(provenance if isinstance(provenance, dict) else None),
        }

    def count(self, domain: str, task: str) -> int:
        return len(self._dataset(domain, task).numbers(Quirks()))

    def quirks(self, domain: str, task: str) -> list[Quirk]:
        return list(self._quirks)

    def episodes(self, domain: str, task: str, start: int = 0) -> Iterator[Episode]:
        self._quirks = Quirks()
        dataset = self._dataset(domain, task)
        numbers = dataset.numbers(self._quirks)
        convert = dataset.reader(self._quirks)
        for raw in dataset.files.episodes(numbers[start:]):
            with reading_minari(raw.where):
                try:
                    episode = convert(raw)
                except InvalidEpisode as error:
                    raise InvalidInput(f"{raw.where}: {error}") from error
            yield episode

    def _dataset(self, domain: str, task: str) -> _Dataset:
        place = local_path(self._path, WANTED, self._cache)
        folder = _data_folder(place) if self._id is None else _data_folder(place / check_dataset_id(self._id))
        if folder is None:
            folder = self._in_root(place, domain, task)
        try:
            metadata = read_json(folder / METADATA)
        except DamagedArtifact as error:
            raise InvalidInput(str(error)) from error
        if not isinstance(metadata, dict):
            raise InvalidInput(f"{folder / METADATA} must hold what Minari says of a dataset, by name.")
        return _Dataset(folder, metadata)

    def _in_root(self, root: Path, domain: str, task: str) -> Path:
        """The data of the one dataset of a root that is meant."""
        ids = sorted(each.parent.parent.relative_to(root).as_posix() for each in root.rglob(f"{DATA}/{METADATA}"))
        if self._id is not None:
            raise InvalidInput(f"{root} has no dataset {self._id}. It has {few(ids, 8) or 'none'}.")
        if not ids:
            raise InvalidInput(f"source.path={self._path}: there is no dataset. Wanted: {WANTED}.")
        prefix = default_dataset_id(domain, task, "any").rpartition("/")[0]
        of_task = [each for each in ids if each.startswith(f"{prefix}/")]
        found = ids if len(ids) == 1 else of_task
        if len(found) != 1:
            listed = found or ids
            raise InvalidInput(
                f"source.path={self._path} holds {how_many(len(ids), 'datasets')}: {few(listed, 8)}.\n"
                f"Choose one: {again(source__id=listed[0])}"
            )
        return root / found[0] / DATA


def _data_folder(place: Path) -> Path | None:
    """The folder with the metadata, where `place` is it or a dataset."""
    for folder in (place / DATA, place):
        if (folder / METADATA).is_file() or (folder / MAIN).is_file():
            return folder
    return None


@dataclass(frozen=True)
class _Dataset:
    """A dataset's folder `data`, and what its metadata say."""

    folder: Path
    metadata: Mapping[str, Any]

    @property
    def own(self) -> Mapping[str, Any]:
        """What an export of ours keeps; empty for other datasets."""
        own = self.metadata.get(OWN, {})
        if not isinstance(own, dict):
            raise InvalidInput(f"{self._where}: {OWN} must be what an export keeps, by name.")
        return own

    @property
    def has_jpegs(self) -> bool:
        """Whether pictures may have been changed by JPEG."""
        leaves = [*self._space("observation_space").values(), *self._space("action_space").values()]
        return bool(self.metadata.get("jpeg_encoding", True)) and any(leaf.is_picture for leaf in leaves)

    @property
    def files(self) -> RawSet:
        layout = self.metadata.get("data_format", HDF5)
        check_choice(f"{self._where}: data_format", str(layout), DATA_FORMATS)
        return Hdf5Set(self.folder / MAIN) if layout == HDF5 else TableSet(self.folder, str(layout))

    def numbers(self, quirks: Quirks) -> list[int]:
        """The ids of the episodes that are read. Raises InvalidInput where there are not those that are listed."""
        lengths = self.files.lengths()
        for name, have in (("total_episodes", len(lengths)), ("total_steps", sum(lengths.values()))):
            listed = self.metadata.get(name)
            if listed is not None and listed != have:
                raise InvalidInput(
                    f"{self._where} says {name} {listed}; {self.folder} has {have:,}.\n"
                    f"Files are missing or damaged: copy or download the dataset again."
                )
        if list(lengths) != list(range(len(lengths))):
            quirks.note(
                "other_ids",
                "The ids of the episodes do not count from 0 up; they came in the order of their ids.",
                rule="episodes come by their ids",
            )
        empty = sum(length == 0 for length in lengths.values())
        quirks.note(
            "empty_episodes",
            "{count} episodes have no step; they were left out.",
            empty,
            rule=NO_STEP,
            dropped=empty,
            unit="episodes",
        )
        return [number for number, length in lengths.items() if length]

    def reader(self, quirks: Quirks) -> Any:
        """What makes an episode of a raw one."""
        if self.own:
            with reading_minari(f"{self._where}: {OWN}"):
                places, resets = places_from_json(self.own["arrays"]), rows_from_json(self.own["resets"])
            return partial(own_minari_episode, places=places, resets=resets)
        foreign = ForeignReader(self._space("observation_space"), self._space("action_space"), quirks)
        return foreign.episode

    def _space(self, name: str) -> Any:
        text = self.metadata.get(name)
        return space_leaves(text, f"{self._where}: {name}") if text is not None else {}

    @property
    def _where(self) -> Path:
        return self.folder / METADATA
