"""What a manifest says about the making: program versions, commit, host, time, memory, command."""

from __future__ import annotations

import platform
import resource
import shlex
import subprocess
import sys
import time
from dataclasses import replace
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

from pipeline.command import Command, typed
from pipeline.machine.secrets import words_without_secrets

PACKAGES = (
    *("repertoire", "numpy", "tensorstore", "pyarrow", "numba", "torch", "torchvision"),
    *("metaworld", "mujoco", "huggingface_hub"),
)


class Stopwatch:
    """Started when the work starts; gives the manifest's record of it."""

    def __init__(self) -> None:
        self._start = time.monotonic()

    def add(self, seconds: float) -> None:
        """Count what other jobs have worked for the same artifact."""
        self._start -= seconds

    def record(self) -> dict[str, Any]:
        """The fields of a manifest that describe this run."""
        return {
            "versions": versions(),
            "commit": program_commit(),
            "host": platform.node(),
            "seconds": round(time.monotonic() - self._start, 3),
            "peak_memory_bytes": peak_memory(),
            "command": _command(),
        }


def _command() -> str:
    """The words typed for this job; in a sweep only this job's own, so that the command makes this artifact alone."""
    if typed().words:
        words = tuple(words_without_secrets(typed().words))
        return Command().line(replace(typed(), script="run.py", words=words))
    return shlex.join(["python", Path(sys.argv[0]).name, *words_without_secrets(sys.argv[1:])])


def peak_memory() -> int:
    """Highest resident memory of this process or of any finished child, in bytes."""
    kilobytes = max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return int(kilobytes) * 1024


@cache
def versions() -> dict[str, str]:
    """Versions of Python and of the packages that shape content, as far as they are installed."""
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


@cache
def program_commit() -> str:
    """The git commit of this program, with `+` when files were changed since; empty outside a checkout."""
    root = Path(__file__).parents[2]
    if not (root / ".git").exists():
        return ""
    try:
        head = _git(root, "rev-parse", "HEAD")
        return head + ("+" if _git(root, "status", "--porcelain", "--untracked-files=no") else "")
    except (OSError, subprocess.SubprocessError):
        return ""


def _git(root: Path, *words: str) -> str:
    done = subprocess.run(["git", *words], cwd=root, capture_output=True, text=True, check=True, timeout=10)
    return done.stdout.strip()
