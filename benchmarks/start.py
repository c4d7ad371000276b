"""Start of a command: its processor time beyond a bare Hydra program's that composes the same settings.

Each command is a process of its own and finds everything made, so that what it costs is its start: imports, Hydra, and
looking what is there. A bare program composes the same words and does nothing.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path

from benchmarks.measure import Row, print_table

PROJECT = Path(__file__).resolve().parent.parent

WANTED_S = 0.7

BARE = """
import sys

import hydra


@hydra.main(version_base="1.3", config_path=sys.argv.pop(1), config_name="config")
def main(cfg):
    pass


main()
"""
WITHOUT_OURS = ("hydra.callbacks.failures._target_=hydra.experimental.callback.Callback", "hydra/job_logging=default")
"""The settings name two classes of ours."""

TOY = ("domain=toy", "task=corner", "episodes=5")
PONG = ("stage=[collect,frames]", "domain=atari", "task=pong", "policy=random", "episodes=1", "frames=40")
EXPORT = ("stage=export", "format=minari", *TOY)
MADE = (("stage=all", *TOY), EXPORT, (*PONG, "render=true"))
"""Commands that make what the others find."""

COMMANDS: dict[str, tuple[str, ...]] = {
    "help page": ("--help",),
    "stage=catalog": ("stage=catalog", "domain=toy"),
    "stage=collect, found": ("stage=collect", *TOY),
    "stage=retrieval, found": ("stage=retrieval", *TOY),
    "stage=all, five artifacts found": ("stage=all", *TOY),
    "stage=export to Minari, found": EXPORT,
    "Atari's episodes and their pictures, found": (*PONG, "render=true"),
    "stage=doctor, five short episodes examined": ("stage=doctor", *TOY),
    "a task that there is not": ("stage=collect", "domain=toy", "task=cornr"),
    "an input that there is not": ("stage=retrieval", "domain=toy", "task=maze"),
}
QUICK = ("stage=catalog", "stage=all, five artifacts found")


LIBRARY = {
    "python": ("-c", ""),
    "numpy": ("-c", "import numpy"),
    "library": ("-c", "from pipeline import Windows"),
}


def processor_s(words: Iterable[str]) -> float:
    """User and system time of a Python process and its children. Its modules lie there compiled, as they usually do."""
    environment = {**os.environ, "REPERTOIRE_PROJECT": str(PROJECT), "PYTHONPATH": str(PROJECT)}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, *words], capture_output=True, check=False, cwd=PROJECT, env=environment)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime


def best_processor_s(repeats: int, programs: dict[str, tuple[str, ...]]) -> dict[str, float]:
    """The least processor time of each program; they take turns. The first turn compiles modules and is not counted."""
    turns = [{name: processor_s(words) for name, words in programs.items()} for _ in range(repeats + 1)]
    return {name: min(turn[name] for turn in turns[1:]) for name in programs}


def measure(repeats: int = 5, quick: bool = False) -> list[Row]:
    """A row for each command: what it takes beyond the bare program; and what importing the library takes."""
    commands = {name: COMMANDS[name] for name in (QUICK if quick else COMMANDS)}
    with tempfile.TemporaryDirectory() as folder:
        root, bare = f"paths.root={folder}/outputs", Path(folder, "bare.py")
        bare.write_text(BARE)
        for words in MADE[:1] if quick else MADE:
            processor_s(["run.py", *words, root])
        programs: dict[str, tuple[str, ...]] = {} if quick else dict(LIBRARY)
        for name, words in commands.items():
            programs[name] = ("run.py", *words, root)
            programs[f"bare {name}"] = (str(bare), str(PROJECT / "conf"), *WITHOUT_OURS, *words, root)
        best = best_processor_s(2 if quick else repeats, programs)
    rows = [
        Row(
            f"start of a command: {name}",
            max(0.0, best[name] - best[f"bare {name}"]),
            limit="wanted beyond a bare Hydra program of the same settings",
            limit_s=WANTED_S,
            limit_goal=1,
            note=f"processor time: {best[name]:.2f} s, the bare program {best[f'bare {name}']:.2f} s",
        )
        for name in commands
    ]
    if quick:
        return rows
    library = Row(
        "from pipeline import Windows",
        best["library"] - best["python"],
        peer="import numpy",
        peer_s=best["numpy"] - best["python"],
        note=f"processor time beyond Python's own {best['python']:.2f} s",
    )
    return [*rows, library]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args()
    print_table(measure(options.repeats, options.quick))


if __name__ == "__main__":
    main()
