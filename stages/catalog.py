"""Catalog: what exists, as a table."""

from __future__ import annotations

from beartype import beartype
from rich.table import Table
from rich.text import Text

from pipeline.artifacts.artifact import Artifact
from pipeline.artifacts.exported import EXPORT
from pipeline.campaign.console import stuck_episodes, success_rate, wide_console
from pipeline.campaign.stage import StageFacts
from pipeline.campaign.tasks import chosen_tasks
from pipeline.command import Command, typed
from pipeline.dataset.workspace import Workspace
from pipeline.domains.domain import Domain
from pipeline.errors import DamagedArtifact
from pipeline.machine.files import human_bytes, size_of
from pipeline.machine.secrets import without_secrets

FACTS = StageFacts(per_task=False)


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
    damage: list[DamagedArtifact] = []
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
        begin = Command(typed().door, domain.tasks[0], domain.words) if domain else Command("all", domain="domain=toy")
        console.print(f"Nothing is there yet under {workspace.root}.", markup=False, soft_wrap=True)
        console.print(f"Begin with: {begin.line()}", markup=False, soft_wrap=True)


def _row(artifact: Artifact) -> list[str]:
    manifest = artifact.manifest
    counts = manifest.counts
    return [
        manifest.task,
        f"{manifest.kind} {manifest.parameters.get('format', '')}" if manifest.kind == EXPORT else manifest.kind,
        artifact.path.name,
        human_bytes(size_of(artifact.path)),
        f"{counts['episodes']:,}" if "episodes" in counts else "",
        f"{counts['states']:,}" if "states" in counts else "",
        " ".join(filter(None, [success_rate(artifact), stuck_episodes(artifact)])),
        f"{manifest.seconds:.1f}",
        str(len(manifest.warnings) or ""),
        without_secrets(manifest.command),
    ]
