"""Collection with a trained agent on Pong against Stable-Baselines3's own loop: the same game, network and cores."""

from __future__ import annotations

import argparse
import tempfile
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.measure import Row, best_of, print_table
from pipeline.dataset.workspace import Workspace
from pipeline.domains.domain import Domain, Regent
from pipeline.envs.atari.environment import Atari
from pipeline.policies.sb3.agent import StableBaselines
from pipeline.seeding import episode_seed
from stages import collect

GAME, FRAMES, DECISIONS = "pong", 4, 700
"""Decisions of each episode: fewer than the shortest game has."""


def untrained(folder: Path) -> Path:
    """A PPO agent with the usual network for pictures, as it is before it has learnt anything."""
    import gymnasium
    from gymnasium import spaces
    from stable_baselines3 import PPO

    class Shown(gymnasium.Env[np.ndarray, np.int64]):
        observation_space = spaces.Box(0, 255, (FRAMES, 84, 84), np.uint8)
        action_space = spaces.Discrete(6)

    PPO("CnnPolicy", Shown(), n_steps=2, batch_size=2, seed=0, device="cpu").save(folder / "ppo.zip")
    return folder / "ppo.zip"


def plain(agent: Path, episodes: int, threads: int | None = None) -> None:
    """One environment, and a `predict` for each of its observations; with torch's own number of threads if unset."""
    import torch
    from stable_baselines3 import PPO

    before = torch.get_num_threads()
    torch.set_num_threads(threads or before)
    model: Any = PPO.load(agent, device="cpu")
    environment, stack = Atari(GAME), np.zeros((1, FRAMES, 84, 84), np.uint8)
    for index in range(episodes):
        stack[...] = 0
        stack[:, -1] = environment.reset(episode_seed(0, "atari", GAME, index))
        for _ in range(DECISIONS):
            action, _ = model.predict(stack, deterministic=True)
            after = environment.step(action[0])
            stack = np.roll(stack, -1, axis=1)
            stack[:, -1] = after.observation
    torch.set_num_threads(before)


def collected(agent: Path, episodes: int, workers: int) -> None:
    """The collect stage into an empty workspace: slots, worker processes, and everything recorded."""
    domain = Domain("atari", 27_000, 5, Atari, [GAME], Regent(32, 5, 100, 100_000))
    with tempfile.TemporaryDirectory() as root:
        collect.run(
            domain=domain,
            task=GAME,
            policy=partial(StableBaselines, agent, trust=True),
            randomness=0.0,
            outputs=False,
            workspace=Workspace(root),
            dataset="ppo-v1",
            episodes=episodes,
            states=None,
            frames=episodes * DECISIONS,
            render=False,
            seed=0,
            workers=workers,
            force=False,
        )


def measure(
    agent: Path | None = None, episodes: int = 160, workers: int = 2, repeats: int = 2, quick: bool = False
) -> list[Row]:
    """A row for torch's own number of threads, and one for a single thread.

    Starting our processes is included; the peer, which starts none, plays a tenth of the episodes.
    """
    if quick:
        return []  # minutes, and no goal
    share = max(1, episodes // 10)
    with tempfile.TemporaryDirectory() as folder:
        path = agent or untrained(Path(folder))
        best = best_of(
            repeats,
            ours=partial(collected, path, episodes, workers),
            plain=partial(plain, path, share),
            single=partial(plain, path, share, 1),
        )
    rate = episodes * DECISIONS / best["ours"]
    rows = []
    for name, what in (("plain", "torch's own threads"), ("single", "one thread")):
        peer = share * DECISIONS / best[name]
        rows.append(
            Row(
                f"collect {GAME} with PPO's picture network, {episodes} x {DECISIONS} decisions, {workers} processes",
                best["ours"],
                peer=f"Stable-Baselines3 predict, one environment, {what}, nothing recorded",
                peer_s=episodes / share * best[name],
                note=f"{rate:,.0f} decisions/s, {rate / peer:.2f} x the peer's {peer:,.0f} in {share} episodes",
            )
        )
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--agent", type=Path, help="zip of a PPO agent for Pong; unset: an untrained one")
    parser.add_argument("--episodes", type=int, default=160)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=2)
    options = parser.parse_args()
    print_table(measure(options.agent, options.episodes, options.workers, options.repeats))


if __name__ == "__main__":
    main()
