"""The files of a LeRobotDataset v3.0: which rows of which file are an episode, checked before any of them is read."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from jaxtyping import Int64

from pipeline.errors import DamagedArtifact, InvalidInput
from pipeline.keys import stays_inside
from pipeline.machine.files import is_folder, is_plain_file, read_json
from pipeline.sources.lerobot.names import BASE, DATA, DATA_PATH, EPISODES, INFO, REPERTOIRE, TASKS, VIDEO_PATH
from pipeline.wording import few, how_many

CONVERT = "python -m lerobot.scripts.convert_dataset_v21_to_v30 --repo-id=OWNER/NAME"
"""What upstream offers for sets of one file an episode."""

WANTED = "a folder with meta/info.json in it, a LeRobotDataset v3.0"

PLACES = ("episode_index", "length", "dataset_from_index", "dataset_to_index", "data/chunk_index", "data/file_index")
"""Columns of meta/episodes that say where an episode lies."""

SHAPES_AT_MOST = 5
"""Axes of a feature, as LeRobot has it."""


@dataclass(frozen=True)
class DataFile:
    """One file of rows, and the episodes in it: those with the numbers [first, last), in order."""

    path: Path
    first: int
    last: int
    rows: int


@dataclass(frozen=True)
class Tree:
    """A set on disk.

    Attributes:
        root: its folder.
        fps: rows a second.
        features: what info.json says of each column, by name.
        episodes: meta/episodes without statistics, one row an episode.
        ends: rows up to the end of each episode.
        tasks: texts by their number.
        repertoire: meta/repertoire.json, where there is one.
    """

    root: Path
    fps: float
    features: Mapping[str, Mapping[str, Any]]
    episodes: pa.Table
    ends: Int64[np.ndarray, " n"]
    tasks: Sequence[str]
    repertoire: Mapping[str, Any] | None
    data_path: str = DATA_PATH
    video_path: str = VIDEO_PATH

    @cached_property
    def files(self) -> list[DataFile]:
        """The files of rows, in order. Raises InvalidInput where one is missing, or holds rows of no episode."""
        chunks, numbers = (self.episodes[name].to_numpy() for name in ("data/chunk_index", "data/file_index"))
        starts = np.flatnonzero(np.diff(chunks, prepend=-1).astype(bool) | np.diff(numbers, prepend=-1).astype(bool))
        found = []
        for first, last in zip(starts.tolist(), [*starts[1:].tolist(), len(chunks)], strict=True):
            path = self.file(self.data_path, chunk_index=int(chunks[first]), file_index=int(numbers[first]))
            begin = int(self.ends[first - 1]) if first else 0
            found.append(DataFile(path, first, last, int(self.ends[last - 1]) - begin))
        self._check_files(found)
        return found

    def file(self, template: str, **values: Any) -> Path:
        """A file of the set, which lies in its folder. Raises InvalidInput where it is not there."""
        name = _filled(template, values)
        if not stays_inside(name):
            raise InvalidInput(f"{self.root / INFO}: {template!r} leads out of the folder: {name}.")
        if not is_plain_file(self.root / name):
            raise InvalidInput(
                f"{self.root / name} is not there; {EPISODES} says that episodes lie in it. Finish the download, or "
                f"copy the file again."
            )
        return self.root / name

    def _check_files(self, files: Sequence[DataFile]) -> None:
        """Raises InvalidInput for rows that belong to no episode, and for episodes without rows."""
        paths = [each.path for each in files]
        if len(set(paths)) != len(paths):
            raise InvalidInput(
                f"{self.root / EPISODES}: the episodes of one file of rows should follow one another; those of "
                f"{paths[-1].relative_to(self.root)} and others do not."
            )
        for each in files:
            rows = parquet_file(each.path).metadata.num_rows
            if rows != each.rows:
                raise InvalidInput(
                    f"{each.path} holds {how_many(rows, 'rows')}; {EPISODES} says {each.rows:,}, of the episodes "
                    f"{each.first} to {each.last - 1}. The table of episodes is of another version of the data."
                )
        orphaned = sorted(set((self.root / DATA).glob("*/*.parquet")) - set(paths))
        if orphaned:
            names = few([path.relative_to(self.root).as_posix() for path in orphaned])
            raise InvalidInput(
                f"{self.root}: {names} holds rows of no episode in {EPISODES}. LeRobot would read them, too. Move it "
                f"away, or copy the table of episodes again."
            )


def read_tree(root: Path) -> Tree:
    """What lies in a folder. Raises InvalidInput or DamagedArtifact for what is no whole set of version 3."""
    if not is_folder(root) or not is_plain_file(root / INFO):
        raise InvalidInput(f"source.path={root} has no {INFO}. Wanted: {WANTED}.")
    info = read_json(root / INFO)
    _check_version(root, info)
    features = _features(root, info)
    fps = info.get("fps")
    if not isinstance(fps, int | float) or isinstance(fps, bool) or not 0 < fps < 1e6:
        raise InvalidInput(f"{root / INFO}: fps should be a number above 0, it is {fps!r}.")
    episodes = _episodes(root)
    ends = _ends(root, info, episodes)
    return Tree(
        root,
        fps,
        features,
        episodes,
        ends,
        _tasks(root),
        _repertoire(root),
        str(info.get("data_path") or DATA_PATH),
        str(info.get("video_path") or VIDEO_PATH),
    )


def parquet_file(path: Path) -> pq.ParquetFile:
    """An open parquet file, no two columns of which have one name. Raises InvalidInput where it cannot be read."""
    is_plain_file(path)  # raises for a pipe, from which reading would wait for ever
    try:
        file = pq.ParquetFile(path, page_checksum_verification=True)
        names = file.schema_arrow.names
    except (pa.ArrowException, OSError, ValueError) as error:
        raise unreadable_parquet(path, error) from error
    if twice := [name for name in names if names.count(name) > 1]:
        raise InvalidInput(f"{path} has the column {twice[0]} twice. Copy it again.")
    return file


def require_columns(path: Path, columns: Sequence[str]) -> None:
    """Raises InvalidInput where a parquet file lacks one of the columns."""
    names = parquet_file(path).schema_arrow.names
    if missing := [name for name in columns if name not in names]:
        raise InvalidInput(f"{path} has no column {missing[0]}, which it should have. It has {few(names, 20)}.")


def unreadable_parquet(path: Path, error: BaseException) -> InvalidInput:
    """The error for a damaged parquet file."""
    return InvalidInput(f"{path} cannot be read as a parquet file: {str(error).splitlines()[0]}. Copy it again.")


def _check_version(root: Path, info: Any) -> None:
    version = info.get("codebase_version") if isinstance(info, dict) else None
    if isinstance(version, str) and re.fullmatch(r"v3\.\d+", version):
        return
    if isinstance(version, str) and re.fullmatch(r"v[12]\.\d+", version):
        raise InvalidInput(
            f"{root} is a LeRobotDataset {version}; source=lerobot reads v3.0. LeRobot converts it: {CONVERT} "
            f"--root={root}"
        )
    raise InvalidInput(f"{root / INFO}: codebase_version should be v3.0, it is {version!r}.")


def _features(root: Path, info: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    features = info.get("features")
    if not isinstance(features, dict):
        raise InvalidInput(f"{root / INFO}: features should be an object, one entry a column.")
    for name, feature in features.items():
        shape = feature.get("shape") if isinstance(feature, dict) else None
        whole = isinstance(shape, list) and all(type(side) is int and 0 < side < 2**31 for side in shape)
        if not whole or not 1 <= len(shape or ()) <= SHAPES_AT_MOST or not isinstance(feature.get("dtype"), str):
            raise InvalidInput(f"{root / INFO}: feature {name!r} should have a dtype and a shape; it is {feature!r}.")
    if missing := [name for name in BASE if name not in features and name != "timestamp"]:
        raise InvalidInput(f"{root / INFO}: the features {few(missing)} of every LeRobotDataset are missing.")
    return features


def _episodes(root: Path) -> pa.Table:
    files = sorted((root / EPISODES).glob("*/*.parquet"))
    if not files:
        raise InvalidInput(f"{root / EPISODES} holds no table of episodes (chunk-000/file-000.parquet).")
    tables = []
    for path in files:
        file = parquet_file(path)
        wanted = [name for name in file.schema_arrow.names if not name.startswith("stats/")]
        try:
            tables.append(file.read(columns=wanted))
        except (pa.ArrowException, OSError, ValueError) as error:
            raise unreadable_parquet(path, error) from error
    try:
        table = pa.concat_tables(tables, promote_options="permissive").combine_chunks()
    except pa.ArrowException as error:
        raise InvalidInput(f"{root / EPISODES}: its files have other columns than one another: {error}") from error
    for name in PLACES:
        if name not in table.column_names or table[name].null_count or not pa.types.is_integer(table[name].type):
            raise InvalidInput(f"{root / EPISODES} needs the column {name} with a whole number in every row.")
    return table


def _ends(root: Path, info: Mapping[str, Any], episodes: pa.Table) -> Int64[np.ndarray, " n"]:
    """Rows up to the end of each episode. Raises InvalidInput unless the episodes tile them."""
    numbers, lengths, begins, ends = (episodes[name].to_numpy().astype(np.int64) for name in PLACES[:4])
    expected = np.cumsum(lengths)
    for name, have, wanted in (
        ("episode_index", numbers, np.arange(len(numbers))),
        ("dataset_to_index", ends, expected),
        ("dataset_from_index", begins, expected - lengths),
        ("length", lengths, np.maximum(lengths, 1)),
    ):
        if (wrong := np.flatnonzero(have != wanted)).size:
            row = int(wrong[0])
            raise InvalidInput(
                f"{root / EPISODES}: {name} of row {row} should be {wanted[row]}, it is {have[row]}: episodes follow "
                f"one another without a gap. The table is of another version of the data; copy it again."
            )
    rows = int(expected[-1]) if len(expected) else 0
    for name, have in (("total_episodes", len(numbers)), ("total_frames", rows)):
        if name in info and info[name] != have:
            raise InvalidInput(f"{root / INFO}: {name} is {info[name]}, but {EPISODES} lists {have}.")
    return expected


def _tasks(root: Path) -> list[str]:
    if not is_plain_file(root / TASKS):
        raise InvalidInput(f"{root / TASKS} is not there: the texts of the tasks.")
    file = parquet_file(root / TASKS)
    try:
        table = file.read()
    except (pa.ArrowException, OSError, ValueError) as error:
        raise unreadable_parquet(root / TASKS, error) from error
    texts = [name for name in table.column_names if name != "task_index"]
    if "task_index" not in table.column_names or len(texts) != 1 or not is_text(table[texts[0]].type):
        raise InvalidInput(f"{root / TASKS} needs the columns task_index and task; it has {few(table.column_names)}.")
    numbers, names = table["task_index"].to_pylist(), table[texts[0]].to_pylist()
    if numbers != list(range(len(numbers))) or None in names:
        raise InvalidInput(f"{root / TASKS}: task_index should count from 0, it is {few(list(map(str, numbers)))}.")
    return names


def _repertoire(root: Path) -> Mapping[str, Any] | None:
    if not is_plain_file(root / REPERTOIRE):
        return None
    known = read_json(root / REPERTOIRE)
    if not isinstance(known, dict):
        raise DamagedArtifact(f"{root / REPERTOIRE} should hold an object. Copy it again, or remove it.")
    return known


def _filled(template: str, values: Mapping[str, Any]) -> str:
    """A template of info.json with its values; only those names, and only their padding, can stand in it."""
    fields = re.findall(r"\{([^{}]*)\}", template)
    allowed = {name: rf"{name}(:0?\d{{1,2}}d)?" for name in values}
    for each in fields:
        if not any(re.fullmatch(pattern, each) for pattern in allowed.values()):
            raise InvalidInput(f"{INFO}: the path {template!r} should be made of {', '.join(values)}, not {each!r}.")
    try:
        return template.format(**values)
    except (ValueError, KeyError, IndexError) as error:
        raise InvalidInput(f"{INFO}: {template!r} is no path of a file: {error}") from error


def is_text(kind: pa.DataType) -> bool:
    """Whether a column holds texts; pandas writes large ones."""
    return any(test(kind) for test in (pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view))
