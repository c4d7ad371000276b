"""What array_record, TensorFlow and tensorflow_datasets do with the records of an RLDS export, in their environment."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from tests.interop.side import run_by, tool

EPISODES = 12
"""tensorflow_datasets decodes so many; the rest is projected."""


def by_library(path: Path, place: Path, repeats: int, clock: str) -> dict[str, float]:
    """Seconds, by a clock of the module `time`.

    `bulk` encodes and writes the same episodes with tensorflow_datasets, `library` decodes them and writes their
    arrays; `bare_out` writes the records that are encoded already, `bare_in` copies them to one file undecoded. Nothing
    where the environment cannot be had.
    """
    try:
        python = tool().environment("tfds")
    except tool().NotHere as error:
        print(f"tensorflow_datasets: {error}", file=sys.stderr)
        return {}
    return {
        name: float(value) for name, value in run_by(python, _records, path, place, repeats, EPISODES, clock).items()
    }


def _records(path: str, place: str, repeats: int, episodes: int, clock: str) -> dict[str, Any]:
    import itertools
    import os
    import time
    from pathlib import Path

    import numpy as np
    import tensorflow as tf
    import tensorflow_datasets as tfds
    from array_record.python.array_record_module import ArrayRecordReader, ArrayRecordWriter

    os.environ["CUDA_VISIBLE_DEVICES"] = ""
    shards = sorted(file for file in Path(path).rglob("*record-*") if file.is_file())
    packed = ".array_record" in shards[0].name

    def read(shard: Path) -> list[bytes]:
        if not packed:
            return [record.numpy() for record in tf.data.TFRecordDataset(str(shard))]
        reader = ArrayRecordReader(str(shard))
        records = reader.read_all()
        reader.close()
        return records

    held = [read(shard) for shard in shards]

    def write(records: Any) -> None:
        name = f"{place}/records"
        writer = ArrayRecordWriter(name, "group_size:1") if packed else tf.io.TFRecordWriter(name)
        for record in records:
            writer.write(record)
        writer.close()

    def bare_in() -> None:
        with open(f"{place}/bare", "wb") as file:
            for shard in shards:
                for record in read(shard):
                    file.write(record)

    builder = tfds.builder_from_directory(str(next(file.parent for file in shards)))
    count = builder.info.splits["train"].num_examples

    def decoded() -> Any:
        if packed:
            every = builder.as_data_source(split="train")
            return (every[number] for number in range(min(episodes, count)))
        return itertools.islice(tfds.as_numpy(builder.as_dataset(split="train")), episodes)

    def library() -> None:
        with open(f"{place}/library", "wb") as file:
            for episode in decoded():
                for step in episode["steps"]:
                    for value in step.values():
                        for array in value.values() if isinstance(value, dict) else [value]:
                            if np.asarray(array).dtype.kind in "biuf":
                                file.write(np.ascontiguousarray(array))

    lists = [dict(episode) | {"steps": list(episode["steps"])} for episode in decoded()]

    def best(function: Any, times: int) -> float:
        seconds = []
        for _ in range(times):
            start = getattr(time, clock)()
            function()
            os.sync()
            seconds.append(getattr(time, clock)() - start)
        return min(seconds)

    part = count / min(episodes, count)
    features = builder.info.features
    return {
        "bulk": part * best(lambda: write(features.serialize_example(each) for each in lists), 1),
        "library": part * best(library, 1),
        "bare_out": best(lambda: write(itertools.chain(*held)), repeats),
        "bare_in": best(bare_in, repeats),
    }
