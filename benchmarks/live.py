"""Recording in a user's own loop: the same loop, seeds and actions with and without the recorder, and with Minari's.

The time of ours includes opening the log, all commits and closing it, together about a tenth of a second. Minari is a
peer where it is installed: without infos, as is its default, and with lossless pictures, which is not; it writes its
dataset at the end. Nobody's time includes the removal of what was written.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import gymnasium as gym

from benchmarks.measure import Row, best_of, print_table
from pipeline.live.log import EpisodeLog
from pipeline.live.single import RecordEpisodes
from pipeline.live.vector import RecordVectorEpisodes

SEED = 0


@dataclass(frozen=True)
class Loop:
    """A loop of other people: `make` gives the environment, `run` steps it `steps` times.

    share: the least part of its bare speed that is wanted with the recorder; 0 where nothing is.
    """

    work: str
    make: Callable[[], Any]
    run: Callable[[Any, int], None]
    steps: int
    vector: bool = False
    share: float = 0.0

    def bare(self) -> None:
        env = self.make()
        self.run(env, self.steps)
        env.close()

    def ours(self, root: str) -> None:
        wrap = RecordVectorEpisodes if self.vector else RecordEpisodes
        with EpisodeLog(tempfile.mkdtemp(dir=root), domain="gym", task="loop", dataset="bench-v1") as log:
            env = wrap(self.make(), log)
            self.run(env, self.steps)
            env.close()

    def minari(self, root: str) -> None:
        import minari

        os.environ["MINARI_DATASETS_PATH"] = tempfile.mkdtemp(dir=root)
        env = minari.DataCollector(self.make(), jpeg_encoding=False)
        self.run(env, self.steps)
        env.create_dataset("bench/loop-v0", algorithm_name="none", eval_env=env.spec)
        env.close()


def train(env: Any, steps: int) -> None:
    """Stable-Baselines3's PPO with its default network and settings, on one thread."""
    import torch
    from stable_baselines3 import PPO

    torch.set_num_threads(1)
    PPO("MlpPolicy", env, n_steps=1024, seed=SEED, device="cpu").learn(steps)


def act(envs: Any, steps: int) -> None:
    """A network of 64 x 64 chooses the actions of a vector environment; nothing is learned."""
    import torch

    torch.set_num_threads(1)
    torch.manual_seed(SEED)
    inputs, actions = envs.single_observation_space.shape[0], envs.single_action_space.n
    network = torch.nn.Sequential(
        torch.nn.Linear(inputs, 64),
        torch.nn.Tanh(),
        torch.nn.Linear(64, 64),
        torch.nn.Tanh(),
        torch.nn.Linear(64, int(actions)),
    )
    observations, _ = envs.reset(seed=SEED)
    with torch.no_grad():
        for _ in range(steps):
            chances = torch.distributions.Categorical(logits=network(torch.from_numpy(observations)))
            observations, *_ = envs.step(chances.sample().numpy())


def random_actions(env: Any, steps: int) -> None:
    """Actions that were drawn before: nothing but the simulator and the recorder takes time."""
    actions = _drawn(env.action_space, steps)
    env.reset(seed=SEED)
    for action in actions:
        _, _, terminated, truncated, _ = env.step(action)
        if terminated or truncated:
            env.reset()


def random_batches(envs: Any, steps: int) -> None:
    """As `random_actions`, in a vector environment that resets by itself."""
    actions = _drawn(envs.action_space, steps)
    envs.reset(seed=SEED)
    for batch in actions:
        envs.step(batch)


def _drawn(space: gym.Space, count: int) -> list[Any]:
    space.seed(SEED)
    return [space.sample() for _ in range(count)]


def breakout() -> gym.Env:
    """84 x 84 grey pixels of every fourth frame."""
    import ale_py

    gym.register_envs(ale_py)
    env = gym.make("ALE/Breakout-v5", frameskip=1, repeat_action_probability=0.0)
    return gym.wrappers.AtariPreprocessing(env)


CARTPOLE = partial(gym.make, "CartPole-v1")
CARTPOLES = partial(gym.make_vec, "CartPole-v1", num_envs=8, vectorization_mode="sync")

LOOPS = (
    Loop("SB3 PPO learns CartPole", CARTPOLE, train, 12_288),
    Loop("a network plays 8 CartPoles", CARTPOLES, act, 20_000, vector=True, share=0.85),
    Loop("random HalfCheetah", partial(gym.make, "HalfCheetah-v5"), random_actions, 100_000, share=0.93),
    Loop("random Breakout, 84 x 84", breakout, random_actions, 10_000),
    Loop("random CartPole (worst case)", CARTPOLE, random_actions, 200_000, share=0.4),
    Loop("random, 8 CartPoles (worst case)", CARTPOLES, random_batches, 20_000, vector=True, share=0.4),
)


def measure(loops: tuple[Loop, ...] = LOOPS, repeats: int = 2, quick: bool = False) -> list[Row]:
    """One row per loop; the limit is the loop without a recorder. quick: a quarter of the loops with a goal."""
    if quick:
        loops = tuple(replace(loop, steps=loop.steps // 4) for loop in loops if loop.share)
    rows = []
    for loop in loops:
        alone = quick or loop.vector or importlib.util.find_spec("minari") is None
        with tempfile.TemporaryDirectory() as root:
            peers = {} if alone else {"minari": partial(loop.minari, root)}
            best = best_of(repeats, ours=partial(loop.ours, root), bare=loop.bare, **peers)
        rows.append(
            Row(
                f"{loop.work}, {loop.steps:,} steps, recorded",
                best["ours"],
                peer="Minari" if peers else "",
                peer_s=best.get("minari"),
                limit="not recorded",
                limit_s=best["bare"],
                limit_goal=1 / loop.share if loop.share else None,
                note=f"runs at {best['bare'] / best['ours']:.0%} of the bare loop"
                + (f", {loop.share:.0%} wanted" if loop.share else ""),
            )
        )
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--quick", action="store_true", help="a quarter of the loops with a goal")
    given = parser.parse_args()
    print_table(measure(repeats=given.repeats, quick=given.quick))


if __name__ == "__main__":
    main()
