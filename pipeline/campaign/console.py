"""Tables and figures on a terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline.artifacts.artifact import Artifact

if TYPE_CHECKING:
    from rich.console import Console


def wide_console(stderr: bool = False) -> Console:
    """A console that does not fold tables to 80 columns when its output goes to a file."""
    from rich.console import Console  # here, for it takes long to load and most commands print no table

    console = Console(stderr=stderr)
    return console if console.is_terminal else Console(stderr=stderr, width=200)


def success_rate(artifact: Artifact) -> str:
    """`97 %` of the episodes that say whether they succeeded; a task that never succeeds is marked."""
    counts = artifact.manifest.counts
    if not counts.get("success_known"):
        return ""
    rate = counts["successes"] / counts["success_known"]
    return f"{rate:.0%}" + (" never succeeds!" if rate == 0 else "")


def stuck_episodes(artifact: Artifact) -> str:
    """`3 stuck`, where nothing happens on the screen of some episodes."""
    count = artifact.manifest.counts.get("stuck")
    return f"{count:,} stuck" if count else ""
