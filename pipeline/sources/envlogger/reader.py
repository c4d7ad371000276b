"""Reads an EnvLogger log in the environment that has envlogger, and writes what it holds to standard output.

python -I reader.py metadata LOG
python -I reader.py episodes LOG START drop|keep

It imports nothing of this project: the standard library, numpy and envlogger are all that it knows. It opens the folder
that it is given and runs no code from data: records are protocol buffers. `stream.py` tells what it writes.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent))  # python -I leaves it out
from leaves import Leaves, step_type  # type: ignore[import-not-found]

NONE, FIRST, MID, LAST = -1, 0, 1, 2
STEPS, OFFSETS, METADATA = "steps.riegeli", "step_offsets.riegeli", "metadata.riegeli"
GIVEN_UP = 1_000
"""After so many records in a row that cannot be read, the rest of a shard is not tried."""


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
                    continue
                if not (begun and ended):
                    self._count("incomplete")
                if keep or (begun and ended):
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
            step, kind = self._step(shard.record(number))
            if kind <= FIRST and steps:
                yield steps, first, begun, False
                steps = []
            if kind == NONE:
                self._count("unreadable_steps")
                lost += 1
                if lost == GIVEN_UP:
                    break
                continue
            lost = 0
            if not steps:
                first, begun = number, kind == FIRST
            steps.append(step)
            if kind == LAST:
                yield steps, first, begun, True
                steps = []
        if steps:
            yield steps, first, begun, False

    def _step(self, record: bytes | None) -> tuple[Any, int]:
        """A record as a step, and its type: NONE where it is no step."""
        if record is None:
            return None, NONE
        try:
            step = self._parse(record)
        except Exception:  # the package's protobuf has an error of its own for what it cannot parse
            return None, NONE
        parts = step.tuple.values
        kind = step_type(step) if len(parts) == 3 and len(parts[0].tuple.values) == 4 else NONE
        return step, kind if kind in (FIRST, MID, LAST) else NONE

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
        write(*log.metadata())
        if words[0] == "episodes":
            for head, data in log.episodes(int(words[2]), words[3] == "keep"):
                write({**head, "counts": log.counts}, data)
        write({"kind": "end", "counts": log.counts}, [])
    except BrokenPipeError:
        os._exit(0)  # nobody listens any more
    except Exception as error:  # told to whoever asked, who knows the log
        write({"kind": "error", "of": "log", "words": f"{type(error).__name__}: {error}"}, [])


if __name__ == "__main__":
    main(sys.argv[1:])
