"""Views of very large datasets: how soon they are there, and what a sample costs, in the room of one part each."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np

from benchmarks.measure import Row
from benchmarks.wide import wide_dataset
from pipeline.dataset.workspace import Workspace

STORAGE = "bin"

OPENING = """
import sys, time
import numpy as np
from pipeline import Windows
root, name, storage, length = sys.argv[1:]
start = time.perf_counter()
view = Windows(root, name, length=int(length), fields=("observation", "action", "reward"), storage=storage)
opened = time.perf_counter()
view.batch(np.arange(128))
print(opened - start, time.perf_counter() - opened, len(view))
"""

READING = """
import sys, time
import numpy as np
from pipeline import Windows
root, name, storage = sys.argv[1:]
view = Windows(root, name, length=32, fields=("observation", "action", "reward"), storage=storage)
for start in range(0, 400 * 128, 128):  # what is decoded once is decoded then
    view.batch(np.arange(start, start + 128))
times = []
for start in range(400 * 128, 600 * 128, 128):
    begun = time.process_time()
    view.batch(np.arange(start, start + 128))
    times.append((time.process_time() - begun) / 128)
print(np.median(times))
"""


def made(root: str, name: str, parts: int, episodes: int, length: int, frame: tuple[int, ...] = (84, 84)) -> str:
    """The name of a dataset of so many parts; made where it is not there."""
    workspace = Workspace(root, STORAGE)
    if f"atari/pong/{name}" not in workspace:
        wide_dataset(workspace, name, parts, episodes, length, frame)
    return f"atari/pong/{name}"


def said(script: str, *words: object) -> list[float]:
    """The numbers that a script prints, in a Python of its own."""
    command = [sys.executable, "-c", script, *map(str, words)]
    done = subprocess.run(command, cwd=Path.cwd(), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-4000:]
    return [float(word) for word in done.stdout.split()]


def startup_rows(root: str, repeats: int = 3) -> list[Row]:
    """A view of a million episodes, short ones and an Atari game's in 100,000 parts, in a new process each time."""
    rows = []
    for what, name, parts, episodes, length, frame, window in (
        ("1,000,000 short episodes", "short-v1", 100, 10_000, 1, (4, 4), 1),
        ("1,000,000 Atari episodes in 100,000 parts", "atari-v1", 100_000, 10, 10, (84, 84), 8),
    ):
        dataset = made(root, name, parts, episodes, length, frame)
        found = [said(OPENING, root, dataset, STORAGE, window) for _ in range(repeats)]
        opened, first, _ = np.median(found, axis=0)
        note = f"the first batch of 128 windows {first:.2f} s, the very first time {found[0][1]:.1f} s"
        limit = ("what it may take", 1.0)
        rows.append(Row(f"start-up: {what}", float(opened), "", None, *limit, note=note, limit_goal=1))
    return rows


def scale_rows(root: str) -> list[Row]:
    """Processor time of a sample of 100 million steps, against one of a million, in turns."""
    names = [made(root, f"steps-{parts}-v1", parts, 9, 1_000) for parts in (111, 11_111)]
    few, many = np.median([[said(READING, root, name, STORAGE)[0] for name in names] for _ in range(3)], axis=0)
    note = f"{1e6 * many:.0f} us a sample"
    seconds = (1e4 * float(many), "of 1 million", 1e4 * float(few))
    return [Row("10,000 windows of 32 of 100 million steps", *seconds, note=note, peer_goal=1.2)]
