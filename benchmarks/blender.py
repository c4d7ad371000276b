"""RLHF-Blender's files of 100 episodes of CartPole, 200 steps each, against what encoding their videos alone takes.

The limit is our encoder with the same settings and as many threads, fed with pictures that are in memory.

    python -m benchmarks.blender --episodes 100
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.measure import Row, print_table
from pipeline.dataset.workspace import Workspace
from pipeline.domains.domain import Domain, Regent
from pipeline.envs.gym.environment import Gym
from pipeline.formats.blender.format import KEYFRAMES, BlenderFormat
from pipeline.formats.contract import Outgoing
from pipeline.formats.exports import export_of
from pipeline.frames.store import Frames
from pipeline.frames.video import decoded, write_video
from pipeline.interfaces import Decision, Environment
from pipeline.machine.threads import available_cores
from tests.conftest import collected

EPISODES, STEPS = 100, 200


class Balance:
    """Pushes the cart under the pole."""

    name, slots = "balance", 1

    def identity(self) -> Mapping[str, Any]:
        return {"name": self.name}

    def start(self, slot: int, environment: Environment) -> None: ...

    def act(self, decisions: Sequence[Decision]) -> list[np.ndarray]:
        seen = [np.asarray(decision.observation) for decision in decisions]
        return [np.asarray(int(each[2] + 0.5 * each[3] + 0.02 * each[0] > 0)) for each in seen]


def measure(episodes: int = EPISODES, clock: str = "perf_counter", quick: bool = False) -> list[Row]:
    if quick:
        return []  # no goal
    now = getattr(time, clock)
    with tempfile.TemporaryDirectory() as scratch:
        data = _collected(Path(scratch), episodes)
        (outgoing,) = data
        assert outgoing.frames is not None
        (folder := Path(scratch, "files")).mkdir()
        start = now()
        BlenderFormat().write(data, folder)
        ours = now() - start
        limit = _encoding(outgoing.frames, episodes, Path(scratch), now)
        bytes_of_videos = sum(path.stat().st_size for path in (folder / "renders").iterdir())
    work = f"RLHF-Blender: {episodes} episodes of CartPole, {outgoing.dataset.states:,} states"
    return [Row(work, ours, limit="encoding alone", limit_s=limit, note=f"{bytes_of_videos / 1e6:.1f} MB of videos")]


def _collected(root: Path, episodes: int) -> Sequence[Outgoing]:
    """Collected episodes with their pictures, on their way out."""
    environment = partial(Gym, env_id="CartPole-v1", max_steps=STEPS)
    domain = Domain("gym", STEPS, episodes, environment, ["cartpole-v1"], Regent(32, 5, 20, 100))
    workspace = Workspace(str(root / "outputs"))
    settings = {"dataset": "balance-v1", "episodes": episodes, "render": True, "workers": available_cores()}
    collected(domain, workspace, "cartpole-v1", policy=Balance, **settings)
    return export_of(domain, ["cartpole-v1"], workspace, ("balance-v1", None), BlenderFormat(), None).data


def _encoding(frames: Frames, episodes: int, folder: Path, now: Callable[[], float]) -> float:
    """Seconds of the encoder, a video a thread."""
    seconds = 0.0
    with ThreadPoolExecutor(available_cores()) as pool:
        for numbers in _batches(episodes, 2 * available_cores()):
            pictures = [list(decoded(frames[number])) for number in numbers]
            paths = [folder / f"{number}.mp4" for number in numbers]
            start = now()
            list(pool.map(partial(write_video, keyframes=KEYFRAMES), paths, pictures))
            seconds += now() - start
    return seconds


def _batches(count: int, size: int) -> Iterator[range]:
    return (range(start, min(start + size, count)) for start in range(0, count, size))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--episodes", type=int, default=EPISODES)
    parser.add_argument("--clock", default="perf_counter", help="process_time: of all threads, on a busy machine")
    given = parser.parse_args()
    print_table(measure(given.episodes, given.clock))
