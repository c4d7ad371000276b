"""Catalog: what exists, as a table."""

from __future__ import annotations

from beartype import beartype
from rich.console import Console
from rich.table import Table
from rich.text import Text

from pipeline.artifacts.artifact import Artifact
from pipeline.domains.domain import Domain
from pipeline.machine.files import human_bytes, size_of
from pipeline.artifacts.workspace import Workspace


@beartype
def run(*, domain: Domain | None, only: str | list[str] | None, workspace: Workspace) -> None:
    """Print task, kind, version, size, states and the command that made each artifact."""
    table = Table(box=None, pad_edge=False)
    for column in ("task", "kind", "version", "size", "episodes", "states", "success", "seconds", "notes"):
        right = column in ("size", "episodes", "states", "seconds", "notes")
        table.add_column(column, justify="right" if right else "left", no_wrap=True)
    table.add_column("made by", overflow="fold", ratio=1)
    tasks = chosen_tasks(domain, only)
    found = 0
    damage: list[str] = []
    for artifact in workspace.all(domain.name if domain else None, damage):
        if tasks is None or artifact.task in tasks:
            table.add_row(*(Text(cell) for cell in _row(artifact)))  # a list in a command is no markup
            found += 1
    console = wide_console()
    if found:
        console.print(table)
    for line in damage:
        console.print(f"damaged: {line}", markup=False)
    if not found and not damage:
        console.print(f"Nothing is there yet under {workspace.root}. Begin with: python run.py stage=all domain=toy")


def wide_console(stderr: bool = False) -> Console:
    """A console that does not fold tables to 80 columns when its output goes to a file."""
    console = Console(stderr=stderr)
    return console if console.is_terminal else Console(stderr=stderr, width=200)


def chosen_tasks(domain: Domain | None, only: str | list[str] | None) -> list[str] | None:
    """The tasks that were named, in JAT spelling; None for all."""
    if only is None or only == "all":
        return None
    names = [only] if isinstance(only, str) else only
    return [domain.task(name) if domain else name for name in names]


def _row(artifact: Artifact) -> list[str]:
    manifest = artifact.manifest
    counts = manifest.counts
    return [
        manifest.task,
        manifest.kind,
        artifact.path.name,
        human_bytes(size_of(artifact.path)),
        f"{counts['episodes']:,}" if "episodes" in counts else "",
        f"{counts['states']:,}" if "states" in counts else "",
        success_rate(artifact),
        f"{manifest.seconds:.1f}",
        str(len(manifest.warnings) or ""),
        manifest.command,
    ]


def success_rate(artifact: Artifact) -> str:
    """`97 %` of the episodes that say whether they succeeded; a task that never succeeds is marked."""
    counts = artifact.manifest.counts
    if not counts.get("success_known"):
        return ""
    rate = counts["successes"] / counts["success_known"]
    return f"{rate:.0%}" + (" never succeeds!" if rate == 0 else "")
