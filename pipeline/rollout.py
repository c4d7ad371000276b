"""One whole episode of a policy in an environment."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from pipeline.episode import UNKNOWN, Episode, with_last_row
from pipeline.errors import InvalidInput, PipelineError, TaskFailed
from pipeline.interfaces import ArraySpec, Environment, Observation, Policy, Transition


def rollout(
    environment: Environment, policy: Policy, seed: int, rng: np.random.Generator, limit: int | None = None
) -> Episode:
    """Play one episode from `seed` to its end, or to the end of the first `limit` decisions.

    The last observation is kept. Actions are stored as they were applied: in the dtype of the environment's action
    spec. `info/<key>` is kept for every key whose value is numeric and of one shape at every step; others are left out.
    `end_reason` is `terminated`, `time_limit`, or `budget` where only `limit` ended it.

    Raises:
        TaskFailed: the simulator raised an error or gave NaN; the message names the seed and the step.
        InvalidInput: the policy's action does not fit the action spec, or `limit` is below 1.
    """
    if limit is not None and limit < 1:
        raise InvalidInput(f"An episode needs at least one decision, limit={limit} was asked for.")
    spec = environment.action_spec
    observation = _reset(environment, seed)
    policy.start(environment)
    observations: list[Observation] = [observation]
    actions: list[np.ndarray] = []
    transitions: list[Transition] = []
    done = False
    while not done and len(transitions) != limit:
        action = _fitting(policy, policy.act(_copy(observation), rng), spec)
        transition = _step(environment, action, seed, len(transitions))
        observation = transition.observation
        observations.append(observation)
        actions.append(action)
        transitions.append(transition)
        done = transition.terminated or transition.truncated
    return _episode(observations, actions, transitions, seed, mission=str(getattr(environment, "mission", "")))


def _reset(environment: Environment, seed: int) -> Observation:
    try:
        observation = environment.reset(seed)
    except PipelineError:
        raise
    except Exception as error:  # a simulator may raise anything; the message must say which episode to look at
        raise TaskFailed(f"The simulator failed in the reset with seed {seed}: {_told(error)}") from error
    if _has_nan(observation):
        raise TaskFailed(f"The simulator gave NaN in the observation of the reset with seed {seed}.")
    return observation


def _step(environment: Environment, action: np.ndarray, seed: int, step: int) -> Transition:
    try:
        transition = environment.step(action)
    except PipelineError:
        raise
    except Exception as error:  # as in _reset
        raise TaskFailed(
            f"The simulator failed at step {step} of the episode with seed {seed}: {_told(error)}"
        ) from error
    if not math.isfinite(transition.reward):
        raise TaskFailed(f"The simulator gave the reward {transition.reward} at step {step} with seed {seed}.")
    if _has_nan(transition.observation):
        raise TaskFailed(f"The simulator gave NaN in the observation after step {step} with seed {seed}.")
    return transition


def _copy(observation: Observation) -> Observation:
    """A policy gets its own copy: Meta-World's door experts write into what they are handed."""
    if isinstance(observation, Mapping):
        return {key: _copy(value) for key, value in observation.items()}
    return np.array(observation)


def _told(error: Exception) -> str:
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__


def _fitting(policy: Policy, action: np.ndarray, spec: ArraySpec) -> np.ndarray:
    """A copy in the spec's dtype: a policy may use one buffer for all its actions."""
    fitting = np.array(action, spec.dtype)
    if fitting.shape != spec.shape:
        raise InvalidInput(
            f"The policy {policy.name} gave an action of shape {fitting.shape}, the environment takes {spec.shape}."
        )
    return fitting


def _has_nan(observation: Observation) -> bool:
    if isinstance(observation, Mapping):
        return any(_has_nan(value) for value in observation.values())
    array = np.asarray(observation)
    return array.dtype.kind == "f" and bool(np.isnan(array).any())


def _episode(
    observations: Sequence[Observation],
    actions: Sequence[np.ndarray],
    transitions: Sequence[Transition],
    seed: int,
    mission: str,
) -> Episode:
    last = transitions[-1]
    discounts = [0.0 if each.terminated else float(each.discount) for each in transitions]
    steps = {
        **_stack_observations(observations),
        "action": with_last_row("action", np.stack(actions)),
        "reward": with_last_row("reward", np.asarray([each.reward for each in transitions], np.float64)),
        "discount": with_last_row("discount", np.asarray(discounts, np.float64)),
        **_stack_infos([each.info for each in transitions]),
    }
    return Episode(
        steps,
        seed=seed,
        terminated=last.terminated,
        truncated=last.truncated or not last.terminated,
        success=max((each.success for each in transitions), default=UNKNOWN),
        mission=mission,
        end_reason=_end_reason(last),
    )


def _end_reason(last: Transition) -> str:
    if last.terminated:
        return "terminated"
    return "time_limit" if last.truncated else "budget"


def _stack_observations(observations: Sequence[Observation], name: str = "observation") -> dict[str, np.ndarray]:
    """`observation`, or `observation/<key>` for each array of a nested one; (T+1, ...) each."""
    if not isinstance(observations[0], Mapping):
        array = np.stack([np.asarray(each) for each in observations])
        if array.dtype.kind not in "biufc":
            raise InvalidInput(f"{name} must hold numbers, it is {array.dtype}; a text belongs into the mission.")
        return {name: array}
    arrays: dict[str, np.ndarray] = {}
    for key in observations[0]:
        arrays.update(_stack_observations([each[key] for each in observations], f"{name}/{key}"))
    return arrays


def _stack_infos(infos: Sequence[Mapping[str, Any]]) -> dict[str, np.ndarray]:
    """`info/<key>`, (T+1, ...) each with zeros in the last row."""
    arrays = {}
    for key in infos[0]:
        if not all(key in info for info in infos):
            continue
        values = [np.asarray(info[key]) for info in infos]
        if all(value.dtype.kind in "biuf" and value.shape == values[0].shape for value in values):
            arrays[f"info/{key}"] = with_last_row(key, np.stack(values))
    return arrays
