"""Stored pictures to image-text files: frames a second and peak memory of each form, and what copying the bytes takes,
or a converter that encodes each picture anew; what collecting and exporting takes beside collecting alone.

    python -m benchmarks.image_text --only interleaved bagel --repeats 3 --commands
"""

from __future__ import annotations

import argparse
import io
import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import pandas as pd
from PIL import Image

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

WANTED = {"interleaved": 10_000, "simple": 10_000, "bagel": 5_000, "thinkmorph": 5_000}
"""Frames a second, by form."""

FORMS = tuple(WANTED)

EPISODES, STEPS = 100, 1_000
SHORT = 20
"""Decisions of an episode of the short ones, of which there are as many frames."""

GAME = "spaceinvaders"
RE_ENCODED = 2_000
"""Frames with which the converter is measured."""

COLLECTED = ("pong", "alien", "breakout", "seaquest")
ROOT = Path(__file__).resolve().parent.parent


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


def converted(pictures: Sequence[bytes], folder: Path) -> None:
    """What a converter by pandas and Pillow does with frames: each is decoded, encoded again, and put into rows."""
    rows = []
    for start in range(0, len(pictures), SHORT):
        images = []
        for each in pictures[start : start + SHORT]:
            file = io.BytesIO()
            Image.open(io.BytesIO(each)).save(file, "PNG")
            images.append(file.getvalue())
        inputs = [{"type": "image_gen", "has_loss": 1, "text": None, "image_index": k} for k in range(SHORT)]
        rows.append({"inputs": inputs, "images": images, "images_front": images[:1], "num_frames": SHORT})
    pd.DataFrame(rows).to_parquet(folder / "converted.parquet")


def measure(repeats: int = 3, only: Sequence[str] = FORMS, commands: bool = False, quick: bool = False) -> list[Row]:
    """Rows for each form: long and short episodes, and memory for all and for a tenth of the long ones.

    quick: a tenth of the long episodes, without the converter and without memory, which have no goal.
    """
    keep_freed_memory()  # as run.py does
    rows, count = [], EPISODES * STEPS // (10 if quick else 1)
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        out = folder / "out"
        converter = 0.0 if quick else _converter_s(folder) * count
        sets = {
            steps: stored(folder / f"of-{steps}", count // steps, steps)
            for steps in ((STEPS,) if quick else (STEPS, SHORT))
        }
        for steps, made in sets.items():
            data = outgoing(*made)
            works = {name: partial(export, name, data, out) for name in only}
            best = best_of(repeats, limit=partial(copied, data, out), **works)
            for name in only:
                speed = f"{count / best[name]:,.0f} frames/s"
                work = f"{count // steps:,} episodes of {steps:,} stored screens of {GAME} to {name}"
                peer = ("pandas and Pillow, encoding anew", converter)
                if not quick:
                    rows.append(Row(work, best[name], *peer, "their bytes copied", best["limit"], speed))
                wanted = count / WANTED[name]
                rows.append(Row(work, best[name], limit=f"{WANTED[name]:,} frames/s", limit_s=wanted, limit_goal=1))
        if quick:
            return rows
        tenth = stored(folder / "tenth", EPISODES // 10)
        rows += [_peak(name, *made, out) for name in only for made in (sets[STEPS], tenth)]
        rows += [_commands(folder)] if commands else []
    return rows


def _converter_s(folder: Path) -> float:
    """Seconds for a frame by the converter."""
    pictures = [encode_png(screen) for screen in screens(GAME, 1_000)] * (RE_ENCODED // 1_000)
    return best_of(1, peer=partial(converted, pictures, folder))["peer"] / RE_ENCODED


def _commands(folder: Path) -> Row:
    """The two-step command beside collecting alone, each in a store of its own."""
    asked = ["domain=atari", f"task=[{','.join(COLLECTED)}]", "frames=100", "episodes=5", "policy.randomness=0.2"]
    ways = {
        "alone": ["stage=collect"],
        "both": ["stage=[collect,export]", "format=interleaved", f"format.out={folder / 'set.parquet'}"],
    }
    took = {}
    for name, words in ways.items():
        command = [sys.executable, "run.py", *words, *asked, "workers=8", f"paths.root={folder / name}"]
        start = time.perf_counter()
        subprocess.run(command, check=True, capture_output=True, cwd=ROOT)
        took[name] = time.perf_counter() - start
    work = f"{len(COLLECTED)} games, 100 frames in 5 episodes of each: collected and exported"
    return Row(work, took["both"], limit="collected alone", limit_s=took["alone"], limit_goal=1.3)


def _peak(name: str, dataset: Artifact, frames: Artifact, out: Path) -> Row:
    """The most memory of a process that exports."""
    given = ", ".join(repr(str(each)) for each in (name, dataset.path, frames.path, out))
    code = f"from benchmarks.image_text import report; report({given})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    answer = json.loads(done.stdout.splitlines()[-1])
    note = f"peak memory {answer['peak'] / 1e6:,.0f} MB"
    work = f"{EpisodeDataset.of(dataset).states:,} stored screens to {name}, in a process of its own"
    return Row(work, answer["seconds"], note=note)


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
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", nargs="+", choices=FORMS, default=FORMS)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--commands", action="store_true", help="collect and export by the command line, too")
    arguments = parser.parse_args()
    print_table(measure(arguments.repeats, arguments.only, arguments.commands))
