"""An episode as RLHF-Blender reads it: T+1 rows, in which a reward stands at the row at which it arrived.

Row t holds the observation that the agent saw, the action that it chose then, and the reward, the end and the info of
the step that led there. So row 0 has reward 0 and the info of the reset, and of the last row the action is zero: nobody
took one. Every row is a frame of the video.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Float64, Num, Shaped

from pipeline.dataset.columns import RowSpec
from pipeline.episode import INFO, PRESENT, UNKNOWN, Episode
from pipeline.exact import exactly, rounded
from pipeline.formats.blender.spaces import is_discrete
from pipeline.formats.contract import CannotHold
from pipeline.policies import outputs

VALUE, ENTROPY = f"{INFO}{outputs.VALUE}", f"{INFO}{outputs.ENTROPY}"
"""What a policy said of its decisions, where a dataset keeps that."""

QPOS, QVEL = "qpos", "qvel"
"""What a MuJoCo simulator's state is made of."""

NO_POLICY = 1.0
"""Value and entropy that RLHF-Blender's own random agent says."""


def episode_arrays(episode: Episode, observation: str, is_random: bool) -> dict[str, Shaped[np.ndarray, "..."]]:
    """The arrays of `benchmark_i.npz`, in their order.

    Args:
        episode: T transitions.
        observation: the array that becomes `obs`.
        is_random: the actions were drawn by chance alone.

    Raises CannotHold for actions that their dtype there does not hold.
    """
    rows, action = episode.rows, episode.steps["action"]
    chosen = row_actions(action)
    chance = is_random and is_discrete(RowSpec.of(action))
    return {
        "obs": row_observations(episode.steps[observation]),
        "rewards": row_rewards(episode),
        "dones": episode.is_last,
        "actions": chosen,
        "infos": row_infos(episode, is_random),
        "features": np.zeros(0),
        "probs": np.zeros((rows, 1), np.int64) if chance else np.zeros(0),
        "episode_rewards": np.array([episode.total_reward]),
        "episode_lengths": np.array([episode.length], np.int64),
    }


def row_observations(array: Shaped[np.ndarray, "rows ..."]) -> Shaped[np.ndarray, "rows *each"]:
    """A grey picture gets an axis of one channel, a single number one of its own."""
    return array[..., np.newaxis] if array.ndim in (1, 3) else array


def row_actions(array: Shaped[np.ndarray, "rows ..."]) -> Num[np.ndarray, "rows *each"]:
    """Whole numbers as int64, real ones as float32, (rows,) or (rows, n). Raises CannotHold where that changes more
    than digits.
    """
    real = array.dtype.kind == "f"
    found = rounded(array, np.float32) if real else exactly(array, np.int64)
    if found is None:
        raise CannotHold(
            f"rlhf_blender keeps actions as {'float32' if real else 'int64'}, which does not hold the {array.dtype} of "
            f"this dataset."
        )
    flat = found.reshape(len(found), -1)
    return flat[:, 0] if flat.shape[1] == 1 else flat


def row_rewards(episode: Episode) -> Float64[np.ndarray, "rows"]:
    """The reward that arrived with each row; 0 with the first."""
    return np.concatenate([[0.0], episode.steps["reward"][:-1]])


def row_uncertainty(episode: Episode) -> Float[np.ndarray, "rows"]:
    """The policy's entropy at each row, float32; float64 ones where the dataset does not have it.

    At the last row nobody decided; it has that of the last decision.
    """
    entropy, there = _reported(episode, ENTROPY)
    if entropy is None:
        return np.ones(episode.rows)
    known = np.where(there, entropy, NO_POLICY).astype(np.float32)
    return np.concatenate([known, known[-1:]])


def row_infos(episode: Episode, is_random: bool) -> Shaped[np.ndarray, "rows"]:
    """A dict of plain Python values for each row: what the step that led there reported, and what the policy said.

    Row 0 has the info of the reset, the seed and the mission; the last row how the episode ended. Numbers that JSON
    does not have are texts: `nan`, `inf`, `-inf`.
    """
    first: dict[str, Any] = {name: plain(value) for name, value in episode.reset_info.items()}
    first |= dict(episode.reset_texts)
    rows = [first, *({} for _ in range(episode.length))]
    for name, values, there in _columns(episode):
        _keep(rows[1:], name, values, there)
    for name, decided, there in _decisions(episode, is_random):
        _keep(rows, name, decided, there)
    rows[0] = _start(episode) | rows[0]  # what the environment says is never replaced
    rows[-1] = _end(episode) | rows[-1]
    found = np.empty(len(rows), object)
    found[:] = rows
    return found


def row_states(episode: Episode) -> Shaped[np.ndarray, "rows 1"] | None:
    """The simulator's state at each row, where an episode has MuJoCo's `qpos` and `qvel`; else None.

    Of row 0 only where it is part of the observation, or the reset reported it.
    """
    position, speed = _state(episode, QPOS), _state(episode, QVEL)
    if position is None or speed is None:
        return None
    found = np.empty((episode.rows, 1), object)
    for row in range(episode.rows):
        parts = {QPOS: position[row], QVEL: speed[row]}
        state = None if any(part is None for part in parts.values()) else parts
        found[row, 0] = {"state": state, "observation": None, "elapsed_steps": row}
    return found


def has_states(names: Mapping[str, object] | set[str]) -> bool:
    """Whether the step arrays of these names have the state of a simulator."""
    return all(any(f"{kind}{part}" in names for kind in ("observation/", INFO)) for part in (QPOS, QVEL))


def plain(value: Any) -> Any:
    """Lists, numbers and texts of plain Python for an array or a number."""
    return _json_numbers(np.asarray(value).tolist())


def _json_numbers(value: Any) -> Any:
    if isinstance(value, list):
        return [_json_numbers(each) for each in value]
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


def _columns(episode: Episode) -> Iterator[tuple[str, list[Any], list[bool]]]:
    """Infos by name: of each step the value, and whether it was there. Not what the policy said."""
    for name, array in episode.steps.items():
        if name.startswith(INFO) and name not in (VALUE, ENTROPY):
            yield name.removeprefix(INFO), _plain_rows(array[:-1]), _present(episode, name).tolist()
    for name, texts in episode.info_texts.items():
        yield name, list(texts), [text is not None for text in texts]


def _plain_rows(array: Shaped[np.ndarray, "t ..."]) -> list[Any]:
    finite = array.dtype.kind != "f" or bool(np.isfinite(array).all())
    return array.tolist() if finite else plain(array)


def _keep(rows: list[dict[str, Any]], name: str, values: list[Any], there: list[bool]) -> None:
    """Values by the name of an info in those of the first rows at which they were there, where there is none yet."""
    for row, value, known in zip(rows, values, there, strict=False):
        if known:
            row.setdefault(name, value)


def _decisions(episode: Episode, is_random: bool) -> Iterator[tuple[str, list[float], list[bool]]]:
    """Value and entropy of each decision; of all rows where a random agent has none to say."""
    for name, array in (("value", VALUE), ("entropy", ENTROPY)):
        reported, there = _reported(episode, array)
        if reported is not None:
            yield name, reported.astype(np.float64).tolist(), there.tolist()
        elif is_random:
            yield name, [NO_POLICY] * episode.rows, [True] * episode.rows


def _reported(episode: Episode, name: str) -> tuple[Float[np.ndarray, "t"] | None, Bool[np.ndarray, "t"]]:
    """What the policy said at each step, and at which steps; None where it never did."""
    if name not in episode.steps:
        return None, np.zeros(episode.length, np.bool_)
    reported = episode.steps[name][:-1].reshape(episode.length, -1)[:, 0]
    return reported, _present(episode, name) & np.isfinite(reported)


def _present(episode: Episode, name: str) -> Bool[np.ndarray, "t"]:
    mask = episode.steps.get(PRESENT + name.removeprefix(INFO))
    return np.ones(episode.length, np.bool_) if mask is None else mask[:-1]


def _start(episode: Episode) -> dict[str, Any]:
    """How it began."""
    seed = {} if episode.seed == UNKNOWN else {"seed": episode.seed}
    return {**seed, **({"mission": episode.mission} if episode.mission else {})}


def _end(episode: Episode) -> dict[str, Any]:
    """How it ended, in the words of Stable-Baselines3 where it has some."""
    success = {} if episode.success == UNKNOWN else {"is_success": bool(episode.success)}
    return {
        "terminated": bool(episode.terminated),
        "TimeLimit.truncated": bool(episode.truncated and not episode.terminated),
        "end_reason": episode.end_reason,
        **success,
    }


def _state(episode: Episode, part: str) -> list[Shaped[np.ndarray, "n"] | None] | None:
    """`qpos` or `qvel` at each row, None where it is not known; None where it never is."""
    if (array := episode.steps.get(f"observation/{part}")) is not None:
        return [np.ravel(each) for each in array]
    if (array := episode.steps.get(INFO + part)) is None:
        return None
    there = _present(episode, INFO + part)
    first = episode.reset_info.get(part)
    reported = [np.ravel(each) if known else None for each, known in zip(array, there, strict=False)]
    return [None if first is None else np.ravel(first), *reported]
