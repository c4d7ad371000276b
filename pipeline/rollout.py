"""One whole episode of a policy in an environment."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from pipeline.builder import EpisodeBuilder
from pipeline.episode import Episode
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
    building = EpisodeBuilder(observation, seed, mission=str(getattr(environment, "mission", "")))
    done = False
    while not done and len(building) != limit:
        action = _fitting(policy, policy.act(_copy(observation), rng), spec)
        transition = _step(environment, action, seed, len(building))
        observation = transition.observation
        building.add(action, transition)
        done = transition.terminated or transition.truncated
    return building.build()


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
