"""run.py writes LRAM's folders from logged games, as `make atari-1m` asks it to, and reads them again."""

from __future__ import annotations

import json
import shlex
import subprocess
from pathlib import Path

import h5py
import numpy as np
import pytest

from tests.dqn_replay_files import FULL_ACTIONS, played_run
from tests.test_run import run

PROJECT = Path(__file__).parent.parent
LENGTHS = [30, 44, 61, 25, 80, 33, 50, 41, 70, 20, 35, 60]


def commands(*words: str) -> list[list[str]]:
    """The words of the commands that a target of the Makefile runs, each behind run.py."""
    done = subprocess.run(
        ["make", "-n", "-o", "setup", *words], cwd=PROJECT, capture_output=True, text=True, check=True
    )
    parsed = [shlex.split(line) for line in done.stdout.replace("\\\n", "\n").splitlines() if "run.py" in line]
    return [line[line.index(f"{line[0]}") + 2 : line.index("||")] for line in parsed]


@pytest.fixture(scope="module")
def logged(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three checkpoints of two games."""
    folder = tmp_path_factory.mktemp("bucket")
    for game in ("Pong", "Breakout"):
        played_run(200, LENGTHS, actions=len(FULL_ACTIONS[game])).write_bucket(folder / "dqn", game)
    return folder / "dqn"


@pytest.mark.slow
def test_the_published_recipe_makes_the_folders_of_games(tmp_path, logged):
    (words,) = commands("atari-1m", "TASKS=pong,breakout", f"ROOT={logged}", f"OUT={tmp_path / 'out'}")
    text = run(tmp_path / "store", *words)
    assert "source.max_transitions=1000000" in words
    assert "final observation: dropped" not in text
    for game, name in (("pong", "Pong"), ("breakout", "Breakout")):
        place = tmp_path / "out" / game
        lengths = json.loads((place / "episode_lengths.json").read_text())
        stats = json.loads((place / "stats.json").read_text())
        assert sorted(lengths.values()) == sorted(LENGTHS)
        assert (stats["episodes"], stats["transitions"]) == (len(LENGTHS), sum(LENGTHS))
        assert (stats["reward_clipping"], stats["padding_stripped"]) == ([-1.0, 1.0], 3 * len(LENGTHS))
        seen = set()
        for stem, length in lengths.items():
            with h5py.File(place / f"{stem}.hdf5") as file:
                assert sorted(file) == ["actions", "dones", "returns_to_go", "rewards", "states"]
                assert (file["states"].shape, file["actions"].dtype) == ((length, 1, 84, 84), np.int64)
                seen |= set(file["actions"][:].tolist())
        assert seen == set(FULL_ACTIONS[name])
    (store,) = (tmp_path / "store" / "artifacts" / "atari" / "pong").glob("export/*/data/pong/000000000.hdf5")
    assert store.samefile(tmp_path / "out" / "pong" / "000000000.hdf5")
    assert "whole" in run(tmp_path / "store", "stage=verify", "domain=atari")

    again = ("stage=[ingest,export]", "domain=atari", "task=pong", "source=lram", f"source.path={tmp_path / 'out'}")
    run(tmp_path / "back", *again, "format=npzc", "format.full_actions=true", f"format.out={tmp_path / 'npzc'}")
    with (
        h5py.File(tmp_path / "out/pong/000000000.hdf5") as first,
        np.load(tmp_path / "npzc/pong/000000000.npz") as second,
    ):
        np.testing.assert_array_equal(first["actions"][:], second["actions"])
        np.testing.assert_array_equal(first["states"][:], second["states"])
