"""Small environments with every kind of observation and action, and agents that were trained on them for a moment."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from copy import deepcopy
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from gymnasium import spaces

from examples.train_agent import AsGymnasium
from pipeline.interfaces import ArraySpec, Environment, Observation, Transition

MOVES = ArraySpec((), np.dtype(np.int64), np.asarray(0), np.asarray(2))
FORCE = ArraySpec((2,), np.dtype(np.float32), np.float32([-2, -1]), np.float32([1, 3]))
DIALS = ArraySpec((2,), np.dtype(np.int64), np.asarray([0, 0]), np.asarray([2, 3]))
SWITCHES = ArraySpec((3,), np.dtype(np.int8), np.zeros(3, np.int8), np.ones(3, np.int8))

SHOWS: dict[str, Callable[[np.ndarray], Observation]] = {
    "vector": lambda state: state.copy(),
    "odd": lambda state: np.concatenate([state, state**2, state[:1]]),
    "picture": lambda state: (np.abs(np.outer(np.resize(state, 40), np.arange(40))) * 97 % 256).astype(np.uint8),
    "coloured": lambda state: (np.resize(np.abs(state), (40, 44, 3)) * 999 % 256).astype(np.uint8),
    "several": lambda state: {"place": state[:2].astype(np.float32), "speed": state[2:]},
    "number": lambda state: np.asarray(int(abs(state[0] * 100) % 5), np.int64),
}


class Small:
    """A state of three numbers that drifts, and follows the actions; shown in one of the ways of SHOWS."""

    def __init__(self, shows: str = "vector", takes: ArraySpec = MOVES, max_steps: int = 12) -> None:
        self._shows, self._takes, self._max_steps = SHOWS[shows], takes, max_steps
        self._state, self._steps, self._rng = np.zeros(3), 0, np.random.default_rng(0)

    @property
    def action_spec(self) -> ArraySpec:
        return self._takes

    def identity(self) -> Mapping[str, Any]:
        return {"simulator": "small"}

    def reset(self, seed: int) -> Observation:
        self._rng = np.random.default_rng(seed)
        self._state, self._steps = self._rng.normal(size=3), 0
        return self._shows(self._state)

    def step(self, action: np.ndarray) -> Transition:
        self._steps += 1
        self._state = 0.8 * self._state + 0.3 * np.mean(action) + self._rng.normal(scale=0.3, size=3)
        ended = self._steps >= self._max_steps
        return Transition(self._shows(self._state), -float(np.abs(self._state).sum()), truncated=ended)

    def render(self) -> np.ndarray:
        raise NotImplementedError

    def picture_identity(self) -> Mapping[str, Any]:
        raise NotImplementedError

    def expert(self) -> Any:
        raise NotImplementedError

    def close(self) -> None: ...


class Named(Small):
    """An environment that tells what its actions mean, as Atari does."""

    def __init__(self, takes: ArraySpec) -> None:
        super().__init__("picture", takes)

    def identity(self) -> Mapping[str, Any]:
        return {"actions": ["NOOP"]}


class Gym(AsGymnasium):
    """The example's adapter, for more kinds of observations and actions."""

    def __init__(self, environment: Environment) -> None:
        self._environment = environment
        self.observation_space = _shown(self._seen(environment.reset(0)))
        self.action_space = _taken(environment.action_spec)

    def _seen(self, observation: Any) -> Any:
        return observation if isinstance(observation, dict) else super()._seen(observation)

    def action_masks(self) -> np.ndarray:
        sizes = {"MultiBinary": [2] * 3, "MultiDiscrete": [3, 4], "Discrete": [3]}
        return np.ones(sum(sizes[type(self.action_space).__name__]), bool)


def _shown(first: Any) -> spaces.Space[Any]:
    if isinstance(first, dict):
        return spaces.Dict({name: _shown(each) for name, each in first.items()})
    if first.dtype == np.int64:
        return spaces.Discrete(5)
    low, high = (0, 255) if first.dtype == np.uint8 else (-np.inf, np.inf)
    return spaces.Box(low, high, first.shape, first.dtype.type)


def _taken(spec: ArraySpec) -> spaces.Space[Any]:
    if spec is SWITCHES:
        return spaces.MultiBinary(3)
    if spec.dtype.kind == "i":
        return spaces.Discrete(int(spec.high) + 1) if spec.shape == () else spaces.MultiDiscrete(spec.high + 1)
    return spaces.Box(spec.low, spec.high, spec.shape, np.float32)


def discrete(count: int) -> ArraySpec:
    return ArraySpec((), np.dtype(np.int64), np.asarray(0), np.asarray(count - 1))


def trained(
    folder: Path, algorithm: str, environment: Environment, frames: int = 1, normalize: bool = False, **settings: Any
) -> Path:
    """The zip of an agent after a moment of training; `settings` are the algorithm's own.

    `normalize` trains behind VecNormalize, and lays its statistics beside the zip.
    """
    from stable_baselines3.common.vec_env import DummyVecEnv, VecFrameStack, VecNormalize

    kind, policy, own = _algorithms()[algorithm]
    seen = environment.reset(0)
    if isinstance(seen, dict):
        policy = policy.replace("Mlp", "MultiInput")
    elif np.ndim(seen) >= 2:
        policy = policy.replace("Mlp", "Cnn")
    venv: Any = DummyVecEnv([lambda: Gym(environment)])
    if normalize:
        venv = VecNormalize(venv)
    statistics = venv
    if frames > 1:
        venv = VecFrameStack(venv, frames)
    agent = kind(policy, venv, seed=0, device="cpu", **deepcopy(own | settings))  # SB3 writes into its settings
    agent.learn(40)
    path = folder / f"{algorithm}.zip"
    agent.save(path)
    if normalize:
        statistics.save(folder / "vecnormalize.pkl")
    return path


@cache
def _algorithms() -> dict[str, tuple[Any, str, dict[str, Any]]]:
    """Class, policy and the settings that make a moment of training short."""
    import sb3_contrib as contrib
    import stable_baselines3 as sb3
    import torch

    torch.set_num_threads(1)  # so small networks lose by more
    on = {"n_steps": 20}
    small = {"policy_kwargs": {"net_arch": [16]}}
    off = {"buffer_size": 100, "learning_starts": 30, "batch_size": 8}
    return {
        "ppo": (sb3.PPO, "MlpPolicy", on | {"batch_size": 10, "n_epochs": 1}),
        "a2c": (sb3.A2C, "MlpPolicy", {}),
        "trpo": (contrib.TRPO, "MlpPolicy", on | {"batch_size": 10}),
        "maskableppo": (contrib.MaskablePPO, "MlpPolicy", on | {"batch_size": 10, "n_epochs": 1}),
        "ppo_lstm": (contrib.RecurrentPPO, "MlpLstmPolicy", on | {"batch_size": 10, "n_epochs": 1}),
        "dqn": (sb3.DQN, "MlpPolicy", off),
        "qrdqn": (contrib.QRDQN, "MlpPolicy", off | {"policy_kwargs": {"net_arch": [16], "n_quantiles": 5}}),
        "sac": (sb3.SAC, "MlpPolicy", off | small),
        "td3": (sb3.TD3, "MlpPolicy", off | small),
        "ddpg": (sb3.DDPG, "MlpPolicy", off | small),
        "tqc": (contrib.TQC, "MlpPolicy", off | small),
        "crossq": (contrib.CrossQ, "MlpPolicy", off | {"policy_kwargs": {"net_arch": {"pi": [16], "qf": [16]}}}),
        "ars": (contrib.ARS, "LinearPolicy", {"n_delta": 1}),
    }


def loaded(path: Path) -> Any:
    """The agent as Stable-Baselines3 itself loads it."""
    return _algorithms()[path.stem][0].load(path, device="cpu")
