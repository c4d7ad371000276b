"""Reads an EnvLogger log in the environment that has envlogger, and writes what it holds to standard output.

python -I reader.py metadata LOG
python -I reader.py episodes LOG START drop|keep

It imports nothing of this project: the standard library, numpy and envlogger are all that it knows. It opens the folder
that it is given and runs no code from data: records are protocol buffers. `stream.py` tells what it writes.
"""

from __future__ import annotations

import json
import math
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

FIRST, LAST = 0, 2
PARTS = ("step_type", "reward", "discount", "observation", "action", "custom")
SCALAR = (-438,)
"""The shape that stands for a scalar (envlogger's storage.proto)."""

STEPS, OFFSETS, METADATA = "steps.riegeli", "step_offsets.riegeli", "metadata.riegeli"
PACKED = {"float_values_buffer": ">f4", "int8_values": ">i1", "int16_values": ">i2"}
PACKED |= {"uint8_values": ">u1", "uint16_values": ">u2"}
REPEATED = {"float_values": "<f4", "double_values": "<f8", "int32_values": "<i4", "int64_values": "<i8"}
REPEATED |= {"uint32_values": "<u4", "uint64_values": "<u8", "bool_values": "|b1"}

GIVEN_UP = 1_000
"""After so many records in a row that cannot be read, the rest of a shard is not tried."""


class Unfit(Exception):
    """A leaf that cannot be an array or a text; the message says why."""


class LogShard:
    """One folder of a log, opened alone: of several, the package leaves out those behind one that it cannot read."""

    def __init__(self, package: Any, log: Path, name: str) -> None:
        self._reader = package.RiegeliDatasetReader()
        with tempfile.TemporaryDirectory() as alone:
            for each in (METADATA, name):
                if each and (log / each).exists():
                    Path(alone, each).symlink_to((log / each).absolute())
            with suppress(RuntimeError):  # a shard that cannot be read has no steps then; one without metadata has
                self._reader.init(alone)
        self.metadata_record = self._reader.metadata()
        self.steps = max(0, int(self._reader.num_steps))
        self.record: Callable[[int], bytes | None] = self._reader.serialized_step
        self._episode = self._reader.episode
        infos = ((number, self._episode(number, False)) for number in range(int(self._reader.num_episodes)))
        self.starting = {int(info.start): number for number, info in infos if info is not None}

    def metadata_of(self, first: int) -> Any:
        """What was said of the whole episode with this first step; None where nothing was."""
        info = self._episode(self.starting[first], True) if first in self.starting else None
        return info and info.metadata


class Leaves:
    """The leaves of the steps of one episode, by the keys that lead to them."""

    def __init__(self) -> None:
        self.rows = 0
        self._found: dict[tuple[Any, ...], list[tuple[int, Any]]] = {}

    def add(self, step: Any) -> None:
        """Another step: ((step_type, reward, discount, observation), action, custom_data)."""
        timestep, action, custom = step.tuple.values
        for name, part in zip(PARTS, (*timestep.tuple.values, action, custom), strict=True):
            self._collect(part, (name,))
        self.rows += 1

    def add_whole(self, data: Any, name: str) -> None:
        """What was said of a whole episode or log; for an object without steps."""
        self._collect(data, (name,))
        self.rows = 1

    def _collect(self, data: Any, keys: tuple[Any, ...]) -> None:
        kind = data.WhichOneof("value")
        if kind == "datum":
            self._found.setdefault(keys, []).append((self.rows, data.datum))
        elif kind == "dict":
            for key in data.dict.values:
                self._collect(data.dict.values[key], (*keys, key))
            for pair in data.dict.kvs.values:
                key, value = pair.tuple.values
                self._collect(value, (*keys, _key(key)))
        elif kind is not None:
            for number, each in enumerate(getattr(data, kind).values):
                self._collect(each, (*keys, str(number)))

    def written(self) -> tuple[list[dict[str, Any]], list[bytes]]:
        """What the header of the frame says of each leaf, and the bytes that follow it."""
        heads, data = [], []
        for keys in sorted(self._found, key=repr):
            for head, blocks in _columns(self._found[keys], self.rows):
                heads.append({"keys": keys, **head})
                data.extend(blocks)
        return heads, data


def _key(data: Any) -> str | int:
    """The key of a dict that is no text."""
    try:
        value = _value(data.datum)
    except Unfit:
        return str(data)
    return int(value) if isinstance(value, np.ndarray) and value.dtype.kind in "iu" and not value.ndim else str(value)


def _columns(found: list[tuple[int, Any]], rows: int) -> Iterator[tuple[dict[str, Any], list[bytes]]]:
    """A leaf of the steps: a column of numbers, one of texts, or both where steps differ."""
    names = [_field(datum) for _, datum in found]
    texts = {row: datum for (row, datum), name in zip(found, names, strict=True) if name == "string_values"}
    numbers = [each for each, name in zip(found, names, strict=True) if name not in ("string_values", "")]
    if texts:
        if all(_shape(datum) == SCALAR for datum in texts.values()):
            yield {"texts": [texts[row].values.string_values[0] if row in texts else None for row in range(rows)]}, []
        else:
            yield {"unfit": "it is an array of texts"}, []
    if numbers:
        try:
            values = _stacked([datum for _, datum in numbers])
        except Unfit as error:
            yield {"unfit": str(error)}, []
            return
        blocks = [np.ascontiguousarray(values).tobytes()]
        head: dict[str, Any] = {"dtype": values.dtype.str, "shape": values.shape}
        if all(name == "bigint_values" for name in names):
            head["python"] = True
        if len(numbers) < rows:
            present = np.zeros(rows, np.bool_)
            present[[row for row, _ in numbers]] = True
            blocks.insert(0, present.tobytes())
        yield head, blocks


def _field(datum: Any) -> str:
    """The field that holds the values; empty where there are none."""
    fields = datum.values.ListFields()
    return fields[0][0].name if fields else ""


def _shape(datum: Any) -> tuple[int, ...]:
    return tuple(dim.size for dim in datum.shape.dim)


def _stacked(data: list[Any]) -> np.ndarray:
    """The values of several steps as one array with a first axis for the steps. Raises Unfit."""
    names, shapes = {_field(datum) for datum in data}, {_shape(datum) for datum in data}
    if len(names) == len(shapes) == 1:
        (name,), (shape,) = names, shapes
        if name in PACKED:
            joined = np.frombuffer(b"".join(getattr(datum.values, name) for datum in data), PACKED[name])
            return _reshaped(joined.astype(PACKED[name].replace(">", "<")), len(data), shape)
        if name in REPEATED and shape == SCALAR:
            return np.array([getattr(datum.values, name)[0] for datum in data], REPEATED[name])
    arrays = [_value(datum) for datum in data]
    if len({array.shape for array in arrays}) > 1:
        raise Unfit(f"its shapes differ: {sorted({array.shape for array in arrays})[:3]}")
    dtype = np.result_type(*{array.dtype for array in arrays})
    stacked = np.stack([array.astype(dtype) for array in arrays])
    if any(not np.array_equal(row.astype(each.dtype), each, True) for row, each in zip(stacked, arrays, strict=True)):
        raise Unfit(f"no type of numbers holds all of it: {sorted({str(array.dtype) for array in arrays})}")
    return stacked


def _value(datum: Any) -> np.ndarray:
    """The values of one leaf. Raises Unfit."""
    name, shape = _field(datum), _shape(datum)
    values: Any = getattr(datum.values, name) if name else b""
    if name in PACKED:
        return _reshaped(np.frombuffer(values, PACKED[name]).astype(PACKED[name].replace(">", "<")), 1, shape)[0]
    if name in REPEATED:
        if name in ("double_values", "float_values"):
            raw = datum.values.SerializeToString()  # packed: the values lie at its end as they are in memory
            array = np.frombuffer(raw[len(raw) - len(values) * int(REPEATED[name][2]) :], REPEATED[name])
        else:
            array = np.array(list(values), REPEATED[name])
        return _reshaped(array, 1, shape)[0]
    if name == "bigint_values" and shape == SCALAR:
        whole = int.from_bytes(values[0], "big", signed=True)
        if -(2**63) <= whole < 2**64:
            return np.array(whole, np.int64 if whole < 2**63 else np.uint64)
        raise Unfit("a whole number in it has more than 64 bits")
    raise Unfit("it holds bytes" if name == "bytes_values" else f"it holds {name or 'nothing'}")


def _reshaped(array: np.ndarray, rows: int, shape: tuple[int, ...]) -> np.ndarray:
    shape = () if shape == SCALAR else shape
    if any(size < 0 for size in shape) or array.size != rows * math.prod(shape):
        raise Unfit(f"{array.size} values do not make the shape {list(shape)}")
    return array.reshape(rows, *shape)


def shard_names(log: Path) -> list[str]:
    """The folders of the shards, oldest first: their names are times."""
    return sorted(path.name for path in log.iterdir() if (path / OFFSETS).exists() or (path / STEPS).exists())


class Log:
    """Episodes of a log, and what was met on the way.

    Attributes:
        counts: oddities by name: how many of each.
    """

    def __init__(self, path: Path) -> None:
        from envlogger.backends.python import riegeli_dataset_reader  # type: ignore[import-not-found]
        from envlogger.proto import storage_pb2  # type: ignore[import-not-found]

        self._path, self._parse = path, storage_pb2.Data.FromString
        self._package = riegeli_dataset_reader
        self.counts: dict[str, int] = {}

    def episodes(self, start: int, keep: bool) -> Iterator[tuple[dict[str, Any], list[bytes]]]:
        """Headers and bytes of the episodes from number `start` on, of those that are kept."""
        number = 0
        for name in shard_names(self._path):
            shard = LogShard(self._package, self._path, name)
            if not shard.steps:
                self._count("unreadable_shards")
            for steps, first, begun, ended in self._pieces(shard):
                if len(steps) < 2:
                    self._count("empty_episodes")
                elif not (begun and ended) and not keep:
                    self._count("incomplete")
                else:
                    if not (begun and ended):
                        self._count("kept_incomplete")
                    if first not in shard.starting:
                        self._count("unlisted_episodes")
                    if number >= start:
                        yield self._frame(name, steps, shard.metadata_of(first), begun, ended)
                    number += 1

    def _pieces(self, shard: LogShard) -> Iterator[tuple[list[Any], int, bool, bool]]:
        """The steps of each episode, the number of its first, and whether its beginning and its end are there."""
        steps: list[Any] = []
        first, begun, lost = 0, False, 0
        for number in range(shard.steps):
            step = self._step(shard.record(number))
            if step is None:
                self._count("unreadable_steps")
                lost += 1
                if lost == GIVEN_UP:
                    break
            else:
                lost = 0
            kind = None if step is None else _step_type(step)
            if kind in (None, FIRST) and steps:
                yield steps, first, begun, False
                steps = []
            if kind is None:
                continue
            if not steps:
                first, begun = number, kind == FIRST
            steps.append(step)
            if kind == LAST:
                yield steps, first, begun, True
                steps = []
        if steps:
            yield steps, first, begun, False

    def _step(self, record: bytes | None) -> Any:
        """A record as a step; None where it is none."""
        if record is None:
            return None
        try:
            step = self._parse(record)
        except Exception:  # the package's protobuf has an error of its own for what it cannot parse
            return None
        parts = step.tuple.values
        whole = len(parts) == 3 and len(parts[0].tuple.values) == 4 and _step_type(step) in (FIRST, 1, LAST)
        return step if whole else None

    def _frame(
        self, shard: str, steps: list[Any], metadata: Any, begun: bool, ended: bool
    ) -> tuple[dict[str, Any], list[bytes]]:
        columns, once = Leaves(), Leaves()
        for step in steps:
            columns.add(step)
        if metadata is not None:
            once.add_whole(self._parse(metadata.SerializeToString()), "episode")
        heads, data = columns.written()
        once_heads, once_data = once.written()
        head = {"kind": "episode", "shard": shard, "rows": len(steps), "begun": begun, "ended": ended}
        return {**head, "columns": heads, "once": once_heads}, [*data, *once_data]

    def _count(self, name: str) -> None:
        self.counts[name] = self.counts.get(name, 0) + 1

    def metadata(self) -> tuple[dict[str, Any], list[bytes]]:
        """The frame of what the log says of itself; without columns where nothing can be read."""
        shard = LogShard(self._package, self._path, "")
        found = Leaves()
        if shard.metadata_record is not None:
            found.add_whole(self._parse(shard.metadata_record.SerializeToString()), "metadata")
        heads, data = found.written()
        return {"kind": "metadata", "rows": 1, "columns": [], "once": heads}, data


def _step_type(step: Any) -> int:
    try:
        return int(_value(step.tuple.values[0].tuple.values[0].datum))
    except (Unfit, TypeError):
        return -1


def main(words: list[str]) -> None:
    """Write what is asked for; an error becomes a frame."""
    out = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what the package prints must not come between the frames

    def write(head: dict[str, Any], data: list[bytes]) -> None:
        out.write(json.dumps({**head, "bytes": sum(map(len, data))}).encode() + b"\n")
        out.writelines(data)
        out.flush()

    try:
        log = Log(Path(words[1]))
    except Exception as error:  # a missing library, an unfit protobuf: told to whoever asked
        write({"kind": "error", "of": "import", "words": f"{type(error).__name__}: {error}"}, [])
        return
    try:
        if words[0] == "metadata":
            write(*log.metadata())
        else:
            for head, data in log.episodes(int(words[2]), words[3] == "keep"):
                write({**head, "counts": log.counts}, data)
        write({"kind": "end", "counts": log.counts}, [])
    except BrokenPipeError:
        os._exit(0)  # nobody listens any more
    except Exception as error:  # told to whoever asked, who knows the log
        write({"kind": "error", "of": "log", "words": f"{type(error).__name__}: {error}"}, [])


if __name__ == "__main__":
    main(sys.argv[1:])
