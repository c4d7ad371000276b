"""Made-up datasets with made-up pictures, without a simulator: of any size, each picture unlike all others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.artifacts.artifact import Artifact, Spec
from pipeline.artifacts.draft import Draft
from pipeline.dataset.prefix import episodes_parent
from pipeline.dataset.reader import EpisodeDataset
from pipeline.dataset.workspace import Workspace
from pipeline.episode import Episode, with_last_row
from pipeline.formats.contract import Outgoing
from pipeline.formats.provenance import provenance
from pipeline.frames.png import encode_pngs
from pipeline.frames.store import DIGESTS, ENDS, EPISODE_ENDS, FRAMES, PNG, Frames
from tests.contracts.format import Listed, ingested

NAMES = ["NOOP", "FIRE", "UP", "RIGHT"]


class Played(Listed):
    """Episodes whose actions have names."""

    def identity(self, domain: str, task: str) -> Mapping[str, Any]:
        return {**super().identity(domain, task), "actions": NAMES}


def numbered_pictures(count: int, width: int, height: int, first: int = 0) -> list[bytes]:
    """PNG files; the top left corner of each spells its number."""
    pictures = np.zeros((count, height, width, 3), np.uint8)
    numbers = np.arange(first, first + count)
    pictures[:, 0, 0] = np.stack([numbers >> 16, numbers >> 8 & 255, numbers & 255], 1)
    return encode_pngs(pictures)


def stored_frames(workspace: Workspace, dataset: Artifact, episodes: Sequence[Sequence[bytes]]) -> Artifact:
    """The pictures of a dataset, T+1 files an episode, as stage=frames leaves them."""
    files = [file for pictures in episodes for file in pictures]
    arrays = {
        PNG: np.frombuffer(b"".join(files), np.uint8),
        ENDS: np.cumsum([len(file) for file in files]),
        EPISODE_ENDS: np.cumsum([len(pictures) for pictures in episodes]),
        DIGESTS: np.zeros((len(episodes), 32), np.uint8),
    }

    def make(draft: Draft) -> None:
        for name, array in arrays.items():
            draft.array(name, array.shape, array.dtype, "").append(array)
        draft.counts |= {"episodes": len(episodes), "frames": len(files)}

    read = EpisodeDataset.of(dataset)
    spec = Spec(dataset.domain, dataset.task, FRAMES, 1, {}, (episodes_parent(dataset, read, len(read)),))
    return workspace.build(spec, make)


def played(lengths: Sequence[int], seed: int = 0) -> list[Episode]:
    """Episodes of these lengths with four discrete actions."""
    rng = np.random.default_rng(seed)
    return [
        Episode(
            steps={
                "observation": np.zeros((steps + 1, 1), np.float32),
                "action": with_last_row("action", rng.integers(len(NAMES), size=steps)),
                "reward": np.zeros(steps + 1),
                "discount": with_last_row("discount", np.ones(steps)),
            }
        )
        for steps in lengths
    ]


def drawn_dataset(
    folder: Path, lengths: Sequence[int], size: tuple[int, int] = (84, 84), task: str = "corner"
) -> Workspace:
    """A store with a dataset `listed-v1` of `toy/TASK` and its pictures, numbered on through all episodes."""
    workspace = Workspace(str(folder), "bin")
    dataset = ingested(Played(played(lengths)), workspace, task=task)
    ends = np.cumsum(np.asarray(lengths) + 1)
    pictures = [numbered_pictures(n + 1, *size, first=int(end) - n - 1) for n, end in zip(lengths, ends, strict=True)]
    stored_frames(workspace, dataset, pictures)
    return workspace


def outgoing(workspace: Workspace, task: str = "corner") -> Outgoing:
    """That dataset on its way out."""
    dataset = workspace.dataset("toy", task, "listed-v1")
    read = EpisodeDataset.of(dataset)
    (frames,) = workspace.of_kind("toy", task, FRAMES)
    return Outgoing("toy", task, read, provenance(dataset, read, {}), frames=Frames(frames))
