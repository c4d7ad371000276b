"""What a Gymnasium environment says about itself, as facts of a log."""

from __future__ import annotations

import json
import sys
from importlib import metadata
from typing import Any

import gymnasium as gym
from gymnasium.vector import VectorEnv


def environment_facts(env: gym.Env | VectorEnv) -> dict[str, Any]:
    """`id`, `kwargs`, `max_episode_steps` and `wrappers` of the environment, as far as it has a spec, and `versions` of
    Gymnasium and of the simulator's package.

    As facts of a log they tie its dataset to them: another version of the simulator needs another dataset. Arguments
    that are no JSON are written as text.
    """
    facts: dict[str, Any] = {"versions": _versions(type(env.unwrapped))}
    if (spec := env.spec) is None:
        return {"class": f"{type(env.unwrapped).__module__}.{type(env.unwrapped).__qualname__}", **facts}
    return {
        "id": spec.id,
        "kwargs": json.loads(json.dumps(spec.kwargs, default=str)),
        "max_episode_steps": spec.max_episode_steps,
        "wrappers": [wrapper.name for wrapper in spec.additional_wrappers],
        **facts,
    }


def _versions(simulator: type) -> dict[str, str]:
    """Versions of the packages that the simulator's classes come from; `mujoco` for `gymnasium.envs.mujoco.ant_v5`."""
    names = {"gymnasium"}
    for base in simulator.__mro__:
        top, *inner = base.__module__.split(".")
        names |= {top, *(inner[1:2] if top == "gymnasium" and inner[:1] == ["envs"] else [])}
    versions = {}
    for name in sorted(names - set(sys.stdlib_module_names)):
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return versions
