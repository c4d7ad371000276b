"""Datasets for `benchmarks.views`: games played at random, in both storages, made once in a folder that may be kept."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

from pipeline.dataset.reader import EpisodeDataset
from pipeline.dataset.workspace import Workspace
from pipeline.domains.domain import Domain, Regent
from pipeline.envs.atari.environment import Atari
from pipeline.policies.random import Random
from stages import collect

FRAME = 84 * 84
GAMES = ("spaceinvaders", "pong")
"""A busy and a quiet one."""

NAME = "random-v1"


@dataclass(frozen=True)
class Played:
    """A game's dataset in both storages, below the folder `root`."""

    root: str
    game: str

    @property
    def name(self) -> str:
        """As `Windows` takes it."""
        return f"atari/{self.game}/{NAME}"

    def dataset(self, storage: str) -> EpisodeDataset:
        """Its episodes in a storage."""
        return EpisodeDataset.of(Workspace(self.root, storage).dataset("atari", self.game, NAME))


def played(root: str, megabytes: float, render: bool = False, games: tuple[str, ...] = GAMES) -> list[Played]:
    """Games of which so many megabytes of grey screens of 84 x 84 are there in all, in zarr and in bin."""
    states = int(megabytes * 1e6 / FRAME / len(games))
    for game in games:
        for storage in ("zarr", "bin"):
            _collect(root, game, storage, states, render and storage == "zarr")
    return [Played(root, game) for game in games]


def _collect(root: str, game: str, storage: str, states: int, render: bool) -> None:
    """By the real stage, which copies what is there in the other storage."""
    collect.run(
        domain=Domain("atari", 27_000, 5, partial(Atari, max_steps=27_000), [game], Regent(32, 5, 20, 100)),
        task=game,
        policy=Random,
        randomness=0.0,
        outputs=False,
        workspace=Workspace(root, storage),
        dataset=NAME,
        episodes=None,
        states=states,
        frames=None,
        render=render,
        seed=0,
        workers=None,
        force=False,
    )
