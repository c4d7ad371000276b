"""Foreign data in: each door against the format's own library, or a bare decoder, that reads the same arrays and writes
them to `.npy`; and the doctor against reading a dataset once.

    python -m benchmarks.doors --only frames --clock process_time
"""

from __future__ import annotations

import argparse
import resource
import tempfile
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from benchmarks.derived import derive_a_million
from benchmarks.measure import Row, print_table
from benchmarks.png import screens
from pipeline.dataset.reader import EpisodeDataset
from pipeline.dataset.workspace import Workspace
from pipeline.doctor.examined import examined
from pipeline.domains.atari import ACTIONS, minimal_actions
from pipeline.domains.domain import Domain, Regent
from pipeline.episode import Episode, with_last_row
from pipeline.machine.memory import keep_freed_memory
from pipeline.sources.contract import Source
from stages import ingest
from tests.contracts.format import Listed, ingested
from tests.interop.side import run_by, tool

REPEATS = 3


def turns(clock: str, **functions: Callable[[Path], Any]) -> dict[str, float]:
    """The shortest run of each function in seconds of a clock of `time`; they take turns, each in an empty folder."""
    now = partial(_seconds_of, clock)
    best = dict.fromkeys(functions, float("inf"))
    for _ in range(REPEATS):
        for name, function in functions.items():
            with tempfile.TemporaryDirectory() as out:
                start = now()
                function(Path(out))
                best[name] = min(best[name], now() - start)
    return best


def _seconds_of(clock: str) -> float:
    """What a clock shows; that of this process counts the processes, too, that it started and that have ended."""
    ended = resource.getrusage(resource.RUSAGE_CHILDREN) if clock == "process_time" else None
    return getattr(time, clock)() + (ended.ru_utime + ended.ru_stime if ended else 0.0)


def into_store(source: Source, domain: str, task: str, outputs: Path) -> None:
    """The real stage, into an empty store."""
    ingest.run(
        domain=Domain(domain, None, 5, dict, [task], Regent(32, 5, 20, 100)),
        task=task,
        source=source,
        workspace=Workspace(str(outputs)),
        dataset="foreign-v1",
        episodes=None,
        states=None,
        force=False,
    )


def frames(clock: str) -> list[Row]:
    """Folders of screens, as Pillow writes them, against OpenCV (the faster decoder) and Pillow."""
    import cv2  # of the test packages

    from pipeline.sources.frames.source import FramesSource

    cv2.setNumThreads(1)
    game, episodes, steps = "spaceinvaders", 40, 64
    with tempfile.TemporaryDirectory() as place:
        tree = Path(place)
        own = minimal_actions(game)
        shown = list(screens(game, episodes * (steps + 1)))
        for episode in range(episodes):
            folder = tree / f"atari_{game}" / f"episode_{episode:03d}_rand0.2"
            folder.mkdir(parents=True)
            for number in range(steps + 1):
                Image.fromarray(shown[episode * (steps + 1) + number]).save(folder / f"frame_{number:06d}.png")
                if number < steps:
                    action = number % len(own)
                    (folder / f"action_{number:06d}.txt").write_text(f"{action}: {ACTIONS[own[action]]}")

        def by_library(out: Path, decode: Callable[[Path], np.ndarray]) -> None:
            for folder in sorted(tree.glob("*/episode_*")):
                pictures = [decode(path) for path in sorted(folder.glob("frame_*.png"))]
                np.save(out / folder.name, np.stack(pictures))

        def opencv(path: Path) -> np.ndarray:
            return cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB)

        rows = []
        for kind in ("rgb", "grey84"):
            taken = turns(
                clock,
                ours=lambda out, kind=kind: into_store(FramesSource(str(tree), kind), "atari", game, out),
                opencv=lambda out: by_library(out, opencv),
                pillow=lambda out: by_library(out, lambda path: np.asarray(Image.open(path))),
            )
            work = f"{episodes * (steps + 1):,} screens of {game} in, {kind}"
            rows.append(Row(work, taken["ours"], "OpenCV", taken["opencv"], "Pillow", taken["pillow"], peer_goal=2))
    return rows


def write_log(log: str, pixels: bool, episodes: int, steps: int) -> Mapping[str, Any]:
    """A log of EnvLogger, by its package: screens of 84 x 84, or two vectors of a robot."""
    from pathlib import Path

    import dm_env
    import envlogger
    import numpy as np
    from dm_env import specs

    class Played(dm_env.Environment):
        rng, t = np.random.default_rng(0), 0

        def seen(self) -> Any:
            if pixels:
                return np.kron(self.rng.integers(0, 255, (12, 12)), np.ones((7, 7))).astype(np.uint8)
            return {"position": self.rng.normal(size=13), "velocity": self.rng.normal(size=14)}

        def reset(self) -> Any:
            self.t = 0
            return dm_env.restart(self.seen())

        def step(self, action: Any) -> Any:
            self.t += 1
            follows = dm_env.truncation if self.t == steps else dm_env.transition
            return follows(float(self.rng.normal()), self.seen())

        def observation_spec(self) -> Any:
            return specs.Array((2,), np.float64)

        def action_spec(self) -> Any:
            return specs.BoundedArray((6,), np.float32, -1, 1)

    Path(log).mkdir()
    with envlogger.EnvLogger(Played(), data_directory=log) as env:
        for _ in range(episodes):
            timestep = env.reset()
            while not timestep.last():
                timestep = env.step(np.ones(6, np.float32))
    return {}


def log_to_npy(log: str, out: str) -> Mapping[str, Any]:
    """Every array of a log, an episode a file, by its package's own reader."""
    import numpy as np
    from envlogger import reader

    with reader.Reader(log) as read:
        for number, episode in enumerate(read.episodes):
            steps = list(episode)
            seen = [step.timestep.observation for step in steps]
            nested = isinstance(seen[0], dict)
            arrays = (
                {name: np.stack([each[name] for each in seen]) for name in seen[0]} if nested else {"o": np.stack(seen)}
            )
            arrays["action"] = np.stack([step.action for step in steps[1:]])
            arrays["reward"] = np.array([step.timestep.reward for step in steps[1:]])
            arrays["discount"] = np.array([step.timestep.discount for step in steps[1:]])
            for name, array in arrays.items():
                np.save(f"{out}/{number}-{name}.npy", array)
    return {}


def envlogger(clock: str) -> list[Row]:
    """Riegeli logs against the package's own reader, both with the start of that other Python."""
    from pipeline.sources.envlogger.source import EnvLoggerSource

    python = tool().environment("envlogger")
    rows, episodes, steps = [], 200, 200
    for pixels, kind in ((False, "27 numbers"), (True, "84 x 84 pixels")):
        with tempfile.TemporaryDirectory() as place:
            log = Path(place, "log")
            run_by(python, write_log, log, pixels, episodes, steps)
            source = EnvLoggerSource(str(log), str(python))
            taken = turns(
                clock,
                ours=lambda out, source=source: into_store(source, "dmc", "played", out),
                own=lambda out, log=log: run_by(python, log_to_npy, log, out),
            )
        rows.append(
            Row(
                f"{episodes * steps:,} steps of an EnvLogger log in, {kind}",
                taken["ours"],
                "its reader",
                taken["own"],
                peer_goal=2,
            )
        )
    return rows


def doctor(clock: str, quick: bool = False) -> list[Row]:
    """All checks of one pass over datasets of ours, against reading every array of every part once into memory.

    quick: of the short episodes alone, where a check costs most beside reading.
    """
    rows = []
    for work, episodes in list(made_datasets().items())[-1 if quick else 0 :]:
        for storage in ("zarr", "bin"):
            with tempfile.TemporaryDirectory() as root:
                place = Workspace(root, storage)
                dataset = EpisodeDataset.of(ingested(Listed(episodes), place))

                def read(_: Path, dataset: EpisodeDataset = dataset) -> int:
                    arrays = (each for _, part in dataset.parts_between(0, len(dataset)) for each in part.values())
                    return sum(np.array(each[:]).view(np.uint8).reshape(-1)[::4096].sum() for each in arrays)

                taken = turns(clock, ours=lambda _, dataset=dataset: examined(dataset), reading=read)
                size = sum(each.nbytes for each in episodes) / 1e6
                note = f"{size / taken['ours']:,.0f} MB/s"
                what, seconds = f"doctor: {work}, {storage}", (taken["ours"], "reading", taken["reading"])
                rows.append(Row(what, *seconds, note=note, peer_goal=1.25))
    return rows


def made_datasets() -> dict[str, list[Episode]]:
    """Screens of a game, vectors of a robot, and short episodes, as the doctor meets them."""
    rng, grey = np.random.default_rng(0), np.stack(screens("spaceinvaders", 1_001))[:, 20:188:2, :, 0][:, :, :84]

    def episode(observation: np.ndarray, action: np.ndarray) -> Episode:
        length = len(action)
        steps = {"action": action, "reward": rng.normal(size=length), "discount": np.arange(length, 0, -1.0) > 1}
        last = {name: with_last_row(name, np.asarray(array, array.dtype)) for name, array in steps.items()}
        last["discount"] = last["discount"].astype(np.float64)
        seed = int(rng.integers(2**31))
        return Episode({"observation": observation, **last}, seed, terminated=True, end_reason="terminated")

    def robot(length: int, width: int) -> Episode:
        actions = rng.uniform(-0.9, 0.9, (length, 4)).astype(np.float32)
        return episode(rng.normal(size=(length + 1, width)), actions)

    return {
        "60,000 screens of 84 x 84": [episode(grey, rng.integers(0, 6, 1_000)) for _ in range(60)],
        "200,000 states of 39 numbers": [robot(500, 39) for _ in range(400)],
        "20,000 episodes of 10 states": [robot(10, 9) for _ in range(20_000)],
    }


def rlhf_blender(clock: str) -> list[Row]:
    """Trees of RLHF-Blender, of vectors and of stacked screens, against numpy with pickles allowed."""
    from pipeline.sources.rlhf_blender.source import BlenderSource
    from tests.rlhf_blender_files import RecordedRun, Walk, recorded, write_run

    def stacked(run: RecordedRun) -> RecordedRun:
        shown = np.stack([screen[:168:2, :168:2, 0] for screen in screens("spaceinvaders", 600)])
        for number, row in enumerate(run.rows):
            row["obs"] = np.stack([shown[(number + more) % len(shown)] for more in range(4)], -1)
            row["infos"].pop("terminal_observation", None)
        return run

    def by_numpy(tree: Path, out: Path) -> None:
        for path in tree.rglob("benchmark_*.npz"):
            with np.load(path, allow_pickle=True) as file:
                for name in file:
                    np.save(out / f"{path.stem}_{name}.npy", file[name], allow_pickle=True)

    vectors = recorded(Walk([500] * 200, (4,)))
    pictures = stacked(recorded(Walk([200] * 50, (84, 84, 4), "uint8")))
    rows = []
    for what, run in (("vectors", vectors), ("stacks of screens", pictures)):
        with tempfile.TemporaryDirectory() as place:
            write_run(Path(place), run)
            source = BlenderSource(place)
            taken = turns(
                clock,
                ours=lambda out, source=source: into_store(source, "gym", "cartpole-v1", out),
                numpy=lambda out, place=place: by_numpy(Path(place), out),
                reading=lambda out, source=source: deque(source.episodes("gym", "cartpole-v1"), maxlen=0),
            )
        work = f"RLHF-Blender in: {len(run.episodes())} episodes, {len(run.rows):,} rows of {what}"
        rows.append(Row(work, taken["ours"], "numpy", taken["numpy"], "the door alone", taken["reading"], peer_goal=2))
    return rows


DOORS: dict[str, Callable[[str], list[Row]]] = {
    "doctor": doctor,
    "envlogger": envlogger,
    "frames": frames,
    "rlhf_blender": rlhf_blender,
    "select": derive_a_million,
}


def measure(clock: str = "perf_counter", only: Sequence[str] = (), quick: bool = False) -> list[Row]:
    """The rows of each door; quick: of the doctor alone."""
    keep_freed_memory()  # as run.py does
    if quick:
        return doctor(clock, quick)
    return [row for name in only or DOORS for row in DOORS[name](clock)]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", nargs="+", default=(), choices=DOORS)
    parser.add_argument("--clock", default="perf_counter", help="process_time: of all threads, on a busy machine")
    given = parser.parse_args()
    print_table(measure(given.clock, given.only))
