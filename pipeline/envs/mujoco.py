"""Gymnasium's MuJoCo tasks under their JAT names, in the versions whose widths are JAT's."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from functools import cached_property
from typing import Any

import numpy as np
from jaxtyping import Float, UInt8

from pipeline.command import again
from pipeline.envs.gym.infos import kept_info
from pipeline.envs.rendering import Painter, without_opengl
from pipeline.errors import InvalidInput, unknown_name
from pipeline.interfaces import ArraySpec, Observation, Player, Transition
from pipeline.machine.extras import extra_versions, import_extra, not_installed

NAMES = {
    "ant": "Ant",
    "doublependulum": "InvertedDoublePendulum",
    "halfcheetah": "HalfCheetah",
    "hopper": "Hopper",
    "humanoid": "Humanoid",
    "pendulum": "InvertedPendulum",
    "pusher": "Pusher",
    "reacher": "Reacher",
    "standup": "HumanoidStandup",
    "swimmer": "Swimmer",
    "walker": "Walker2d",
}

VERSIONS = ("v4", "v5")

ONLY_V5 = ("pusher",)
"""Gymnasium refuses their v4 with MuJoCo 3; the observation's width is the same."""


class MuJoCo:
    """One Gymnasium MuJoCo task. Observations are float64 vectors, actions float32 vectors within the task's bounds.

    Rewards and terminations are the task's own; `max_steps` truncates (None: the registered limit, 1,000 steps,
    pusher 100, reacher 50). `info` holds Gymnasium's own numbers of each step, such as `x_position` and
    `reward_forward`; which, depends on task and version. `reset_info` holds those of the reset (v5 has some). There is
    no notion of success, and no scripted expert.

    Raises UnknownName for an unknown task or version, InvalidInput where Gymnasium's MuJoCo tasks are not installed.
    """

    def __init__(
        self, task: str, max_steps: int | None = None, task_version: str = "v4", height: int = 240, width: int = 320
    ) -> None:
        if task not in NAMES:
            raise unknown_name("MuJoCo task", task, NAMES)
        if task_version not in VERSIONS:
            raise unknown_name("version of the MuJoCo tasks", task_version, VERSIONS)
        self._id = f"{NAMES[task]}-{'v5' if task in ONLY_V5 else task_version}"
        self._limit, self._size = max_steps, (height, width)
        self._running = False
        self.reset_info: Mapping[str, Any] = {}
        self._painter: Painter | None = None

    @cached_property
    def _env(self) -> Any:
        """The simulator; built at first use, so that asking for the identity loads no native code."""
        import gymnasium
        from gymnasium.error import DependencyNotInstalled

        try:
            with without_opengl(), warnings.catch_warnings():
                import_extra("mujoco", "mujoco")
                warnings.simplefilter("ignore", DeprecationWarning)  # v4 is meant: its widths are JAT's
                env = gymnasium.make(self._id, max_episode_steps=self._limit)
        except DependencyNotInstalled as error:
            raise not_installed("mujoco", "mujoco") from error
        _look_once_at_health(env.unwrapped)
        return env

    @property
    def action_spec(self) -> ArraySpec:
        """The task's bounds, float32."""
        space = self._env.action_space
        return ArraySpec(tuple(space.shape), np.dtype(space.dtype), space.low, space.high)

    def identity(self) -> Mapping[str, Any]:
        """Task version, time limit, simulator versions, and that infos are kept."""
        versions = extra_versions("mujoco", "gymnasium", "mujoco")
        facts = {"simulator": "gymnasium", "id": self._id, "versions": versions, "max_steps": self._limit}
        return {**facts, "infos": True}  # datasets without them exist, which one with them must not continue

    def reset(self, seed: int) -> Observation:
        """Draw the first state from `seed`."""
        observation, info = self._env.reset(seed=seed)
        self.reset_info = kept_info(info)
        self._running = True
        return np.array(observation, np.float64)

    def step(self, action: Float[np.ndarray, "n"]) -> Transition:
        """Apply one action for the task's frame skip."""
        if not self._running:
            raise RuntimeError("The episode is over, or none has begun: call reset first.")
        observation, reward, terminated, truncated, info = self._env.step(action)
        self._running = not (terminated or truncated)
        return Transition(
            observation=np.array(observation, np.float64),
            reward=float(reward),
            terminated=bool(terminated),
            truncated=bool(truncated),
            info=kept_info(info),  # copied: some arrays are views of the simulator's memory
        )

    def render(self) -> UInt8[np.ndarray, "h w 3"]:
        """The present state. Raises NoRenderer where nothing can draw."""
        simulator = self._env.unwrapped
        if self._painter is None:
            cameras = [simulator.model.camera(number).name for number in range(simulator.model.ncam)]
            self._painter = Painter(simulator.model, "track" if "track" in cameras else -1, *self._size)
        return self._painter.paint(simulator.data)

    def picture_identity(self) -> Mapping[str, Any]:
        """The size in pixels; the camera is the task's own."""
        return {"height": self._size[0], "width": self._size[1]}

    def expert(self) -> Player:
        """Raises InvalidInput: experts of these tasks are trained agents."""
        raise InvalidInput(
            f"{self._id} has no scripted expert. Take a trained agent (policy=sb3), ingest data (source=jat), or play "
            f"at random: {again(policy='random')}"
        )

    def close(self) -> None:
        """Free the renderer."""
        if self._painter is not None:
            self._painter.close()
            self._painter = None
        self._running = False


def _look_once_at_health(simulator: Any) -> None:
    """Robots that can fall compute whether they stand twice a step, for the reward and for the end: once will do."""
    kind: Any = type(simulator)
    if not isinstance(getattr(kind, "is_healthy", None), property):
        return

    class Once(kind):  # type: ignore[misc]  # it is known only now
        _stands: bool | None = None

        def do_simulation(self, *arguments: Any) -> None:
            self._stands = None
            super().do_simulation(*arguments)

        def set_state(self, *arguments: Any) -> None:
            self._stands = None
            super().set_state(*arguments)

        @property
        def is_healthy(self) -> bool:
            if self._stands is None:
                self._stands = super().is_healthy
            return self._stands

    simulator.__class__ = Once
