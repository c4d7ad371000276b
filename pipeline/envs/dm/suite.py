"""Tasks of dm_control's suite, made from a seed, without an OpenGL library."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from types import ModuleType
from typing import Any

import numpy as np

from pipeline.envs.rendering import without_opengl
from pipeline.errors import unknown_name
from pipeline.machine.extras import extra_versions, import_extra

LQR = ("lqr-lqr_2_1", "lqr-lqr_6_2")
"""The springs of these are drawn when the model is made, and no time limits their episodes."""

LQR_STEPS = 1000
"""Their time limit where none is set: what all other tasks of the suite have."""


ENTRY = "One of another environment needs its domain.entry_point again."


class Suite:
    """One task of the suite, such as `cartpole-swingup`.

    A task draws from one generator, which is seeded again before each reset; that gives the episode of a task that was
    loaded with this seed (checked on all tasks). Where the seed also draws the model, the task is loaded each time.

    Args:
        task: domain and task of the suite, joined by `-`.
        max_steps: control steps; None for the task's own time limit. May be longer than that.
    """

    def __init__(self, task: str, max_steps: int | None = None) -> None:
        self._task = task
        self._timeless = max_steps is not None
        self.limit = LQR_STEPS if max_steps is None and task in LQR else max_steps
        self._env: Any = None

    def begin(self, seed: int) -> Any:
        """The environment, whose next reset follows from `seed`. Raises UnknownName for an unknown task."""
        if self._env is None or self._task in LQR:
            self._env = self._loaded(seed)
        else:
            self._env.task.random.seed(seed)
        return self._env

    def identity(self) -> Mapping[str, Any]:
        """The task and the versions of the simulator."""
        versions = extra_versions("dmc", "dm-control", "mujoco")
        return {"simulator": "dm_control", "id": self._task, "versions": versions}

    def _loaded(self, seed: int) -> Any:
        suite = _suite()
        known = ["-".join(pair) for pair in suite.ALL_TASKS]
        if self._task not in known:
            raise unknown_name("task of dm_control's suite", self._task, known, ENTRY)
        options = {"random": seed} | ({"time_limit": float("inf")} if self._timeless else {})
        env = suite.load(*self._task.split("-", 1), task_kwargs=options)
        # quadruped-escape asks for an OpenGL context at each reset, to show it the new ground; here a Painter draws
        env.physics._make_rendering_contexts = _make_no_context
        return env


def _make_no_context() -> None:
    return None


def _suite() -> ModuleType:
    """dm_control.suite, imported only when an environment is made: it takes a second."""
    with without_opengl():
        suite = import_extra("dmc", "dm_control.suite")
    if not hasattr(np, "in1d"):
        _mend(importlib.import_module("dm_control.suite.quadruped"))
    return suite


def _mend(module: ModuleType) -> None:
    """Give a module its own numpy with `in1d`, which numpy 2.4 has no more and dm_control still calls."""
    own = ModuleType("numpy")
    own.__dict__.update({**vars(np), "in1d": np.isin})
    vars(module)["np"] = own
