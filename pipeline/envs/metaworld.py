"""Meta-World's V3 tasks under their JAT names: a robot arm that pushes, opens, turns and stacks things."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from functools import cached_property
from typing import Any

import numpy as np
from jaxtyping import Float32, UInt8

from pipeline.envs.rendering import Painter
from pipeline.errors import InvalidInput, unknown_name
from pipeline.interfaces import ArraySpec, Observation, Player, Transition
from pipeline.machine.extras import extra_versions, import_extra

LONGEST = 500
"""Steps after which Meta-World itself refuses to go on."""

UPSIDE_DOWN = ("corner", "corner2", "corner3", "corner4")
"""Cameras of the scene file that are mounted with their upper side down."""

SHADOW_PIXELS = 1024
"""Side of the shadow map. The scene file asks for 4096, which costs more than the rest of a small picture."""


class MetaWorld:
    """One Meta-World task with the goal in the observation, and another goal in every episode.

    Observation: (39,) float64: hand, gripper and objects now and one step ago, then the goal's place. Metres and
    quaternions. Action: (4,) float32 in [-1, 1]: the hand's way in x, y, z and the gripper's effort. Reward: 0 to 10.
    An episode never terminates and is truncated after `max_steps`; `success` says whether the task is solved at that
    step. Of the simulator's infos only that one is kept: the others are parts of the reward.

    Args:
        task: JAT name, such as `assembly` for `assembly-v3`.
        max_steps: at most 500.
        camera: a camera of the scene: corner4 (near), corner2 and corner3 (farther), corner, topview, behindGripper
            or gripperPOV.
        picture: side of a picture in pixels.

    Raises InvalidInput for an impossible limit; at first use UnknownName for an unknown task, InvalidInput where
    Meta-World is not installed.
    """

    def __init__(self, task: str, max_steps: int = 100, camera: str = "corner4", picture: int = 224) -> None:
        if not 1 <= max_steps <= LONGEST:
            raise InvalidInput(f"Meta-World plays 1 to {LONGEST} steps, max_steps={max_steps} was asked for.")
        self._task, self._max_steps, self._camera, self._picture = task, max_steps, camera, picture
        self._steps: int | None = None  # None: no episode is under way
        self._painter: Painter | None = None

    @cached_property
    def _env(self) -> Any:
        """The simulator; built at first use, so that asking for the identity loads no native code."""
        return _make(self._task)

    @property
    def action_spec(self) -> ArraySpec:
        """(4,) float32 in [-1, 1]."""
        return ArraySpec((4,), np.dtype(np.float32), np.full(4, -1, np.float32), np.full(4, 1, np.float32))

    def identity(self) -> Mapping[str, Any]:
        """Everything that changes an episode apart from the task and the seed; the camera does not."""
        return {
            "simulator": "metaworld",
            "versions": _versions(),
            "goal_observable": True,
            "max_steps": self._max_steps,
        }

    def reset(self, seed: int) -> Observation:
        """Draw goal and objects from `seed`."""
        self._env.seed(seed)
        observation, _ = self._env.reset()
        self._steps = 0
        return np.asarray(observation, np.float64)

    def step(self, action: Float32[np.ndarray, "4"]) -> Transition:
        """Apply one action for 12.5 ms of simulated time. The simulator clips what lies outside [-1, 1]."""
        if self._steps is None:
            raise RuntimeError("The episode is over, or none has begun: call reset first.")
        observation, reward, _, _, info = self._env.step(action)
        self._steps += 1
        truncated = self._steps >= self._max_steps
        if truncated:
            self._steps = None
        return Transition(
            observation=observation,
            reward=float(reward),
            truncated=truncated,
            success=int(info["success"]),
            info={"success": float(info["success"])},
        )

    def render(self) -> UInt8[np.ndarray, "side side 3"]:
        """The present state, `picture` pixels a side. Raises NoRenderer where nothing can draw."""
        if self._painter is None:
            self._painter = self._new_painter()
        return self._painter.paint(self._env.data)

    def _new_painter(self) -> Painter:
        model = self._env.model
        known = [model.camera(number).name for number in range(model.ncam)]
        if self._camera not in known:
            raise unknown_name("Meta-World camera", self._camera, known)
        model.vis.quality.shadowsize = SHADOW_PIXELS
        return Painter(model, self._camera, self._picture, self._picture, self._camera in UPSIDE_DOWN)

    def picture_identity(self) -> Mapping[str, Any]:
        """The camera, and the side of a picture in pixels."""
        return {"camera": self._camera, "picture": self._picture}

    def expert(self) -> Player:
        """The package's hand-written policy of this task."""
        return _Expert(self._task)

    def close(self) -> None:
        """Free the renderer; the simulation itself goes with the object."""
        if self._painter is not None:
            self._painter.close()
            self._painter = None
        self._steps = None


class _Expert:
    """A scripted policy of the package, with its actions clipped to the action bounds.

    The policies ask for up to several times the largest step. The simulator clips that, and no reward reads the part
    beyond: checked on all 50 tasks, clipping first gives the same observations, rewards and infos to the last bit.
    """

    def __init__(self, task: str) -> None:
        # Every policy warns whenever it asks for more than the arm can do, which is nearly always.
        warnings.filterwarnings("ignore", message=r"Constant\(s\) may be too high", category=UserWarning)
        self._policy = import_extra("metaworld", "metaworld.policies").ENV_POLICY_MAP[f"{task}-v3"]()

    def act(self, observation: Observation, rng: np.random.Generator) -> Float32[np.ndarray, "4"]:
        """An action in [-1, 1]. Draws nothing from `rng`."""
        action: np.ndarray = np.asarray(self._policy.get_action(observation), np.float32)
        return action.clip(-1, 1)


def _make(task: str) -> Any:
    """The simulator of one task, set up so that `seed` decides everything and the goal is observed."""
    classes = import_extra("metaworld", "metaworld.env_dict").ALL_V3_ENVIRONMENTS
    if f"{task}-v3" not in classes:
        raise unknown_name("Meta-World task", task, (name.removesuffix("-v3") for name in classes))
    env = classes[f"{task}-v3"]()
    env._partially_observable = False
    del env.sawyer_observation_space  # cached with the goal hidden, and used to clip the observation
    env._freeze_rand_vec = False
    env.seeded_rand_vec = True  # otherwise the goals come from numpy's global generator
    env._set_task_called = True
    return env


def _versions() -> dict[str, str]:
    return extra_versions("metaworld", "metaworld", "mujoco")
