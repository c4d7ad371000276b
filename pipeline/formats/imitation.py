"""The folder that `imitation` loads: a dataset of Hugging Face's `datasets` on disk, a row for each episode."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import zip_longest
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import pyarrow as pa
from jaxtyping import Int64, Shaped

from pipeline.dataset.columns import RowSpec
from pipeline.digest import digest_file
from pipeline.formats.aspects import Aspect
from pipeline.formats.choice import holders
from pipeline.formats.contract import CannotHold, Format, Outgoing, Refusal
from pipeline.formats.flat import FlatEpisodes
from pipeline.formats.provenance import PROVENANCE
from pipeline.machine.files import read_json, sync_file, sync_folder, write_json
from pipeline.wording import few

ROWS = "data-00000-of-00001.arrow"
INFO, STATE = "dataset_info.json", "state.json"
OBSERVATIONS, ACTIONS, INFOS, TERMINAL, REWARDS = "obs", "acts", "infos", "terminal", "rews"

NOTHING = "{}"
"""An empty info as jsonpickle writes it."""

BLOCK = 2**24
"""Bytes of whole episodes that are in memory at a time."""

MOST_VALUES = 10**6
"""So many numbers of observations with several axes there may be: imitation reads each into a Python object."""


class ImitationFormat(Format):
    """`TASK/`, an Arrow stream with the lists of each episode, and two JSON files that say what they are."""

    name = "imitation"
    holds = frozenset({Aspect.FINAL_OBSERVATION, Aspect.OBSERVATIONS, Aspect.REWARDS})
    refuses = frozenset({Refusal.NESTED})

    def require(self, data: Sequence[Outgoing]) -> None:
        """Raises CannotHold for nested observations, and for pictures."""
        for each in data:
            if (names := _observations(each.rows)) != ["observation"]:
                nested = few([name.removeprefix("observation/") for name in names])
                raise CannotHold(
                    f"imitation takes one array of observations, {each.dataset.name} has {nested}. "
                    f"{holders(Refusal.NESTED)} holds them."
                )
            row = each.rows["observation"]
            values = int(np.prod(row.shape)) * (each.dataset.states + len(each))
            if len(row.shape) > 1 and values > MOST_VALUES:
                raise CannotHold(
                    f"imitation reads every number of an observation into an object of its own, and the pictures of "
                    f"{each.dataset.name}, {row.dtype} of shape {row.shape}, are {values:,} numbers; more than "
                    f"{MOST_VALUES:,} are refused. {holders(Refusal.NESTED)} holds them."
                )

    def lost(self, data: Outgoing) -> Iterable[Aspect]:
        exact = [Aspect.ACTIONS, *([] if _widens(data.rows["action"]) else [Aspect.DTYPES])]
        return [aspect for aspect in super().lost(data) if aspect not in exact]

    def becomes(self) -> Mapping[Aspect, str]:
        return {Aspect.ENDS: "whether it terminated", Aspect.DTYPES: "single actions stored as int64"}

    def place(self, data: Sequence[Outgoing]) -> PurePosixPath:
        return PurePosixPath(data[0].task)

    def write(self, data: Sequence[Outgoing], folder: Path) -> None:
        (outgoing,) = data
        place = folder / self.place(data)
        place.mkdir(parents=True, exist_ok=True)
        hidden = place / f".{ROWS}.partial"
        with pa.OSFile(str(hidden), "wb") as sink, pa.ipc.new_stream(sink, _schema(outgoing)) as stream:
            for batch in _batches(outgoing):
                stream.write_batch(batch)
                outgoing.advance(len(batch))
        sync_file(hidden)
        for name, value in {**_beside(outgoing, hidden), PROVENANCE: dict(outgoing.provenance)}.items():
            write_json(place / name, value)
        hidden.rename(place / ROWS)
        sync_folder(place)

    def wrong(self, data: Sequence[Outgoing], path: Path) -> Iterator[str]:
        (outgoing,) = data
        for name, value in _beside(outgoing, path / ROWS).items():
            if read_json(path / name) != value:
                yield f"{name} is not what it should be"
        with pa.memory_map(str(path / ROWS)) as source, pa.ipc.open_stream(source) as stream:
            if stream.schema != _schema(outgoing):
                yield f"its columns are {', '.join(stream.schema.names)}, or of other types than they should be"
                return
            episode = 0
            for expected, there in zip_longest(_batches(outgoing), stream):
                if expected is None or there is None or len(expected) != len(there):
                    yield "it has other episodes than its dataset"
                    return
                if columns := [name for name in expected.schema.names if _differ(expected, there, name)]:
                    yield f"the episodes {episode} to {episode + len(expected) - 1} differ in {', '.join(columns)}"
                episode += len(expected)


def _observations(rows: Mapping[str, RowSpec]) -> list[str]:
    return [name for name in rows if name.startswith("observation")]


def _widens(action: RowSpec) -> bool:
    """Whether the actions get another type: one of several choices is always an int64."""
    return action.shape == () and action.dtype.kind in "iu" and action.dtype != np.int64


def _action_row(action: RowSpec) -> RowSpec:
    return RowSpec(np.dtype(np.int64), ()) if _widens(action) else action


def _columns(data: Outgoing) -> dict[str, RowSpec]:
    """One step of each list of an episode."""
    rows = data.rows
    return {OBSERVATIONS: rows["observation"], ACTIONS: _action_row(rows["action"]), REWARDS: rows["reward"]}


def _schema(data: Outgoing) -> pa.Schema:
    types = {name: pa.list_(_list_type(row)) for name, row in _columns(data).items()}
    types |= {INFOS: pa.list_(pa.string()), TERMINAL: pa.bool_()}
    return pa.schema([(name, types[name]) for name in (OBSERVATIONS, ACTIONS, INFOS, TERMINAL, REWARDS)])


def _list_type(row: RowSpec) -> pa.DataType:
    found = pa.from_numpy_dtype(row.dtype)
    for _ in row.shape:
        found = pa.list_(found)
    return found


def _beside(data: Outgoing, rows: Path) -> dict[str, Any]:
    """The JSON files that `datasets` reads."""
    features = {name: _sequence(_feature(row)) for name, row in _columns(data).items()}
    features |= {INFOS: _sequence(_value("string")), TERMINAL: _value("bool")}
    features = {name: features[name] for name in (OBSERVATIONS, ACTIONS, INFOS, TERMINAL, REWARDS)}
    state: dict[str, Any] = {
        "_data_files": [{"filename": ROWS}],
        "_fingerprint": digest_file(rows)[:16],
        "_format_columns": None,
        "_format_kwargs": {},
        "_format_type": None,
        "_output_all_columns": False,
        "_split": None,
    }
    info = {"citation": "", "description": "", "features": features, "homepage": "", "license": ""}
    return {INFO: info, STATE: state}


def _feature(row: RowSpec) -> dict[str, Any]:
    found = _value(row.dtype.name)
    for _ in row.shape:
        found = _sequence(found)
    return found


def _value(dtype: str) -> dict[str, Any]:
    return {"dtype": dtype, "_type": "Value"}


def _sequence(feature: dict[str, Any]) -> dict[str, Any]:
    return {"feature": feature, "_type": "Sequence"}


def _batches(data: Outgoing) -> Iterator[pa.RecordBatch]:
    """Whole episodes, some megabytes at a time."""
    episodes, schema = FlatEpisodes(data), _schema(data)
    row_bytes = sum(episodes.specs[name].nbytes + 8 for name in ("observation", "action", "reward"))
    most = max(1, BLOCK // row_bytes)
    first = 0
    while first < len(episodes):
        begin = int(episodes.offsets[first])
        last = max(first + 1, int(np.searchsorted(episodes.ends, begin + most, "right")))
        yield _batch(episodes, first, last, schema, _action_row(data.rows["action"]))
        first = last


def _batch(episodes: FlatEpisodes, first: int, last: int, schema: pa.Schema, action: RowSpec) -> pa.RecordBatch:
    lengths = episodes.lengths[first:last]
    rows = (int(episodes.offsets[first]), int(episodes.ends[last - 1]))
    states = (rows[0] - first, rows[1] - last)
    actions = episodes.read_states("action", *states).astype(action.dtype, copy=False)
    columns = {
        OBSERVATIONS: _lists(episodes.read("observation", *rows), lengths + 1),
        ACTIONS: _lists(actions, lengths),
        INFOS: _by_episode(pa.repeat(NOTHING, int(lengths.sum())), lengths),
        TERMINAL: pa.array(episodes.terminated[first:last]),
        REWARDS: _lists(episodes.read_states("reward", *states), lengths),
    }
    return pa.RecordBatch.from_arrays([columns[name] for name in schema.names], schema=schema)


def _lists(rows: Shaped[np.ndarray, "rows ..."], counts: Int64[np.ndarray, " n"]) -> pa.ListArray:
    """The rows of each episode, as a list; one more level of lists for each axis of a row."""
    values = pa.array(np.ascontiguousarray(rows).reshape(-1))
    for axis in range(rows.ndim - 1, 0, -1):
        number = int(np.prod(rows.shape[:axis]))
        values = _by_episode(values, np.full(number, rows.shape[axis], np.int64))
    return _by_episode(values, counts)


def _by_episode(values: pa.Array, counts: Int64[np.ndarray, " n"]) -> pa.ListArray:
    ends = np.concatenate([[0], np.cumsum(counts)]).astype(np.int32)
    return pa.ListArray.from_arrays(pa.array(ends), values)


def _differ(one: pa.RecordBatch, other: pa.RecordBatch, name: str) -> bool:
    """Whether a column has other bits: of numbers that are none, those count, too."""
    columns = (each.select([name]).serialize() for each in (one, other))
    return not next(columns).equals(next(columns))
