"""dm_env environments: the tasks of DeepMind's control suite, or any by entry point."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np
from dm_env import specs  # type: ignore[import-untyped]  # dm_env has no types
from jaxtyping import Shaped, UInt8

from pipeline.command import again
from pipeline.envs.dm.entry import EpisodeMaker
from pipeline.envs.dm.suite import Suite
from pipeline.envs.rendering import Painter
from pipeline.errors import InvalidInput, NoRenderer, TaskFailed, unknown_name
from pipeline.exact import one_number
from pipeline.interfaces import ArraySpec, Observation, Player, Transition
from pipeline.observation import observation_copy
from pipeline.wording import check_count

UNBOUNDED = 1e10
"""MuJoCo's largest number, which a control spec has where nothing bounds an action."""

DRAWN = 1.0
"""The bound that such an action gets instead; dm_control's own tests draw actions within it."""


class Simulator(Protocol):
    """What can begin an episode from a seed. `limit` is the time limit to be kept from outside, in steps."""

    limit: int | None

    def begin(self, seed: int) -> Any:
        """A dm_env environment whose next reset begins the episode of `seed`."""

    def identity(self) -> Mapping[str, Any]:
        """JSON facts that change what an episode is."""


class DeepMind:
    """One dm_env environment, seen as it shows itself.

    Observation: its own names, shapes and dtypes: one array, or a mapping of them; a sequence becomes a mapping from
    `0`, `1`, ... Action: one array in the dtype of the action spec (float64 in the suite), with its bounds. Reward and
    discount: its own. A last step with discount 0 is a termination, with another one a truncation. There are no infos,
    no notion of success and no scripted expert.

    Args:
        task: one of the suite, such as `cartpole-swingup`; with `entry_point` only a name.
        max_steps: truncates; None for the environment's own time limit alone (lqr has none: 1,000 steps).
        entry_point: `module:Class` or `module:function` that makes a dm_env environment, a new one for each episode.
        env_kwargs: its arguments.
        seed_argument: the one that takes the seed (None: `seed`, `random` or `random_state`; False: none).
        camera: number or name of the camera of a MuJoCo model.
        height: of a MuJoCo picture, in pixels.
        width: likewise.

    Raises InvalidInput for impossible settings; at first use InvalidInput or UnknownName where the environment cannot
    be found or made, and for actions that are not one bounded array.
    """

    def __init__(
        self,
        task: str,
        max_steps: int | None = None,
        entry_point: str | None = None,
        env_kwargs: Mapping[str, Any] | None = None,
        seed_argument: str | bool | None = None,
        camera: int | str = 0,
        height: int = 240,
        width: int = 320,
    ) -> None:
        if max_steps is not None:
            check_count("domain.max_steps", max_steps)
        if entry_point is None and (env_kwargs or seed_argument is not None):
            raise InvalidInput(
                "domain.env_kwargs and domain.seed_argument are those of an environment of yours: name it with "
                "domain.entry_point=module:Class"
            )
        self._simulator: Simulator = (
            Suite(task, max_steps)
            if entry_point is None
            else EpisodeMaker(entry_point, env_kwargs or {}, seed_argument)
        )
        self._limit = self._simulator.limit if max_steps is None else max_steps
        self._camera, self._size = camera, (height, width)
        self._env: Any = None
        self._spec: ArraySpec | None = None
        self._steps: int | None = None  # None: no episode is under way
        self._painter: Painter | None = None

    @property
    def action_spec(self) -> ArraySpec:
        """Shape, dtype and bounds of the environment's own spec."""
        if self._spec is None:
            self._begin(0)
        assert self._spec is not None
        return self._spec

    def identity(self) -> Mapping[str, Any]:
        """Everything that changes an episode apart from the seed; camera and size do not."""
        return {**self._simulator.identity(), "max_steps": self._limit}

    def reset(self, seed: int) -> Observation:
        """Begin the episode of `seed`."""
        self._begin(seed)
        timestep = self._env.reset()
        if not timestep.first():
            raise TaskFailed(f"The reset gave {timestep.step_type}, which does not begin an episode.")
        self._steps = 0
        return observation_copy(timestep.observation)

    def step(self, action: Shaped[np.ndarray, "..."]) -> Transition:
        """Apply one action. Raises TaskFailed where the environment begins another episode without ending this one."""
        if self._steps is None:
            raise RuntimeError("The episode is over, or none has begun: call reset first.")
        timestep = self._env.step(np.array(action)[()])  # a number is handed on as one: it may be looked up in a table
        if timestep.first():
            raise TaskFailed("The environment began another episode without a last time step for the one before.")
        self._steps += 1
        terminated = bool(timestep.last() and timestep.discount == 0)
        truncated = not terminated and bool(timestep.last() or self._steps == self._limit)
        if terminated or truncated:
            self._steps = None
        return Transition(
            observation=observation_copy(timestep.observation),
            reward=one_number(timestep.reward, "reward"),
            terminated=terminated,
            truncated=truncated,
            discount=one_number(timestep.discount, "discount"),
        )

    def render(self) -> UInt8[np.ndarray, "h w 3"]:
        """A MuJoCo model through the camera, else what the environment's own `render` gives.

        Raises NoRenderer where nothing can draw.
        """
        if self._env is None:
            raise RuntimeError("There is nothing to draw yet: call reset first.")
        if (physics := getattr(self._env, "physics", None)) is not None:
            if self._painter is None:
                model = physics.model.ptr
                self._painter = Painter(model, _camera(model, self._camera), *self._size)
            return self._painter.paint(physics.data.ptr)
        return _own_picture(self._env)

    def picture_identity(self) -> Mapping[str, Any]:
        """Camera and size in pixels."""
        return {"camera": self._camera, "height": self._size[0], "width": self._size[1]}

    def expert(self) -> Player:
        """Raises InvalidInput: nobody has written experts for these tasks."""
        raise InvalidInput(
            "dm_env environments have no scripted expert. Take an agent of yours (policy=sb3, policy=torchscript, "
            f"policy=callable), or play at random: {again(policy='random')}"
        )

    def close(self) -> None:
        """Free the renderer and the environment."""
        self._forget_painter()
        if self._env is not None:
            self._env.close()
        self._steps = None

    def _begin(self, seed: int) -> None:
        before, self._env, self._steps = self._env, self._simulator.begin(seed), None
        if self._env is not before:
            _check_numbers(self._env)
            self._spec = _action_spec(self._env.action_spec())
        if self._env is not before or _has_ground(self._env):
            self._forget_painter()  # it holds the model, and what was sent to the graphics library

    def _forget_painter(self) -> None:
        if self._painter is not None:
            self._painter.close()
            self._painter = None


def _action_spec(spec: Any) -> ArraySpec:
    if not isinstance(spec, specs.BoundedArray):
        raise InvalidInput(
            f"An action must be one array with bounds (BoundedArray or DiscreteArray); the action spec is {spec}. Wrap "
            f"the environment so that its actions are one, and name the wrapped one with domain.entry_point"
        )
    dtype, shape = np.dtype(spec.dtype), tuple(spec.shape)
    low, high = (np.broadcast_to(bound, shape).astype(dtype) for bound in (spec.minimum, spec.maximum))
    if dtype.kind == "f":
        low, high = np.where(low <= -UNBOUNDED, -DRAWN, low), np.where(high >= UNBOUNDED, DRAWN, high)
    return ArraySpec(shape, dtype, low.astype(dtype), high.astype(dtype))


def _check_numbers(env: Any) -> None:
    for name, spec in (("reward", env.reward_spec()), ("discount", env.discount_spec())):
        if not isinstance(spec, specs.Array) or spec.shape != ():
            raise InvalidInput(f"A {name} must be one number; the {name} spec is {spec}.")


def _has_ground(env: Any) -> bool:
    """Whether the model has a height field: the only part that tasks draw again and a renderer keeps a copy of."""
    physics = getattr(env, "physics", None)
    return physics is not None and physics.model.ptr.nhfield > 0


def _camera(model: Any, camera: int | str) -> int | str:
    names = [model.camera(number).name for number in range(model.ncam)]
    if isinstance(camera, str) and camera not in names:
        raise unknown_name("camera", camera, names)
    if isinstance(camera, int) and not -1 <= camera < max(1, model.ncam):
        raise InvalidInput(f"There is no camera {camera}; the model has {model.ncam}, counted from 0 (-1: a free one).")
    return camera if names else -1


def _own_picture(env: Any) -> UInt8[np.ndarray, "h w 3"]:
    draw = getattr(env, "render", None)
    if not callable(draw):
        raise NoRenderer(
            f"{type(env).__name__} cannot draw: it has neither MuJoCo physics nor a method render() that gives a "
            f"picture, (height, width, 3) uint8."
        )
    picture = np.array(draw())
    if picture.dtype != np.uint8 or picture.ndim != 3 or picture.shape[2] != 3:
        raise NoRenderer(
            f"{type(env).__name__}.render() gave {picture.dtype}{list(picture.shape)}; a picture is uint8 of "
            f"(height, width, 3)."
        )
    return picture
