"""Collection against stepping the bare simulators: same policies, same processes.

The bare side keeps nothing. Random actions are of the same kind, not the same ones; the experts' episodes are the same.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import tempfile
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.measure import Row, best_of, print_table
from pipeline.dataset.workspace import Workspace
from pipeline.domains.domain import Domain, Regent
from pipeline.envs.babyai.environment import LEVELS, BabyAI
from pipeline.envs.gym.environment import Gym
from pipeline.envs.metaworld import MetaWorld
from pipeline.envs.mujoco import NAMES, MuJoCo
from pipeline.interfaces import Environment, Policy
from pipeline.machine.processes import spawn_context
from pipeline.policies.random import Random
from pipeline.policies.scripted import Scripted
from pipeline.seeding import episode_seed
from stages import collect

STEPS = 100
"""Of an episode of Meta-World."""

CHUNKS = 16
"""Into how many chunks for each process the bare side cuts its episodes, so that no process is idle for long."""


@dataclass(frozen=True)
class Case:
    """One task.

    Attributes:
        bare: steps the simulator alone through the episodes of the given numbers.
        goal: the largest ratio to that which is wanted.
    """

    domain: str
    task: str
    environment: Callable[..., Environment]
    policy: Callable[[], Policy]
    bare: Callable[[str, Iterable[int]], None]
    episodes: int
    goal: float = 1.18


def bare_metaworld(task: str, indices: Iterable[int]) -> None:
    """The expert, its actions clipped."""
    simulator, expert = _metaworld(task)
    for index in indices:
        simulator.seed(episode_seed(0, "metaworld", task, index))
        observation, _ = simulator.reset()
        for _ in range(STEPS):
            action = np.asarray(expert.get_action(observation), np.float32).clip(-1, 1)
            observation, *_ = simulator.step(action)


@cache
def _metaworld(task: str) -> tuple[Any, Any]:
    from metaworld.env_dict import ALL_V3_ENVIRONMENTS
    from metaworld.policies import ENV_POLICY_MAP

    simulator = ALL_V3_ENVIRONMENTS[f"{task}-v3"]()
    simulator._partially_observable = False
    del simulator.sawyer_observation_space
    simulator._freeze_rand_vec = False
    simulator.seeded_rand_vec = True
    simulator._set_task_called = True
    return simulator, ENV_POLICY_MAP[f"{task}-v3"]()


def bare_mujoco(task: str, indices: Iterable[int]) -> None:
    """Uniform actions within the bounds."""
    simulator = _mujoco(task)
    low, high = simulator.action_space.low, simulator.action_space.high
    for index in indices:
        rng, over = np.random.default_rng(index), False
        simulator.reset(seed=episode_seed(0, "mujoco", task, index))
        while not over:
            action = rng.uniform(low, high).astype(np.float32)
            _, _, terminated, truncated, _ = simulator.step(action)
            over = terminated or truncated


@cache
def _mujoco(task: str) -> Any:
    import gymnasium

    return gymnasium.make(f"{NAMES[task]}-v4")


def bare_babyai(task: str, indices: Iterable[int]) -> None:
    """The package's bot, on levels without Gymnasium's wrappers; where it fails, the next episode."""
    from minigrid.utils.baby_ai_bot import BabyAIBot

    level = _babyai(task)
    for index in indices:
        with contextlib.redirect_stdout(io.StringIO()):
            level.reset(seed=episode_seed(0, "babyai", task, index))
        bot, over = BabyAIBot(level), False
        while not over:
            try:
                action = bot.replan()
            except Exception:  # as the bot fails
                break
            _, _, terminated, truncated, _ = level.step(action)
            over = terminated or truncated


@cache
def _babyai(task: str) -> Any:
    import gymnasium
    import minigrid  # noqa: F401 - it registers its levels

    return gymnasium.make(f"BabyAI-{LEVELS[task]}-v0", disable_env_checker=True).unwrapped


def bare_gym(task: str, indices: Iterable[int]) -> None:
    """One of two actions."""
    simulator = _gym(task)
    for index in indices:
        rng, over = np.random.default_rng(index), False
        simulator.reset(seed=episode_seed(0, "gym", task, index))
        while not over:
            _, _, terminated, truncated, _ = simulator.step(rng.integers(2))
            over = terminated or truncated


@cache
def _gym(task: str) -> Any:
    import gymnasium

    return gymnasium.make(CART_POLE[task])


CART_POLE = {"cartpole-v1": "CartPole-v1"}

CASES = (
    Case("metaworld", "assembly", MetaWorld, Scripted, bare_metaworld, 100),
    Case("metaworld", "soccer", MetaWorld, Scripted, bare_metaworld, 100),
    Case("mujoco", "halfcheetah", MuJoCo, Random, bare_mujoco, 100),
    Case("mujoco", "hopper", MuJoCo, Random, bare_mujoco, 4000, goal=1.1),
    Case("babyai", "go-to-local", BabyAI, Scripted, bare_babyai, 2000, goal=1.1),
    Case("babyai", "boss-level", BabyAI, Scripted, bare_babyai, 100),
    Case("gym", "cartpole-v1", partial(Gym, env_id="CartPole-v1"), Random, bare_gym, 20_000, goal=1.1),
)
"""The bot plans for ever in none of these episodes of BabyAI; the bare side has no guard against that."""


def bare(case: Case, workers: int) -> None:
    """All episodes in fresh processes, handed out in chunks."""
    size = max(1, case.episodes // (workers * CHUNKS))
    chunks = [range(start, min(start + size, case.episodes)) for start in range(0, case.episodes, size)]
    with ProcessPoolExecutor(workers, mp_context=spawn_context()) as pool:
        list(pool.map(partial(case.bare, case.task), chunks))


def recorded(case: Case, workers: int, root: Path) -> int:
    """The collect stage into a new workspace below `root`; returns the steps."""
    domain = Domain(case.domain, None, case.episodes, case.environment, [case.task], Regent(256, 100, 100, 100_000))
    made = collect.run(
        domain=domain,
        task=case.task,
        policy=case.policy,
        randomness=0.0,
        outputs=False,
        workspace=Workspace(tempfile.mkdtemp(dir=root)),
        dataset="benchmark-v1",
        episodes=case.episodes,
        states=None,
        frames=None,
        render=False,
        seed=0,
        workers=workers,
        force=False,
    )
    return int(made.manifest.counts["states"])


QUICK, QUICK_SHARE = ("halfcheetah", "hopper", "go-to-local", "cartpole-v1"), 0.5
"""Long episodes and short ones, and the share of them: in fewer, the start of the processes is most of the time."""


def measure(cases: Iterable[Case] = CASES, share: float = 1.0, workers: int = 2, quick: bool = False) -> list[Row]:
    """One row per case, with `share` of its episodes; both sides start their processes inside the measured time."""
    if quick:
        cases, share = [case for case in cases if case.task in QUICK], QUICK_SHARE
    return [_row(replace(case, episodes=max(1, round(case.episodes * share))), workers) for case in cases]


def _row(case: Case, workers: int) -> Row:
    steps = 0

    def ours() -> None:
        nonlocal steps
        steps = recorded(case, workers, Path(root))

    with tempfile.TemporaryDirectory() as root:  # emptied when the time has been taken
        best = best_of(2, ours=ours, bare=partial(bare, case, workers))
    kind = "random actions" if case.policy is Random else "the expert"
    return Row(
        f"collect {case.domain}/{case.task}, {kind}, {case.episodes:,} episodes, {workers} processes",
        best["ours"],
        limit="bare simulator",
        limit_s=best["bare"],
        note=f"{steps:,} steps, {steps / best['ours']:,.0f} steps/s, recorded to zarr",
        limit_goal=case.goal,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--share", type=float, default=1.0, help="of the episodes")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--task", help="measure only this one", choices=[case.task for case in CASES])
    options = parser.parse_args()
    cases = [case for case in CASES if options.task in (None, case.task)]
    print_table(measure(cases, options.share, options.workers))


if __name__ == "__main__":
    main()
