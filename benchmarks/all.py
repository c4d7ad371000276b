"""Every benchmark, one after the other; prints the table and writes it to benchmarks/results.md."""

from __future__ import annotations

import contextlib
import io
import os
import platform
from pathlib import Path

from benchmarks import (
    atari,
    blender,
    chain,
    collection,
    distances,
    doors,
    dqn_replay,
    embedding,
    formats,
    image_text,
    live,
    png,
    policies,
    retrieval,
    video,
    views,
)
from benchmarks.measure import print_table

MODULES = (
    retrieval,
    distances,
    chain,
    embedding,
    collection,
    atari,
    dqn_replay,
    png,
    video,
    policies,
    live,
    formats,
    image_text,
    blender,
    doors,
    views,
)

RESULTS = Path(__file__).parent / "results.md"


def main() -> None:
    rows = [row for module in MODULES for row in module.measure()]
    text = io.StringIO()
    with contextlib.redirect_stdout(text):
        print_table(rows)
    cores = len(os.sched_getaffinity(0))
    head = f"# Results\n\n`make bench` on {cores} cores, {platform.machine()}, Python {platform.python_version()}.\n\n"
    RESULTS.write_text(head + text.getvalue())
    print(text.getvalue())


if __name__ == "__main__":
    main()
