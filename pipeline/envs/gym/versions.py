"""Versions of the packages that a Gymnasium environment is made of."""

from __future__ import annotations

import sys
from functools import cache
from importlib import metadata
from typing import Any


def environment_versions(env: Any) -> dict[str, str]:
    """Versions of Gymnasium and of the packages that the classes of `env`, without its wrappers, come from.

    `mujoco` is among them for `gymnasium.envs.mujoco.ant_v5`. Packages without a version are left out.
    """
    names = {"gymnasium"}
    for base in type(env.unwrapped).__mro__:
        top, *inner = base.__module__.split(".")
        names |= {top, *(inner[1:2] if top == "gymnasium" and inner[:1] == ["envs"] else [])}
    found = {name: version_of(name) for name in sorted(names)}
    return {name: version for name, version in found.items() if version is not None}


@cache
def version_of(module: str) -> str | None:
    """Version of the distribution that a module comes from; None where it is part of none, as Python's own are."""
    package = module.split(".")[0]
    if package in sys.stdlib_module_names:
        return None
    for name in (package, *_distributions().get(package, ())):
        try:
            return metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return None


@cache
def _distributions() -> dict[str, list[str]]:
    """Distributions by what they install; not all are called like that, as opencv-python's cv2 is not."""
    return {name: sorted(set(found)) for name, found in metadata.packages_distributions().items()}
