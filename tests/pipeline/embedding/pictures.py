"""Datasets of pictures, written by the real writer."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np

from pipeline.artifacts.artifact import Artifact, Spec
from pipeline.dataset.amount import Amount
from pipeline.dataset.grow import Noticed, grow
from pipeline.dataset.reader import EpisodeDataset
from pipeline.dataset.workspace import Workspace
from pipeline.dataset.writer import DatasetWriter
from pipeline.domains.domain import Domain, Regent
from pipeline.envs.toy import Toy
from pipeline.episode import Episode, with_last_row

DOMAIN = Domain("pictures", 60, 20, partial(Toy, max_steps=60), ["pong", "alien"], Regent(8, 5, 20, 150))


def episode(observations: np.ndarray) -> Episode:
    """An episode that shows these pictures, (T + 1, ...)."""
    states = len(observations) - 1
    return Episode(
        steps={
            "observation": observations,
            "action": with_last_row("action", np.zeros(states, np.int64)),
            "reward": with_last_row("reward", np.zeros(states)),
            "discount": with_last_row("discount", np.ones(states)),
        }
    )


def dataset(workspace: Workspace, shown: Sequence[np.ndarray], name: str = "made-v1", task: str = "pong") -> Artifact:
    """A dataset of the domain `pictures` that grows to these episodes."""

    def fill(writer: DatasetWriter, amount: Amount) -> Noticed:
        while not amount.met(writer.size):
            writer.append(episode(shown[writer.count]))
        return Noticed()

    spec = Spec("pictures", task, "episodes", 1, {}, name=name)
    return grow(workspace, spec, Amount(len(shown), None), fill)


def noise(
    lengths: Sequence[int], shape: tuple[int, ...] = (18, 16), seed: int = 0, values: int = 256
) -> list[np.ndarray]:
    """Random pictures of episodes with so many states."""
    rng = np.random.default_rng(seed)
    return [rng.integers(0, values, (length + 1, *shape), np.uint8) for length in lengths]


def stacks(shown: Sequence[np.ndarray], frames: int, zero: bool) -> np.ndarray:
    """(N, frames, ...): what each state shows with those before it, by the plainest loop."""
    found = []
    for pictures in shown:
        for t in range(len(pictures) - 1):
            past = [pictures[i] if i >= 0 else pictures[0] * (0 if zero else 1) for i in range(t - frames + 1, t + 1)]
            found.append(np.stack(past))
    return np.stack(found)


def read(artifact: Artifact, episodes: int | None = None) -> EpisodeDataset:
    return EpisodeDataset(artifact.path, artifact.manifest.parts, episodes)
