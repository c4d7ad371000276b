"""Sweeps: what a second job at the same time gives, and what a task costs that is finished already.

Jobs side by side: eight tasks of Meta-World, of twenty seconds or more each, every job with one worker and one thread,
by joblib's launcher one at a time and two at a time. Finished tasks: Atari's 57 games again, and beside it a bare Hydra
program that composes the settings of the same jobs and does nothing.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from benchmarks.measure import Row, print_table
from benchmarks.start import BARE, PROJECT, WITHOUT_OURS
from pipeline.machine.threads import CORES, available_cores

TASKS = ("reach", "push", "drawer-open", "button-press", "door-open", "window-open", "coffee-push", "sweep")
SIDE_BY_SIDE = ("-m", "stage=collect", "domain=metaworld", "workers=1", "hydra/launcher=joblib")
EPISODES = 330
"""Of each task: twenty seconds of one core."""

FASTER = 1.8

SHORT = ("-m", "stage=collect", "domain=atari", "policy=random", "frames=20", "episodes=1", "workers=1")
ALL, FEW = "+sweep=atari57", "task=pong,breakout"
FINISHED_S, SWEEP_S = 0.05, 10.0


def run(*words: str, program: Sequence[str] = ("run.py",), cores: int | None = None) -> float:
    """Seconds of a command. Raises CalledProcessError where it fails."""
    environment = {**os.environ, "REPERTOIRE_PROJECT": str(PROJECT), "PYTHONPATH": str(PROJECT)}
    environment |= {} if cores is None else {CORES: str(cores)}
    began = time.perf_counter()
    subprocess.run([sys.executable, *program, *words], capture_output=True, check=True, cwd=PROJECT, env=environment)
    return time.perf_counter() - began


def side_by_side(quick: bool, at_once: Sequence[int] = (1, 2)) -> dict[int, float]:
    """Seconds of the eight tasks (two short ones), by how many run at once; each time from nothing."""
    tasks = ",".join(TASKS[:2] if quick else TASKS)
    words = (*SIDE_BY_SIDE, f"task={tasks}", f"episodes={2 if quick else EPISODES}")
    times = {}
    for number in at_once:
        with tempfile.TemporaryDirectory() as folder:
            times[number] = run(*words, f"hydra.launcher.n_jobs={number}", f"paths.root={folder}", cores=1)
    return times


def finished(quick: bool, root: str | None, repeats: int) -> list[Row]:
    """A repeated sweep over finished tasks, and the bare program, in turns."""
    words, jobs = ((*SHORT, FEW), 2) if quick else ((*SHORT, ALL), 57)
    with tempfile.TemporaryDirectory() as folder:
        place = f"paths.root={root or f'{folder}/outputs'}"
        bare = Path(folder, "bare.py")
        bare.write_text(BARE)
        run(*words, place)  # makes what is not there
        programs: dict[str, Callable[[], float]] = {
            "ours": lambda: run(*words, place),
            "bare": lambda: run(*words, *WITHOUT_OURS, place, program=(str(bare), str(PROJECT / "conf"))),
        }
        turns = [{name: program() for name, program in programs.items()} for _ in range(repeats)]
    ours, hydra = (min(turn[name] for turn in turns) for name in ("ours", "bare"))
    note = f"{jobs} jobs: {ours:.1f} s, the bare program {hydra:.1f} s"
    rows = [
        Row("a finished task beyond Hydra's own work", max(0.0, ours - hydra) / jobs, limit_s=FINISHED_S, note=note),
        Row("a sweep over finished tasks", ours, "a bare Hydra program", hydra, limit_s=SWEEP_S * jobs / 57),
    ]
    return [replace(row, limit="wanted", limit_goal=1) for row in rows]


def together(times: dict[int, float], tasks: int) -> Row:
    """The row of jobs that run side by side."""
    note = f"{times[1] / times[2]:.2f} times as fast, {available_cores()} cores; a task takes {times[1] / tasks:.1f} s"
    work = f"{tasks} tasks, two at once, one thread and one worker each"
    return Row(work, times[2], "one at a time", times[1], note=note, peer_goal=1 / FASTER)


def measure(repeats: int = 2, quick: bool = False, root: str | None = None) -> list[Row]:
    """The rows: finished tasks, and, where there are two cores, jobs side by side."""
    rows = finished(quick, root, repeats)
    if available_cores() < 2:
        return rows
    return [*rows, together(side_by_side(quick), 2 if quick else len(TASKS))]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--root", help="where the 57 games are made, or lie already")
    parser.add_argument("--at-once", type=int, nargs="+", help="the eight tasks alone, so many at once")
    options = parser.parse_args()
    if options.at_once:
        print(side_by_side(options.quick, options.at_once))
    else:
        print_table(measure(options.repeats, options.quick, options.root))


if __name__ == "__main__":
    main()
