"""Readers of other projects for `benchmarks.views`, each a function that runs in the Python of its own environment."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def windows_by(
    root: str, form: str, place: str, lengths: list[int], length: int, size: int, seconds: float
) -> Mapping[str, Any]:
    """Windows a second of an export, read as its owner reads it, in batches of random windows."""
    import sys
    import time

    import numpy as np

    sys.path.insert(0, root)
    from pipeline.views.bench.foreign import FOREIGN

    reader = FOREIGN[form][0](place, length)
    rng, counts = np.random.default_rng(0), np.maximum(np.array(lengths) - length + 1, 0)
    ends, windows = np.cumsum(counts), 0

    def read() -> None:
        places = rng.integers(ends[-1], size=size)
        episodes = np.searchsorted(ends, places, "right")
        reader.read(episodes, places - np.where(episodes, ends[episodes - 1], 0))

    read()
    start = time.perf_counter()
    while not windows or time.perf_counter() - start < seconds:
        read()
        windows += size
    return {"rate": np.array(windows / (time.perf_counter() - start))}


def write_lance(jpegs: str, ends: str, episodes: list[int], actions: str, place: str) -> Mapping[str, Any]:
    """A Lance table with a row for each frame: a JPEG, the action, and where it is from."""
    import lance
    import numpy as np
    import pyarrow as pa

    blob, offsets = np.fromfile(jpegs, np.uint8), np.concatenate([[0], np.load(ends)])
    number = np.repeat(np.arange(len(episodes), dtype=np.int32), episodes)
    step = np.concatenate([np.arange(each, dtype=np.int32) for each in episodes])
    acted = pa.FixedSizeListArray.from_arrays(pa.array(np.load(actions).astype(np.float32)), 1)
    pictures = [each.tobytes() for each in np.split(blob, offsets[1:-1])]
    columns = {"episode_idx": number, "step_idx": step, "pixels": pa.array(pictures, pa.binary()), "action": acted}
    lance.write_dataset(pa.table(columns), place)
    return {"bytes": np.array(len(blob))}


def frames_by_lance(
    place: str, episodes: list[int], length: int, skip: int, size: int, workers: int, steps: int
) -> Mapping[str, Any]:
    """Samples a second of the pattern that stable-worldmodel publishes.

    A row a frame; of a batch one `take` of all rows of its windows, sorted and without repeats; every `skip`-th frame
    is decoded by Pillow, grey ones as grey; torch's DataLoader collates the samples. Workers are forked and open the
    table themselves.
    """
    import io
    import time

    import lance
    import numpy as np
    import pyarrow as pa
    import torch
    from PIL import Image
    from torch.utils.data import DataLoader, RandomSampler

    span = length * skip
    ends = np.cumsum(episodes)
    starts = np.concatenate([np.arange(end - rows, end - span + 1) for end, rows in zip(ends, episodes, strict=True)])

    class FrameRows:
        table = None

        def __len__(self) -> int:
            return len(starts)

        def __getitems__(self, indices: list[int]) -> list[dict[str, torch.Tensor]]:
            if self.table is None:
                self.table = lance.dataset(place)
            rows = [int(row) for index in indices for row in range(starts[index], starts[index] + span)]
            once = sorted(set(rows))
            at = {row: number for number, row in enumerate(once)}
            taken = self.table.take(once, columns=["pixels", "action"])
            taken = taken.combine_chunks().take(pa.array([at[row] for row in rows]))
            return [self.sample(taken.slice(number * span, span)) for number in range(len(indices))]

        def sample(self, rows: Any) -> dict[str, torch.Tensor]:
            pictures = [np.array(Image.open(io.BytesIO(each))) for each in rows["pixels"].to_pylist()[::skip]]
            acted = rows["action"].combine_chunks().flatten().to_numpy().reshape(length, -1)
            return {"pixels": torch.from_numpy(np.stack(pictures)), "action": torch.from_numpy(acted.copy())}

    data: Any = FrameRows()
    drawn = RandomSampler(data, replacement=True, num_samples=size * (steps + 6))
    loader = DataLoader(data, size, sampler=drawn, num_workers=workers, multiprocessing_context="fork")
    batches = iter(loader)
    for _ in range(5):
        next(batches)
    start, samples = time.perf_counter(), 0
    for _ in range(steps):
        samples += len(next(batches)["pixels"])
    return {"rate": np.array(samples / (time.perf_counter() - start))}
