"""Foreign data in: each door against the format's own library, or a bare decoder, that reads the same arrays and writes
them to `.npy`.

    python -m benchmarks.doors --only frames --clock process_time
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from benchmarks.measure import Row, print_table
from benchmarks.png import screens
from pipeline.dataset.workspace import Workspace
from pipeline.domains.atari import ACTIONS, minimal_actions
from pipeline.domains.domain import Domain, Regent
from pipeline.machine.memory import keep_freed_memory
from pipeline.sources.contract import Source
from stages import ingest

REPEATS = 3


def turns(clock: str, **functions: Callable[[Path], Any]) -> dict[str, float]:
    """The shortest run of each function in seconds of a clock of `time`; they take turns, each in an empty folder."""
    now = getattr(time, clock)
    best = dict.fromkeys(functions, float("inf"))
    for _ in range(REPEATS):
        for name, function in functions.items():
            with tempfile.TemporaryDirectory() as out:
                start = now()
                function(Path(out))
                best[name] = min(best[name], now() - start)
    return best


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
            rows.append(Row(work, taken["ours"], "OpenCV", taken["opencv"], "Pillow", taken["pillow"]))
    return rows


DOORS: dict[str, Callable[[str], list[Row]]] = {"frames": frames}


def measure(clock: str = "perf_counter", only: Sequence[str] = ()) -> list[Row]:
    """The rows of each door."""
    keep_freed_memory()  # as run.py does
    return [row for name in only or DOORS for row in DOORS[name](clock)]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", nargs="+", default=(), choices=DOORS)
    parser.add_argument("--clock", default="perf_counter", help="process_time: of all threads, on a busy machine")
    given = parser.parse_args()
    print_table(measure(given.clock, given.only))
