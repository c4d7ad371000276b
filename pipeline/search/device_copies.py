"""Arrays to a torch device and back.

A GPU reads page-locked memory by itself, at the bus's full speed and while the processor does something else; other
memory it gets by way of one thread of the driver, which may first wait until the GPU has nothing to do. So arrays go
through page-locked pieces, which a few threads fill where there are several.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from jaxtyping import Float32, Int32, Int64, Shaped

from pipeline.machine.threads import available_cores

PIECE = 1 << 22  # bytes copied at once
COPIERS = 8  # threads, at most: one copies some 10 GB/s, the bus takes 25 to 50


def sent(array: Shaped[np.ndarray, "..."], device: torch.device) -> torch.Tensor:
    """A copy of an array (n, ...) on the device."""
    if device.type != "cuda":
        return torch.tensor(array, device=device)
    there = torch.empty(array.shape, dtype=torch.tensor(array[:0]).dtype, device=device)
    stream = torch.cuda.current_stream(device)

    def copy(rows: slice) -> int:
        staged = torch.empty(array[rows].shape, dtype=there.dtype, pin_memory=True)
        np.copyto(staged.numpy(), array[rows])
        with torch.cuda.stream(stream):  # torch keeps the piece until the stream has read it
            there[rows].copy_(staged, non_blocking=True)
        return 0

    _by_threads(copy, array)
    return there


def first_not_finite_row(vectors: Float32[np.ndarray, "n d"]) -> int:
    """The first row (n, d) that holds an infinity or a NaN; -1 if none does. By numpy, with all cores."""

    def look(rows: slice) -> int:
        part = vectors[rows]
        if np.isfinite(part.min()) and np.isfinite(part.max()):  # either is NaN where a value is; nothing is stored
            return -1
        return int(rows.start + np.argmin(np.isfinite(part).all(axis=1)))

    return next((row for row in _by_threads(look, vectors) if row >= 0), -1) if vectors.size else -1


def _by_threads(work: Callable[[slice], int], array: Shaped[np.ndarray, "..."]) -> list[int]:
    """What `work` gives for consecutive rows of the array, PIECE bytes of them at a time."""
    step = max(1, PIECE * len(array) // max(1, array.nbytes))  # rows
    parts = [slice(start, min(start + step, len(array))) for start in range(0, len(array), step)]
    if len(parts) == 1:
        return [work(parts[0])]
    with ThreadPoolExecutor(min(COPIERS, available_cores())) as threads:
        return list(threads.map(work, parts))


class Inbox:
    """Rows of an array that arrive from the device while it computes the next ones."""

    def __init__(self, rows: Int32[np.ndarray, "q k"]) -> None:
        self._rows = rows
        self._write: Callable[[], None] = lambda: None

    def take(self, some: Int64[np.ndarray, "m"], found: torch.Tensor) -> None:
        """Let `found` (m, k) become rows[some], at the latest in `finish`."""
        arrived = _received(found)
        self._write()

        def write() -> None:
            self._rows[some] = arrived()

        self._write = write

    def finish(self) -> None:
        """Wait for what is still on its way."""
        self._write()
        self._write = lambda: None


def _received(tensor: torch.Tensor) -> Callable[[], Int32[np.ndarray, "m k"]]:
    """Begin to copy a tensor to the processor's memory; call the result for the copy."""
    if tensor.device.type != "cuda":
        return tensor.numpy
    here = torch.empty(tensor.shape, dtype=tensor.dtype, pin_memory=True)
    here.copy_(tensor, non_blocking=True)
    copied = torch.cuda.Event()  # type: ignore[no-untyped-call]  # torch has no types for it
    copied.record(torch.cuda.current_stream(tensor.device))

    def wait() -> Int32[np.ndarray, "m k"]:
        copied.synchronize()
        return here.numpy()

    return wait
