"""Kabuki's workflow: an agent learns online, every episode is logged, and the log becomes one HDF5 file.

python examples/kabuki_catch.py [OUT.hdf5] [OUTPUTS]      a few seconds; a loop of dm-acme is wrapped in the same way
"""

import subprocess
import sys
from pathlib import Path

import dm_env
import h5py
import numpy as np
from dm_env import specs

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
from pipeline import EpisodeLog  # noqa: E402
from pipeline.live.dm import RecordDmEpisodes  # noqa: E402


class Catch(dm_env.Environment):
    """A ball falls ten rows; the paddle below, which goes left, stays or goes right, gets 1 for it, else -1."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.rng = rng

    def reset(self) -> dm_env.TimeStep:
        self.row, self.ball, self.paddle = 0, self.rng.integers(5), 2
        return dm_env.restart(self.board())

    def step(self, action: int) -> dm_env.TimeStep:
        self.row, self.paddle = self.row + 1, np.clip(self.paddle + action - 1, 0, 4)
        if self.row < 9:
            return dm_env.transition(0.0, self.board())
        return dm_env.termination(1.0 if self.paddle == self.ball else -1.0, self.board())

    def board(self) -> np.ndarray:
        board = np.zeros((10, 5), np.float32)
        board[self.row, self.ball] = board[9, self.paddle] = 1
        return board

    def observation_spec(self) -> specs.BoundedArray:
        return specs.BoundedArray((10, 5), np.float32, 0, 1, "board")

    def action_spec(self) -> specs.DiscreteArray:
        return specs.DiscreteArray(3, name="action")


def train(env: dm_env.Environment, episodes: int, rng: np.random.Generator) -> None:
    """Q-learning on what the board shows, with an action at random one time in ten."""
    values: dict[bytes, np.ndarray] = {}
    for _ in range(episodes):
        now = env.reset()
        while not now.last():
            here = values.setdefault(now.observation.tobytes(), np.zeros(3))
            action = int(rng.integers(3) if rng.random() < 0.1 else rng.choice(np.flatnonzero(here == here.max())))
            now = env.step(action)
            best = values.setdefault(now.observation.tobytes(), np.zeros(3)).max()
            here[action] += 0.5 * (now.reward + now.discount * best - here[action])


def main(out: str = "outputs/catch.hdf5", outputs: str = str(ROOT / "outputs")) -> None:
    """Train and log, export by the command that anyone would type, and look at the file."""
    rng = np.random.default_rng(0)
    with EpisodeLog(
        outputs, domain="dmc", task="catch", dataset="q-learning-v1", facts={"agent": "q", "seed": 0}
    ) as log:
        if not len(log):  # with the same seed, another run would only log the same again
            train(RecordDmEpisodes(Catch(rng), log), 600, rng)
    words = ["stage=export", "domain=dmc", "task=catch", "dataset=q-learning-v1", "format=kabuki"]
    run = [sys.executable, str(ROOT / "run.py"), *words, f"format.out={out}", f"paths.root={outputs}"]
    subprocess.run(run, check=True)
    with h5py.File(out) as file:
        caught = file["reward"][:][np.flatnonzero(file["is_last"][:]) - 1] == 1
    print(
        f"caught {caught[:100].mean():.0%} of the first hundred balls and {caught[-100:].mean():.0%} of the last: {out}"
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
