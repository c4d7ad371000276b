"""Datasets for `benchmarks.views`: games played at random, in both storages, made once in a folder that may be kept."""

from __future__ import annotations

import io
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image

from pipeline.dataset.reader import EpisodeDataset
from pipeline.dataset.workspace import Workspace
from pipeline.domains.domain import Domain, Regent
from pipeline.envs.atari.environment import Atari
from pipeline.formats.choice import form_of
from pipeline.formats.exports import export_of
from pipeline.policies.random import Random
from pipeline.views.windows import Windows
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

    @property
    def megabytes(self) -> float:
        """Of its screens."""
        return self.dataset("bin").states * FRAME / 1e6

    def dataset(self, storage: str) -> EpisodeDataset:
        """Its episodes in a storage."""
        return EpisodeDataset.of(Workspace(self.root, storage).dataset("atari", self.game, NAME))


def played(root: str, megabytes: float, games: tuple[str, ...] = GAMES) -> list[Played]:
    """Games of which so many megabytes of grey screens of 84 x 84 are there in all, in zarr and in bin.

    Of the first one there are screens in colour, too.
    """
    states = int(megabytes * 1e6 / FRAME / len(games))
    for game in games:
        for storage in ("zarr", "bin"):
            _collect(root, game, storage, states, render=game == games[0] and storage == "zarr")
    return [Played(root, game) for game in games]


def exported(game: Played, form: str, folder: Path, megabytes: float = 30) -> tuple[Path, int]:
    """The first episodes of a game in a form: where they lie, and how many."""
    states = int(megabytes * 1e6 / FRAME)
    ends = game.dataset("zarr").state_ends
    count = min(int(np.searchsorted(ends, states)) + 1, len(ends))
    asked = (NAME, count)
    export = export_of(domain(game.game), [game.game], Workspace(game.root), asked, form_of({"format": form}), "repeat")
    place = folder / form
    place.mkdir()
    export.format.write(export.data, place)
    return place / str(export.place), count


@dataclass(frozen=True)
class Jpegs:
    """JPEGs of the states of some episodes, one after the other in a file.

    Attributes:
        file: all of them; `ends` is the .npy of where each ends.
        lengths: how many each episode has.
        actions: the .npy of the action at each.
    """

    file: Path
    ends: Path
    lengths: list[int]
    actions: Path


def jpegs_of(game: Played, field: str, folder: Path, count: int = 6_000) -> Jpegs:
    """About so many states of a game, of quality 95: `frame`, screens in colour, or `observation`, grey ones."""
    dataset = game.dataset("zarr")
    episodes = int(np.searchsorted(dataset.state_ends, count)) + 1
    view = Windows(game.root, game.name, length=1, fields=(field, "action"), seed=None, episodes=episodes)
    ends, actions, at = [], [], 0
    jpegs = Jpegs(
        folder / f"{field}.jpegs", folder / f"{field}.npy", dataset.lengths[:episodes].tolist(), folder / "a.npy"
    )
    with jpegs.file.open("wb") as file:
        for start in range(0, len(view), 256):
            batch = view.batch(np.arange(start, min(start + 256, len(view))))
            actions.append(batch["action"][:, 0])
            for picture in batch[field][:, 0]:
                held = io.BytesIO()
                Image.fromarray(picture).save(held, "JPEG", quality=95)
                at += file.write(held.getvalue())
                ends.append(at)
    np.save(jpegs.ends, np.array(ends))
    np.save(jpegs.actions, np.concatenate(actions))
    return jpegs


def domain(game: str) -> Domain:
    """Atari with this game alone."""
    return Domain("atari", 27_000, 5, partial(Atari, max_steps=27_000), [game], Regent(32, 5, 20, 100))


def _collect(root: str, game: str, storage: str, states: int, render: bool) -> None:
    """By the real stage, which copies what is there in the other storage."""
    collect.run(
        domain=domain(game),
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
