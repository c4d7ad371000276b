"""Where a dataset of TensorFlow Datasets lies, and what dataset_info.json says: its splits and their files."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.command import again
from pipeline.errors import InvalidInput, unknown_name
from pipeline.keys import stays_inside
from pipeline.machine.files import is_plain_file, read_json
from pipeline.sources.files import local_path
from pipeline.sources.rlds.features import EpisodeFeatures, read_features
from pipeline.sources.rlds.ours import FEATURES_FILE, INFO_FILE, METADATA, TEMPLATE
from pipeline.sources.rlds.records import FileFormat
from pipeline.wording import few, json_words

WANTED = f"the folder of a version, with {INFO_FILE} and {FEATURES_FILE} in it, or a data_dir of TensorFlow Datasets"

DEEPEST = 3
"""Folders below a data_dir: name, config and version."""

MOST_SHARDS = 100_000


@dataclass(frozen=True)
class TfdsSplit:
    """One split of a dataset.

    Attributes:
        shards: its files, in order.
        counts: records of each, where dataset_info.json says.
    """

    name: str
    format: FileFormat
    shards: Sequence[Path]
    counts: Sequence[int] | None

    def require(self) -> None:
        """Raises InvalidInput where files are missing."""
        if missing := [path for path in self.shards if not is_plain_file(path)]:
            names = few([path.name for path in missing])
            raise InvalidInput(
                f"The split {self.name} in {missing[0].parent} has {len(self.shards)} files, of which {len(missing)} "
                f"are missing: {names}. Finish the download or the copy."
            )


@dataclass(frozen=True)
class TfdsDataset:
    """A dataset on disk.

    Attributes:
        folder: of its version.
        metadata: what metadata.json says, where it is there.
    """

    folder: Path
    features: EpisodeFeatures
    splits: Mapping[str, TfdsSplit]
    metadata: Mapping[str, Any]

    def split(self, name: str) -> TfdsSplit:
        """A split, all of whose files are there. Raises UnknownName, and InvalidInput where files are missing."""
        if name not in self.splits:
            raise unknown_name(f"split of {self.folder}", name, self.splits)
        self.splits[name].require()
        return self.splits[name]


def open_dataset(path: str, cache: str | None = None) -> TfdsDataset:
    """The dataset at `source.path`. Raises InvalidInput for what is none, and where several are there."""
    folder = _folder(local_path(path, WANTED, cache), path)
    if not is_plain_file(folder / FEATURES_FILE):
        raise InvalidInput(
            f"{folder} has no {FEATURES_FILE}: TensorFlow Datasets 3.2.1 or older wrote it. Read it with the code that "
            f"made it, and write it again with a newer one."
        )
    info = _object(folder / INFO_FILE)
    features = read_features(read_json(folder / FEATURES_FILE), str(folder / FEATURES_FILE))
    metadata = _object(folder / METADATA) if is_plain_file(folder / METADATA) else {}
    return TfdsDataset(folder, features, {split.name: split for split in _splits(info, folder)}, metadata)


def _folder(place: Path, path: str) -> Path:
    if is_plain_file(place / INFO_FILE):
        return place
    found = sorted(_below(place, DEEPEST)) if place.is_dir() else []
    if len(found) == 1:
        return found[0]
    if not found:
        raise InvalidInput(f"source.path={path} holds no dataset of TensorFlow Datasets. Wanted: {WANTED}.")
    names = few([each.relative_to(place).as_posix() for each in found])
    raise InvalidInput(
        f"source.path={path} holds {len(found)} datasets: {names}.\n"
        f"Take one of them: {again(source__path=str(found[0]))}"
    )


def _below(folder: Path, depth: int) -> Iterator[Path]:
    """The folders of versions below a data_dir."""
    for inner in folder.iterdir() if depth else ():
        if inner.is_dir() and not inner.name.startswith("."):
            if (inner / INFO_FILE).is_file():
                yield inner
            else:
                yield from _below(inner, depth - 1)


def _object(path: Path) -> Mapping[str, Any]:
    value = read_json(path)
    if not isinstance(value, dict):
        raise InvalidInput(f"{path} must hold a JSON object; it holds {json_words(value)}.")
    return value


def _splits(info: Mapping[str, Any], folder: Path) -> Iterator[TfdsSplit]:
    where, splits = folder / INFO_FILE, info.get("splits", [])
    if not isinstance(splits, list) or not all(isinstance(split, dict) for split in splits):
        raise InvalidInput(f"{where}: splits must be a list of objects; it is {json_words(splits)}.")
    form = info.get("fileFormat") or "tfrecord"
    if form not in list(FileFormat):
        raise InvalidInput(
            f"{where}: files of the form {json_words(form)} are not read; {' and '.join(FileFormat)} are."
        )
    for split in splits:
        name, template = (split.get(key) or default for key, default in (("name", ""), ("filepathTemplate", TEMPLATE)))
        names = (str(info.get("name")), str(name), str(form))
        counts = _whole_numbers(split.get("shardLengths"), where)
        number = len(counts) if counts else sum(_whole_numbers([split.get("numShards") or 0], where))
        if number > MOST_SHARDS:
            raise InvalidInput(f"{where}: the split {name} has {number:,} files, more than {MOST_SHARDS:,}.")
        shards = [folder / shard_name(str(template), names, each, number) for each in range(number)]
        yield TfdsSplit(str(name), FileFormat(form), shards, counts or None)


def shard_name(template: str, names: tuple[str, str, str], number: int, count: int) -> str:
    """The file of a shard: `toy_corner-train.tfrecord-00000-of-00002`.

    `names` are those of dataset, split and file format. Raises InvalidInput for a name that leads out of the folder.
    """
    digits = max(len(str(count)), 5)
    index, total = f"{number:0{digits}}", f"{count:0{digits}}"
    values = dict(zip(("DATASET", "SPLIT", "FILEFORMAT"), names, strict=True))
    values |= {"SHARD_X_OF_Y": f"{index}-of-{total}", "SHARD_INDEX": index, "NUM_SHARDS": total}
    name = template
    for key, value in values.items():
        name = name.replace(f"{{{key}}}", value)
    if not stays_inside(name):
        raise InvalidInput(f"{INFO_FILE} names the file {name!r}, which is no path inside its folder.")
    return name


def _whole_numbers(values: Any, where: Path) -> list[int]:
    """Numbers that JSON of protocol buffers holds as texts."""
    each = values if isinstance(values, list) else []
    try:
        numbers = [int(value) for value in each]
    except (TypeError, ValueError):
        numbers = [-1]
    if any(number < 0 for number in numbers):
        raise InvalidInput(f"{where}: the records and the number of files must be whole numbers; they are not.")
    return numbers
