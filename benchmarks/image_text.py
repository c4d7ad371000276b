"""Stored pictures to image-text files: frames a second and peak memory of each form, and what copying the bytes takes.

python -m benchmarks.image_text --only bagel thinkmorph --repeats 3
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from benchmarks.measure import Row, best_of, print_table
from benchmarks.png import screens
from pipeline.artifacts.artifact import EPISODES as DATASET
from pipeline.artifacts.artifact import Artifact, artifact_at
from pipeline.dataset.reader import EpisodeDataset
from pipeline.dataset.workspace import Workspace
from pipeline.formats.contract import Outgoing
from pipeline.formats.provenance import provenance
from pipeline.frames.png import encode_png
from pipeline.frames.store import FRAMES, Frames
from pipeline.machine.files import sync_tree
from pipeline.machine.memory import keep_freed_memory
from tests.contracts.format import ingested
from tests.matrix import default_form
from tests.pictures import Played, played, stored_frames

FORMS = ("bagel", "thinkmorph")
EPISODES, STEPS = 100, 1_000
GAME = "spaceinvaders"


def stored(folder: Path, episodes: int = EPISODES, steps: int = STEPS) -> tuple[Artifact, Artifact]:
    """A dataset and its drawn pictures: screens of a game, over and over."""
    workspace = Workspace(str(folder))
    dataset = ingested(Played(played([steps] * episodes)), workspace)
    pictures = [encode_png(screen) for screen in screens(GAME, min(steps, 1_000))]
    shown = [pictures[row % len(pictures)] for row in range(steps + 1)]
    return dataset, stored_frames(workspace, dataset, [shown] * episodes)


def outgoing(dataset: Artifact, frames: Artifact) -> Outgoing:
    """The set on its way out."""
    read = EpisodeDataset.of(dataset)
    return Outgoing(dataset.domain, dataset.task, read, provenance(dataset, read, {}), frames=Frames(frames))


def export(name: str, data: Outgoing, folder: Path) -> None:
    """Write a form into an empty folder, to disk."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    default_form(name).write([data], folder)
    sync_tree(folder)


def copied(data: Outgoing, folder: Path) -> None:
    """The bytes of all pictures, read and written, and nothing else."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    with (folder / "all").open("wb") as file:
        for _, block in data.drawn_blocks():
            file.write(block.png)
    sync_tree(folder)


def measure(repeats: int = 3, only: Sequence[str] = FORMS) -> list[Row]:
    """A row for each form, and for its memory."""
    keep_freed_memory()  # as run.py does
    rows = []
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        dataset, frames = stored(folder / "store")
        data, out = outgoing(dataset, frames), folder / "out"
        works = {name: partial(export, name, data, out) for name in only}
        best = best_of(repeats, limit=partial(copied, data, out), **works)
        count = EPISODES * STEPS
        for name in only:
            speed = f"{count / best[name]:,.0f} frames/s, >= 5,000 wanted"
            work = f"{count:,} stored screens of {GAME} to {name}"
            rows.append(Row(work, best[name], limit="their bytes copied", limit_s=best["limit"], note=speed))
        rows += [_peak(name, dataset, frames, out) for name in only]
    return rows


def _peak(name: str, dataset: Artifact, frames: Artifact, out: Path) -> Row:
    """The most memory of a process that exports."""
    given = ", ".join(repr(str(each)) for each in (name, dataset.path, frames.path, out))
    code = f"from benchmarks.image_text import report; report({given})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    answer = json.loads(done.stdout.splitlines()[-1])
    note = f"peak memory {answer['peak'] / 1e6:,.0f} MB"
    return Row(f"{EPISODES * STEPS:,} stored screens to {name}, in a process of its own", answer["seconds"], note=note)


def report(name: str, dataset: str, frames: str, out: str) -> None:
    """Export, and print time and peak memory of this process, for `_peak`."""
    keep_freed_memory()
    data = outgoing(artifact_at(dataset, DATASET), artifact_at(frames, FRAMES))
    start = time.perf_counter()
    export(name, data, Path(out))
    seconds = time.perf_counter() - start
    status = Path("/proc/self/status").read_text()  # getrusage would tell the parent's, too
    print(json.dumps({"seconds": seconds, "peak": int(status.split("VmHWM:")[1].split()[0]) * 1024}))


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--only", nargs="+", default=FORMS)
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()
    print_table(measure(arguments.repeats, arguments.only))
