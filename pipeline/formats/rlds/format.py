"""RLDS: episodes as TensorFlow Datasets reads them, in ArrayRecord or TFRecord files. docs/formats/rlds.md."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from pipeline.dataset.columns import RowSpec, beside
from pipeline.dataset.per_episode import once_of
from pipeline.episode import INFO_TEXTS, RESET, SUMMARY, TEXTS, Episode
from pipeline.formats.contract import Format, Outgoing, Refusal
from pipeline.formats.rlds.columns import PictureEncoding, record_column
from pipeline.formats.rlds.example import FeatureList, bytes_list, example, one_integer
from pipeline.formats.rlds.shards import shard_counts, shard_paths, write_shard
from pipeline.machine.files import write_json
from pipeline.sources.rlds.features import STEPS, dict_node, steps_node, text_node
from pipeline.sources.rlds.ours import (
    EPISODE_ID,
    FEATURES_FILE,
    FIRST,
    INFO_FILE,
    LAST,
    METADATA,
    RESET_THERE,
    TEMPLATE,
    TERMINAL,
)
from pipeline.sources.rlds.records import FileFormat
from pipeline.sources.rlds.source import RldsSource
from pipeline.wording import check_choice

VERSION = "1.0.0"
SPLIT = "train"
MEGABYTE = 10**6

FLAGS = (FIRST, LAST, TERMINAL)


class RldsFormat(Format):
    """`<domain>_<task>/<dataset>/1.0.0`: records of whole episodes, and what TensorFlow Datasets needs to open them.

    Args:
        file: the form of the records, `array_record` or `tfrecord`.
        pictures: `png`, `zlib` or `bytes`; see `PictureEncoding`.
        file_mb: megabytes of arrays, before they are compressed, that a file has at most, but for one episode.

    Raises InvalidInput for any other setting.
    """

    name = "rlds"
    refuses = frozenset({Refusal.LONG})

    def __init__(self, file: str = "array_record", pictures: str = "png", file_mb: float = 256) -> None:
        check_choice("format.file", file, list(FileFormat))
        check_choice("format.pictures", pictures, list(PictureEncoding))
        self.file, self.pictures, self.file_mb = FileFormat(file), PictureEncoding(pictures), file_mb

    def identity(self) -> Mapping[str, Any]:
        return {
            "version": 1,
            "file": str(self.file),
            "pictures": str(self.pictures),
            "file_mb": self.file_mb,
        }

    def place(self, data: Sequence[Outgoing]) -> PurePosixPath:
        (only,) = data
        config = re.sub(r"[^\w.-]", "_", str(only.provenance["dataset"]), flags=re.ASCII)
        return PurePosixPath(tfds_name(only.domain, only.task), config, VERSION)

    def write(self, data: Sequence[Outgoing], folder: Path) -> None:
        (only,) = data
        place = folder / self.place(data)
        place.mkdir(parents=True, exist_ok=True)
        for unfinished in place.glob(".*"):
            unfinished.unlink()
        record = _Record(only, self.pictures, self.file)
        counts = shard_counts(only.dataset.lengths, record.row_bytes, int(self.file_mb * MEGABYTE))
        names = (tfds_name(only.domain, only.task), SPLIT, str(self.file))
        paths = shard_paths(place, TEMPLATE, names, len(counts))
        done = sum(path.exists() for path in paths)
        records = record.all(int(counts[:done].sum()))
        for path, count in zip(paths[done:], counts[done:].tolist(), strict=True):
            write_shard(path, self.file, islice(records, count))
        write_json(place / FEATURES_FILE, record.features(), indent=4)
        write_json(place / METADATA, only.origin(), indent=4)
        write_json(place / INFO_FILE, _info(only, names, counts.tolist(), paths), indent=2)

    def source(self, path: Path) -> RldsSource:
        return RldsSource(str(path))


def tfds_name(domain: str, task: str) -> str:
    """The name of a dataset as TensorFlow Datasets spells names: `gym_cart_pole_v1`.

    >>> tfds_name("gym", "CartPole-v1"), tfds_name("2d", "Ω")
    ('gym_cart_pole_v1', 'd_2d')
    """
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", f"{domain}_{task}").lower()
    name = "_".join(re.findall(r"[a-z0-9]+", words)) or "dataset"
    return name if name[0].isalpha() else f"d_{name}"


class _Record:
    """What a record of one dataset holds, and its records."""

    def __init__(self, data: Outgoing, pictures: PictureEncoding, file: FileFormat) -> None:
        self.data, self.rows = data, data.rows
        flag = RowSpec(np.dtype(np.bool_), ())
        rows = self.rows | dict.fromkeys(FLAGS, flag)
        self.row_bytes = sum(row.nbytes for row in rows.values())
        is_compressed = file == FileFormat.ARRAY_RECORD
        self.steps = {name: record_column(row, pictures, is_compressed) for name, row in rows.items()}
        self.resets = data.dataset.reset_specs()
        numbers = {name: RowSpec(np.dtype(dtype), ()) for name, dtype in SUMMARY.items()}
        numbers |= {EPISODE_ID: RowSpec(np.dtype(np.int64), ())}
        numbers |= {f"{RESET_THERE}{name.removeprefix(RESET)}": flag for name in self.resets}
        self.once = {
            name: record_column(row, PictureEncoding.BYTES, is_compressed)
            for name, row in (numbers | self.resets).items()
        }
        self.keys = sorted([*(f"{STEPS}/{name}" for name in self.steps), *self.once, *TEXTS, INFO_TEXTS])

    def features(self) -> dict[str, Any]:
        """features.json."""
        texts = {name: text_node() for name in (*TEXTS, INFO_TEXTS)}
        steps = {STEPS: steps_node({name: column.node for name, column in self.steps.items()})}
        return dict_node({name: column.node for name, column in self.once.items()} | texts | steps)

    def all(self, start: int) -> Iterator[bytes]:
        """The records from episode `start` on."""
        for number, episode in enumerate(self.data.episodes(start), start):
            features = self._steps(episode) | self._once(episode, number)
            yield example([(key, features[key]) for key in self.keys])

    def _steps(self, episode: Episode) -> dict[str, FeatureList]:
        arrays = beside(episode, self.rows)
        arrays |= {FIRST: episode.is_first, LAST: episode.is_last, TERMINAL: episode.is_terminal}
        return {f"{STEPS}/{name}": self.steps[name].encode(array) for name, array in arrays.items()}

    def _once(self, episode: Episode, number: int) -> dict[str, FeatureList]:
        values: dict[str, bool | int | str] = {**once_of(episode), EPISODE_ID: number}
        features = {}
        for name, row in self.resets.items():
            known = episode.reset_info.get(name.removeprefix(RESET))
            values[f"{RESET_THERE}{name.removeprefix(RESET)}"] = known is not None
            array = np.zeros(row.shape, row.dtype) if known is None else known
            features[name] = self.once[name].encode(array[np.newaxis])
        for name, value in values.items():
            features[name] = bytes_list([value.encode()]) if isinstance(value, str) else one_integer(int(value))
        return features


def _info(data: Outgoing, names: tuple[str, str, str], counts: Sequence[int], paths: Sequence[Path]) -> dict[str, Any]:
    """dataset_info.json."""
    name, split, file = names
    made = data.provenance
    description = (
        f"Episodes of {data.domain} {data.task}: {made['dataset']}, {made.get('tool', '')}, digest {made['digest']}."
    )
    return {
        "name": name,
        "configName": paths[0].parent.parent.name,
        "version": VERSION,
        "description": description,
        "fileFormat": file,
        "releaseNotes": {},
        "splits": [
            {
                "name": split,
                "filepathTemplate": TEMPLATE,
                "numBytes": str(sum(path.stat().st_size for path in paths)),
                "shardLengths": [str(count) for count in counts],
            }
        ],
    }
