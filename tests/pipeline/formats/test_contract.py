"""How little a format takes: an .npz file an episode, with everything in it, written and read in a few lines."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import pytest

from pipeline.dataset.per_episode import once_of, with_once
from pipeline.dataset.workspace import Workspace
from pipeline.episode import Episode
from pipeline.errors import InvalidInput
from pipeline.formats.contract import Format, Outgoing
from pipeline.formats.provenance import PROVENANCE
from pipeline.machine.files import write_atomic, write_json
from pipeline.sources.absent import unfilled
from pipeline.sources.contract import Source
from pipeline.sources.files import files_identity, local_path
from pipeline.sources.provenance import made_from
from tests.conftest import made_episode
from tests.contracts.format import FormatContract, Listed, exported, ingested
from tests.contracts.one_way import OneWayContract

RESET = "reset:"


class ArraysFormat(Format):
    """`corner/0.npz`, `1.npz`, ...: the arrays of an episode by name, and `once` with all else as JSON."""

    name = "arrays"

    def place(self, data: Sequence[Outgoing]) -> PurePosixPath:
        return PurePosixPath(data[0].task)

    def write(self, data: Sequence[Outgoing], folder: Path) -> None:
        (episodes,) = data
        place = folder / self.place(data)
        place.mkdir(exist_ok=True)
        done = len(list(place.glob("[0-9]*.npz")))
        for number, episode in enumerate(episodes.episodes(done), done):
            resets = {f"{RESET}{name}": array for name, array in episode.reset_info.items()}
            arrays = {**episode.steps, **resets, "once": np.array(json.dumps(once_of(episode)))}
            write_atomic(place / f"{number}.npz", lambda file, arrays=arrays: np.savez(file, **arrays))
        write_json(place / PROVENANCE, episodes.origin())

    def source(self, path: Path) -> ArraysSource:
        return ArraysSource(str(path))


class ArraysSource(Source):
    """Reads what `ArraysFormat` writes."""

    name = "arrays"

    def __init__(self, path: str) -> None:
        self.path = path

    def identity(self, domain: str, task: str) -> Mapping[str, Any]:
        place = local_path(self.path, "a folder with 0.npz in it")
        provenance = json.loads((place / PROVENANCE).read_text())
        return {"source": self.name, **files_identity(place), **made_from(provenance)}

    def episodes(self, domain: str, task: str, start: int = 0) -> Iterator[Episode]:
        place = local_path(self.path, "a folder with 0.npz in it")
        for number in range(start, len(list(place.glob("*.npz")))):
            with np.load(place / f"{number}.npz") as arrays:
                steps = {name: arrays[name] for name in arrays.files if not name.startswith((RESET, "once"))}
                resets = {name.removeprefix(RESET): arrays[name] for name in arrays.files if name.startswith(RESET)}
                yield unfilled(with_once(steps, json.loads(str(arrays["once"])), resets))


class TestArrays(FormatContract):
    resumes = True

    def format(self) -> ArraysFormat:
        return ArraysFormat()


class PicturesFormat(Format):
    """`corner/0.png`, `1.png`, ...: the last picture of each episode. It only goes out."""

    name = "pictures"
    holds = frozenset()
    shows_frames = True

    def place(self, data: Sequence[Outgoing]) -> PurePosixPath:
        return PurePosixPath(data[0].task)

    def write(self, data: Sequence[Outgoing], folder: Path) -> None:
        place = folder / self.place(data)
        place.mkdir(exist_ok=True)
        done = len(list(place.glob("[0-9]*.png")))
        for number, (_, pictures) in enumerate(data[0].drawn(done), done):
            write_atomic(place / f"{number}.png", lambda file, last=pictures[-1]: file.write(last))

    def wrong(self, data: Sequence[Outgoing], path: Path) -> Iterator[str]:
        for number, (_, pictures) in enumerate(data[0].drawn()):
            if (path / f"{number}.png").read_bytes() != pictures[-1]:
                yield f"the picture of episode {number} is another"


class TestPictures(OneWayContract):
    resumes = True

    def format(self) -> PicturesFormat:
        return PicturesFormat()


class Killed(ArraysFormat):
    """Is killed in its first run, in the middle of a file, as `write_atomic` would be."""

    runs = 0

    def write(self, data: Sequence[Outgoing], folder: Path) -> None:
        self.runs += 1
        if self.runs == 1:
            (folder / f".{PROVENANCE}.0123abcd.tmp").write_text("{")
            raise KeyboardInterrupt
        super().write(data, folder)


def test_half_a_file_that_a_killed_export_left_holds_the_next_one_not_up(tmp_path, rng):
    workspace, format = Workspace(str(tmp_path)), Killed()
    ingested(Listed([made_episode(rng, 3)]), workspace)
    with pytest.raises(KeyboardInterrupt):
        exported(format, workspace)
    assert len(list(tmp_path.rglob("*.tmp"))) == 1
    assert exported(format, workspace).built
    assert not list(tmp_path.rglob("*.tmp"))


def test_an_episode_of_which_nothing_would_be_left_is_told_before_anything_is_written(tmp_path, rng):
    workspace = Workspace(str(tmp_path))
    episodes = [replace(made_episode(rng, length), has_final_observation=False) for length in (3, 1)]
    ingested(Listed(episodes), workspace)
    with pytest.raises(InvalidInput, match="left of 1 episode of .* one step .*=repeat"):
        exported(ArraysFormat(), workspace, final_observation="drop")
    assert not list(tmp_path.rglob("export"))
