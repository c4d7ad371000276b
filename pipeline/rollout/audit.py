"""Replay: step recorded episodes again from their seeds and actions, say where the simulator differs, and draw."""

from __future__ import annotations

import atexit
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from jaxtyping import Shaped

from pipeline.artifacts.artifact import Artifact
from pipeline.command import Typed, typed, user_typed
from pipeline.dataset.columns import Columns, RowSpec
from pipeline.dataset.reader import EpisodeDataset
from pipeline.episode import INFO, INFO_TEXTS, RESET, SUMMARY, Episode
from pipeline.errors import InvalidEpisode, TaskFailed
from pipeline.frames.encoder import PictureEncoder
from pipeline.frames.store import EpisodeFrames, save_frames, spilled_frames
from pipeline.interfaces import Decision, Environment
from pipeline.machine.processes import end_with_parent, spawn_context
from pipeline.machine.threads import have_one_core
from pipeline.policies.outputs import ENTROPY, VALUE
from pipeline.rollout.rollout import Start, play

CHUNK = 8
"""Episodes that a worker replays at a time."""


@dataclass(frozen=True)
class Audited:
    """One replayed episode. `row` is the first that differs and `what` differs there; None where all is equal."""

    episode: int
    length: int
    row: int | None = None
    what: str = ""


class Recorded:
    """A policy that plays the actions of one recorded episode, and says of each what its policy said then.

    Args:
        actions: of the episode.
        outputs: infos that its policy gave, not its simulator, by name.
    """

    name = "recorded"
    slots = 1

    def __init__(
        self,
        actions: Shaped[np.ndarray, "rows ..."],
        outputs: Mapping[str, Shaped[np.ndarray, "rows"]] = MappingProxyType({}),
    ) -> None:
        self._actions = iter(actions)
        self._outputs = {name: iter(values) for name, values in outputs.items()}

    def identity(self) -> Mapping[str, Any]:
        """Its name; what it plays is in the dataset."""
        return {"name": self.name}

    def start(self, slot: int, environment: Environment) -> None:
        """Nothing to forget."""

    def act(self, decisions: Sequence[Decision]) -> list[Shaped[np.ndarray, "..."]]:
        """The next recorded action, whatever is observed."""
        return [np.asarray(next(self._actions)) for _ in decisions]

    def outputs(self, slot: int) -> Mapping[str, np.float32]:
        """What was recorded of the newest decision."""
        return {name: next(values) for name, values in self._outputs.items()}


def audit(
    environment: Callable[[], Environment],
    artifact: Artifact,
    workers: int,
    episodes: Sequence[int] | None = None,
    frames: Path | None = None,
) -> Iterator[Audited]:
    """Replay a dataset's episodes (all of them, where none are named) in worker processes, in the given order.

    With `frames` the pictures of every episode that replays exactly are saved in that folder.
    Raises TaskFailed when a process dies.
    """
    numbers = range(len(EpisodeDataset.of(artifact))) if episodes is None else episodes
    chunks = [numbers[start : start + CHUNK] for start in range(0, len(numbers), CHUNK)]
    workers = max(1, min(workers, len(chunks)))
    job = (environment, artifact, frames, typed())
    try:
        with ProcessPoolExecutor(workers, mp_context=spawn_context(), initializer=_start, initargs=job) as pool:
            for results in pool.map(_audit_chunk, chunks):
                yield from results
    except BrokenProcessPool as error:
        raise TaskFailed(f"A process that replayed {artifact.manifest.task} died without a message.") from error


def policy_outputs(artifact: Artifact, episode: Episode) -> dict[str, Shaped[np.ndarray, "rows"]]:
    """The infos of an episode that its policy gave, not its simulator; see `policy.outputs`."""
    if not artifact.manifest.parameters.get("policy", {}).get("outputs"):
        return {}
    return {name: each for name in (ENTROPY, VALUE) if (each := episode.steps.get(f"{INFO}{name}")) is not None}


def first_difference(recorded: Episode, replayed: Episode) -> tuple[int, str] | None:
    """The first row and array in which two episodes differ, or the last row and the differing end."""
    rows = min(recorded.rows, replayed.rows)
    found: list[tuple[int, str]] = []
    for name in sorted(recorded.steps.keys() | replayed.steps.keys()):
        if name not in recorded.steps or name not in replayed.steps:
            return 0, f"{name} is in one of them only"
        left, right = recorded.steps[name][:rows], replayed.steps[name][:rows]
        if left.shape != right.shape or left.dtype != right.dtype:
            return 0, f"{name} is {right.dtype}{list(right.shape)}, recorded {left.dtype}{list(left.shape)}"
        unequal = ((left != right) & ((left == left) | (right == right))).reshape(rows, -1).any(axis=1)  # NaN is NaN
        if unequal.any():
            found.append((int(unequal.argmax()), name))
    if found:
        return min(found)
    if recorded.rows != replayed.rows:
        return rows - 1, f"its length: {replayed.length} steps, recorded {recorded.length}"
    if name := _differing_info(recorded, replayed):
        return 0, name
    ends = [name for name in (*SUMMARY, "mission") if getattr(recorded, name) != getattr(replayed, name)]
    return (rows - 1, ", ".join(ends)) if ends else None


def stored_columns(dataset: EpisodeDataset) -> Columns:
    """What each array of a dataset is, its infos included."""
    columns = Columns()
    specs = {name: dataset.spec(name) for name in dataset.array_names()}
    columns.learn({name: RowSpec(dtype, shape) for name, (shape, dtype) in specs.items()} | dataset.reset_specs())
    return columns


def as_stored(episode: Episode, number: int, columns: Columns) -> Episode:
    """A replayed episode as the dataset would store it: some of its infos may be cast, renamed or left out there."""
    try:
        return columns.conform(episode, number)
    except InvalidEpisode:  # other arrays; `first_difference` says which
        return episode


def _differing_info(recorded: Episode, replayed: Episode) -> str:
    """Which of the facts beside the steps differ; an episode of an earlier version has none of them."""
    for name, array in recorded.reset_info.items():
        now = replayed.reset_info.get(name)
        if now is None or not np.array_equal(array, now, equal_nan=array.dtype.kind == "f"):
            return f"{RESET}{name}"
    texts = recorded.info_texts, recorded.reset_texts
    return INFO_TEXTS if any(texts) and texts != (replayed.info_texts, replayed.reset_texts) else ""


_job: tuple[Callable[[], Environment], Artifact, Path | None, Typed]


def _start(environment: Callable[[], Environment], artifact: Artifact, frames: Path | None, words: Typed) -> None:
    global _job
    end_with_parent()
    have_one_core()
    atexit.register(_opened.cache_clear)  # Atari's emulator complains of a console that outlives its module
    _job = environment, artifact, frames, words


@cache
def _opened() -> tuple[Environment, EpisodeDataset, Columns]:
    environment, artifact, _, _ = _job
    dataset = EpisodeDataset.of(artifact)
    return environment(), dataset, stored_columns(dataset)


def _audit_chunk(indices: Sequence[int]) -> list[Audited]:
    _, _, frames, words = _job
    with user_typed(words):  # messages name the commands that they would name in the parent
        simulator, dataset, columns = _opened()
        return [_audit_one(simulator, dataset[index], index, columns, frames) for index in indices]


def _audit_one(simulator: Environment, recorded: Episode, index: int, columns: Columns, frames: Path | None) -> Audited:
    start = Start(index, recorded.seed, np.random.default_rng(0))
    policy = Recorded(recorded.steps["action"], policy_outputs(_job[1], recorded))
    watch = None if frames is None else PictureEncoder()
    played = next(play([simulator], policy, iter([start]), limit=recorded.length, watch=watch))
    assert isinstance(played.episode, Episode)
    difference = first_difference(recorded, as_stored(played.episode, index, columns))
    if frames is not None and difference is None:
        save_frames(spilled_frames(frames, index), EpisodeFrames.of(played.pictures), recorded.digest())
    return Audited(index, recorded.length, *(difference or ()))
