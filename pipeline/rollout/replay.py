"""Pictures of recorded episodes: step them again from their seeds and actions, in a child process, and draw."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import Any

import numpy as np
from jaxtyping import Shaped, UInt8

from pipeline.command import Command, Typed, typed, user_typed
from pipeline.episode import Episode
from pipeline.errors import DigestMismatch, IdentityMismatch, PipelineError, TaskFailed
from pipeline.fingerprint import canonical, differences
from pipeline.interfaces import Environment, Observation
from pipeline.keys import name_among
from pipeline.machine.processes import end_with_parent, spawn_context
from pipeline.observation import observation_arrays
from pipeline.rollout.rollout import reset_environment, step_environment
from pipeline.wording import error_text

RowPictures = dict[tuple[int, int], UInt8[np.ndarray, "h w 3"]]
"""(episode, row) -> picture."""


def replay_frames(
    environment: Callable[[], Environment],
    episodes: Mapping[int, Episode],
    wanted: Mapping[int, Sequence[int]],
    identity: Mapping[str, Any] | None = None,
) -> RowPictures:
    """The pictures of the wanted rows, 0 to T of each episode.

    The simulator lives in a child process, because a native one may crash. At every wanted row the replayed observation
    must equal the recorded one to the last bit: a picture of another state would be a silent lie.

    Args:
        environment: makes the simulator; must pickle.
        episodes: recorded episodes by number.
        wanted: rows by episode number; rows after the last wanted one are not replayed.
        identity: what the environment was when it was recorded; None skips the comparison.

    Raises:
        NoRenderer: nothing can draw here.
        IdentityMismatch: the environment here is another one than `identity` says.
        DigestMismatch: the same environment gave another observation.
        TaskFailed: the simulator failed or its process died.
        InvalidInput: the environment cannot be made here.
    """
    if not any(len(rows) for rows in wanted.values()):
        return {}
    chosen = {number: episodes[number] for number in wanted}
    try:
        with ProcessPoolExecutor(1, mp_context=spawn_context(), initializer=end_with_parent) as pool:
            return pool.submit(_replay_all, environment, chosen, wanted, identity, typed()).result()
    except BrokenProcessPool as error:
        raise TaskFailed(
            "The process that replayed episodes for their pictures died without a message: the simulator or its "
            "renderer crashed, or the system stopped it (often for memory). Where MuJoCo draws, try another renderer: "
            "MUJOCO_GL=osmesa or MUJOCO_GL=egl."
        ) from error


def _replay_all(
    environment: Callable[[], Environment],
    episodes: Mapping[int, Episode],
    wanted: Mapping[int, Sequence[int]],
    identity: Mapping[str, Any] | None,
    words: Typed,
) -> RowPictures:
    """Runs in the child. `words` are what the user typed."""
    with user_typed(words):
        simulator = environment()
        try:
            if identity is not None:
                check_environment(identity, simulator.identity())
            frames: RowPictures = {}
            for number in sorted(wanted):
                frames |= _replay(simulator, number, episodes[number], frozenset(wanted[number]))
            return frames
        finally:
            simulator.close()


def check_environment(recorded: Mapping[str, Any], here: Mapping[str, Any]) -> None:
    """Raises IdentityMismatch where the environment here is another one than was recorded."""
    plain = json.loads(canonical(dict(here)))  # as a manifest holds it: lists for tuples
    if lines := differences(dict(recorded), plain):
        raise IdentityMismatch(
            f"The environment on this machine is not the one that recorded these episodes: {'; '.join(lines)}"
        )


def _replay(simulator: Environment, number: int, episode: Episode, rows: frozenset[int]) -> RowPictures:
    frames: RowPictures = {}
    last = max(rows, default=-1)
    if last > episode.length:
        raise IndexError(f"row {last} of episode {number}, which has rows 0 to {episode.length}")
    for row in range(last + 1):
        if row == 0:
            observation = reset_environment(simulator, episode.seed)
        else:
            action = np.asarray(episode.steps["action"][row - 1])
            observation = step_environment(simulator, action, episode.seed, row - 1).observation
        if row in rows:
            _check_observation(observation, episode, number, row)
            frames[number, row] = _render(simulator, number, row)
    return frames


def _render(simulator: Environment, number: int, row: int) -> UInt8[np.ndarray, "h w 3"]:
    try:
        return np.asarray(simulator.render(), np.uint8)
    except PipelineError:
        raise
    except Exception as error:  # a renderer may raise anything; the message must say where to look
        raise TaskFailed(
            f"The simulator could not draw row {row} of episode {number}, which was replayed: {error_text(error)}"
        ) from error


def _check_observation(observation: Observation, episode: Episode, number: int, row: int) -> None:
    for name, value in observation_arrays(observation, "observation").items():
        recorded = np.asarray(episode.steps[name_among(episode.steps, name)][row])
        if np.array_equal(value, recorded):
            continue
        raise DigestMismatch(
            f"Replaying episode {number} from seed {episode.seed} gave another {name} at row {row} than the dataset "
            f"holds{_how_far(value, recorded)}. Pictures of it would be wrong, so none were made. Look for a simulator "
            f"that is not deterministic.\nCheck the dataset's files: {Command('verify').line()}"
        )


def _how_far(value: Shaped[np.ndarray, "..."], recorded: Shaped[np.ndarray, "..."]) -> str:
    if value.shape != recorded.shape:
        return f" (shape {list(value.shape)}, recorded {list(recorded.shape)})"
    largest = np.abs(value.astype(np.float64) - recorded.astype(np.float64)).max()
    return f" (largest difference {largest:.3g})"
