"""Collection of Meta-World against stepping the bare simulators: the same policies, seeds and number of processes."""

from __future__ import annotations

import argparse
import tempfile
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from typing import Any

import numpy as np

from benchmarks.measure import Row, best_of, print_table
from pipeline.domain import Domain, Regent
from pipeline.envs.metaworld import MetaWorld
from pipeline.policies.scripted import Scripted
from pipeline.processes import spawn_context
from pipeline.seeding import episode_seed
from pipeline.workspace import Workspace
from stages import collect

STEPS = 100


def bare_episodes(task: str, indices: list[int]) -> float:
    """Step the simulator with its expert and keep nothing; no code of ours takes part but the seeds."""
    simulator, expert = _bare(task)
    total = 0.0
    for index in indices:
        simulator.seed(episode_seed(0, "metaworld", task, index))
        observation, _ = simulator.reset()
        for _ in range(STEPS):
            action = np.asarray(expert.get_action(observation), np.float32).clip(-1, 1)
            observation, reward, _, _, _ = simulator.step(action)
            total += reward
    return total


_built: dict[str, tuple[Any, Any]] = {}


def _bare(task: str) -> tuple[Any, Any]:
    if task not in _built:
        from metaworld.env_dict import ALL_V3_ENVIRONMENTS
        from metaworld.policies import ENV_POLICY_MAP

        simulator = ALL_V3_ENVIRONMENTS[f"{task}-v3"]()
        simulator._partially_observable = False
        del simulator.sawyer_observation_space
        simulator._freeze_rand_vec = False
        simulator.seeded_rand_vec = True
        simulator._set_task_called = True
        _built[task] = simulator, ENV_POLICY_MAP[f"{task}-v3"]()
    return _built[task]


def bare(task: str, episodes: int, workers: int) -> None:
    """All episodes in fresh processes, handed out in small chunks as the recorder does."""
    chunks = [list(range(start, min(start + 4, episodes))) for start in range(0, episodes, 4)]
    with ProcessPoolExecutor(workers, mp_context=spawn_context()) as pool:
        list(pool.map(partial(bare_episodes, task), chunks))


def recorded(task: str, episodes: int, workers: int) -> None:
    """The collect stage into an empty workspace."""
    domain = Domain("metaworld", STEPS, episodes, MetaWorld, [task], Regent(256, 100, 100, 100_000))
    with tempfile.TemporaryDirectory() as root:
        collect.run(
            domain=domain,
            task=task,
            policy=Scripted,
            randomness=0.0,
            workspace=Workspace(root),
            dataset="scripted-v1",
            episodes=episodes,
            states=None,
            frames=None,
            render=False,
            seed=0,
            workers=workers,
            force=False,
        )


def measure(tasks: tuple[str, ...] = ("assembly", "soccer"), episodes: int = 100, workers: int = 2) -> list[Row]:
    """One row per task; both sides start their processes inside the measured time."""
    rows = []
    for task in tasks:
        best = best_of(2, ours=partial(recorded, task, episodes, workers), bare=partial(bare, task, episodes, workers))
        rows.append(
            Row(
                f"collect {task}, {episodes} episodes of {STEPS} steps, {workers} processes, recorded to zarr",
                best["ours"],
                limit="bare simulator",
                limit_s=best["bare"],
                note=f"{episodes * STEPS / best['ours']:,.0f} steps/s",
            )
        )
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--episodes", type=int, default=100)
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args()
    print_table(measure(episodes=options.episodes, workers=options.workers))


if __name__ == "__main__":
    main()
