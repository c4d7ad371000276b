"""Every benchmark, one after the other: its rows with their goals, and what was lost since the last commit.

Writes benchmarks/results.json and results.md, and a plot for each stage into docs/benchmarks/.
"""

from __future__ import annotations

import argparse
import importlib
import os
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.measure import table
from benchmarks.score_chart import drawn
from benchmarks.scoreboard import RESULTS, Record, best, committed, goals, keep, kept, lost, measured, page, ratios

STAGES = {
    "start": ("start",),
    "sweep": ("sweep",),
    "collect": ("collection", "atari", "policies"),
    "record": ("live",),
    "ingest": ("dqn_replay", "doors"),
    "frames": ("png", "video"),
    "embeddings": ("embedding",),
    "retrieval": ("retrieval", "distances", "chain"),
    "export": ("formats", "image_text", "blender"),
    "loading": ("views",),
}
"""The modules that measure each stage."""

PLOTS = Path("docs/benchmarks")


def run(names: Sequence[str], quick: bool) -> list[str]:
    """Measure, print and keep; return what was lost, in words."""
    before, told = committed(), []
    for name in names:
        began = time.perf_counter()
        rows = importlib.import_module(f"benchmarks.{name}").measure(quick=quick)
        place = f"TMPDIR={os.environ['TMPDIR']} " if "TMPDIR" in os.environ else ""
        command = f"{place}make bench{' QUICK=1' if quick else ''} ONLY={name}"
        record = measured(name, quick, command, rows)
        print(f"## {name}, {time.perf_counter() - began:.0f} s\n\n{table(rows)}\n", flush=True)
        keep([record])
        told += [f"{work}: {then:.2f} -> {now:.2f}" for work, (then, now) in lost(record, before).items()]
    return told


def draw(records: Sequence[Record]) -> None:
    """The page and the plots; a stage's plot has the rows with a goal, or all where it has none."""
    RESULTS.write_text(page(records, STAGES))
    PLOTS.mkdir(exist_ok=True)
    chosen = best(records)
    for stage, names in STAGES.items():
        there = [chosen[name] for name in names if name in chosen]
        judged = [(row.work, other, ratio, goal) for each in there for row, other, ratio, goal in goals(each)]
        free = [(row.work, other, ratio, None) for each in there for row, other, ratio in ratios(each)]
        if judged or free:
            title = f"{stage}: time of ours / time of the other; a stroke marks what is wanted"
            (PLOTS / f"{stage}.svg").write_text(drawn(judged or free, title))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    modules = [name for names in STAGES.values() for name in names]
    parser.add_argument("--quick", action="store_true", help="small versions of the rows with goals")
    parser.add_argument("--only", nargs="+", default=modules, choices=modules, metavar="NAME", help=", ".join(modules))
    parser.add_argument("--draw", action="store_true", help="measure nothing: write page and plots of what is kept")
    given = parser.parse_args()
    told = [] if given.draw else run(given.only, given.quick)
    draw(kept())
    if told:
        print("Lost 15 % or more against the last commit (ours / other, then -> now):")
        print("\n".join(f"  ↓ {each}" for each in told))


if __name__ == "__main__":
    main()
