"""What a Gymnasium environment says about itself, as facts of a log."""

from __future__ import annotations

import json
from typing import Any

import gymnasium as gym
from gymnasium.vector import VectorEnv

from pipeline.envs.gym.actions import FlatActions
from pipeline.envs.gym.versions import environment_versions


def environment_facts(env: gym.Env | VectorEnv) -> dict[str, Any]:
    """`id`, `kwargs`, `max_episode_steps` and `wrappers` of the environment, as far as it has a spec, and `versions` of
    Gymnasium and of the simulator's package.

    A log that has these as facts refuses to continue its dataset with another version of the simulator. Arguments that
    are not JSON are written as text.
    """
    facts: dict[str, Any] = {"versions": environment_versions(env)}
    space = env.single_action_space if isinstance(env, VectorEnv) else env.action_space
    if isinstance(space, gym.spaces.Dict | gym.spaces.Tuple):
        facts["action_layout"] = FlatActions(space).layout
    if (spec := env.spec) is None:
        return {"class": f"{type(env.unwrapped).__module__}.{type(env.unwrapped).__qualname__}", **facts}
    return {
        "id": spec.id,
        "kwargs": json.loads(json.dumps(spec.kwargs, default=str)),
        "max_episode_steps": spec.max_episode_steps,
        "wrappers": [wrapper.name for wrapper in spec.additional_wrappers],
        **facts,
    }
