"""Atari collection with random actions against ale-py's vector environment, which keeps nothing, on the same cores."""

from __future__ import annotations

import argparse
import tempfile
from functools import partial

import numpy as np

from benchmarks.measure import Row, best_of, print_table
from pipeline.dataset.workspace import Workspace
from pipeline.domains.domain import Domain, Regent
from pipeline.envs.atari.environment import Atari
from pipeline.policies.random import Random
from stages import collect

GAMES = ("pong", "breakout", "spaceinvaders")
WANTED = 1.08
"""Of the vector environment's time, with a picture of each step."""


def bare(game: str, decisions: int, copies: int, threads: int) -> None:
    """Step the vector environment with uniform actions and keep nothing."""
    from ale_py.vector_env import AtariVectorEnv

    from pipeline.domains.atari import ROMS

    environments = AtariVectorEnv(
        ROMS[game],
        num_envs=copies,
        num_threads=threads,
        stack_num=1,
        img_height=84,
        img_width=84,
        frameskip=4,
        repeat_action_probability=0.25,
        noop_max=0,
        use_fire_reset=False,
        episodic_life=False,
    )
    rng = np.random.default_rng(0)
    count = environments.single_action_space.n
    environments.reset(seed=0)
    for _ in range(decisions // copies):
        environments.step(rng.integers(count, size=copies))
    environments.close()


def recorded(game: str, decisions: int, workers: int, render: bool) -> None:
    """The collect stage into an empty workspace: episodes of the same many decisions in all."""
    domain = Domain("atari", 27_000, 5, Atari, [game], Regent(32, 5, 100, 100_000))
    with tempfile.TemporaryDirectory() as root:
        collect.run(
            domain=domain,
            task=game,
            policy=Random,
            randomness=0.0,
            outputs=False,
            workspace=Workspace(root),
            dataset="random-v1",
            episodes=None,
            states=decisions,
            frames=None,
            render=render,
            seed=0,
            workers=workers,
            force=False,
        )


def measure(
    games: tuple[str, ...] = GAMES, decisions: int = 40_000, workers: int = 2, repeats: int = 2, quick: bool = False
) -> list[Row]:
    """Two rows per game: recorded to zarr, and with a lossless picture of every step. Starting up is included.

    quick: the row with a goal of one game, as long as ever (else starting is what is measured), in one turn.
    """
    if quick:
        recorded(games[0], 500, workers, True)  # compile
        best = best_of(
            1,
            bare=partial(bare, games[0], decisions, workers, workers),
            frames=partial(recorded, games[0], decisions, workers, True),
        )
        return [_row(games[0], decisions, workers, "and with frames", best["frames"], best["bare"], WANTED)]
    rows = []
    for game in games:
        best = best_of(
            repeats,
            bare=partial(bare, game, decisions, workers, workers),
            bare8=partial(bare, game, decisions, 8, workers),
            ours=partial(recorded, game, decisions, workers, False),
            frames=partial(recorded, game, decisions, workers, True),
        )
        peer = min(best["bare"], best["bare8"])
        for name, what, goal in (("ours", "recorded to zarr", None), ("frames", "and with frames", WANTED)):
            rows.append(_row(game, decisions, workers, what, best[name], peer, goal))
    return rows


def _row(game: str, decisions: int, workers: int, what: str, ours_s: float, peer_s: float, goal: float | None) -> Row:
    return Row(
        f"collect {game}, {decisions:,} decisions, {workers} processes, {what}",
        ours_s,
        peer="AtariVectorEnv, nothing kept",
        peer_s=peer_s,
        peer_goal=goal,
        note=f"{decisions / ours_s:,.0f} against {decisions / peer_s:,.0f} decisions/s",
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--games", nargs="+", default=list(GAMES))
    parser.add_argument("--decisions", type=int, default=40_000)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=2)
    options = parser.parse_args()
    print_table(measure(tuple(options.games), options.decisions, options.workers, options.repeats))


if __name__ == "__main__":
    main()
