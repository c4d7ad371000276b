"""Frames on disk for `benchmarks.gpu`: a dataset where its packages are, else a memory map."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.embedding.states import BLOCK_BYTES, InputRows

ROOT = "workspace"
NAME = "atari/pong/gpu-v1"
EPISODE = 512  # steps


@dataclass(frozen=True)
class MappedInputs:
    """Inputs of four frames, as `pipeline.embedding.states.StateInputs` reads them, from frames (n + 3, 84, 84)."""

    frames: Any
    shape: tuple[int, ...] = (4, 84, 84)

    @property
    def states(self) -> int:
        return len(self.frames) - 3

    @property
    def most(self) -> int:
        return BLOCK_BYTES // int(np.prod(self.shape))

    def read(self, start: int, stop: int) -> InputRows:
        """Inputs [start, stop), named by the digests of their frames."""
        rows = np.asarray(self.frames[start : stop + 3])
        keys = [hashlib.blake2b(row.data, digest_size=16).digest() for row in rows]

        def take(chosen: Any, out: Any) -> None:
            out[...] = rows[chosen[:, None] + np.arange(4)]

        return InputRows([b"".join(keys[i : i + 4]) for i in range(stop - start)], take)


def mapped_frames(folder: Path, states: int) -> MappedInputs:
    """Frames of a quiet game, no two alike, in a file."""
    rng = np.random.default_rng(0)
    file = folder / "frames.npy"
    frames = np.lib.format.open_memmap(file, "w+", np.uint8, (states + 3, 84, 84))
    for start in range(0, len(frames), 4096):
        part = frames[start : start + 4096]
        part[:, :21, :21] = rng.integers(0, 255, (len(part), 21, 21))
    frames.flush()
    return MappedInputs(np.load(file, mmap_mode="r"))


def stored_frames(folder: Path, states: int) -> Any:
    """The same in a dataset in storage `bin`, which is made at the first call."""
    from benchmarks.wide import wide_dataset
    from pipeline.dataset.workspace import Workspace
    from pipeline.embedding.states import StateInputs

    root = folder / ROOT
    workspace = Workspace(str(root), "bin")
    if NAME not in workspace:
        length = min(EPISODE, states)
        wide_dataset(workspace, NAME.split("/")[-1], 1, -(-states // length), length)
    dataset = workspace[NAME]
    inputs: Any = StateInputs(dataset, 4, "first", NAME)
    inputs.states = states
    return inputs
