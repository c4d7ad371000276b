"""Ingest: a foreign dataset → a dataset of ours, episode by episode."""

from __future__ import annotations

from beartype import beartype

from pipeline.artifact import Artifact, Spec
from pipeline.collection import EPISODES_FORMAT, Target, grow
from pipeline.domain import Domain
from pipeline.errors import InvalidInput
from pipeline.interfaces import Source
from pipeline.progress import progress
from pipeline.recorder import DatasetWriter
from pipeline.workspace import EPISODES, Workspace, check_dataset_name


@beartype
def run(
    *,
    domain: Domain,
    task: str,
    source: Source | None,
    workspace: Workspace,
    dataset: str,
    episodes: int | None,
    states: int | None,
    force: bool,
) -> Artifact:
    """The dataset `dataset` of one task: the source's first `episodes`, or at least `states`, or everything."""
    if source is None:
        raise InvalidInput("stage=ingest needs a source: for example source=jat source.path=FOLDER")
    spec = Spec(
        domain.name,
        task,
        EPISODES,
        EPISODES_FORMAT,
        {"source": dict(source.identity(domain.name, task))},
        name=check_dataset_name(dataset),
    )

    def fill(writer: DatasetWriter, target: Target) -> list[str]:
        _fill(writer, target, source, spec)
        return source.notes()

    artifact = grow(workspace, spec, Target(episodes, states), fill, force)
    have = int(artifact.manifest.counts["episodes"])
    if episodes and have < episodes:
        raise InvalidInput(f"The source has {have} episodes of {spec.label}, episodes={episodes} asked for more.")
    return artifact


def _fill(writer: DatasetWriter, target: Target, source: Source, spec: Spec) -> None:
    total = target.episodes or (source.count(spec.domain, spec.task) if target == Target() else None)
    with progress("ingest", spec.label, "episodes", total, writer.count) as advance:
        for episode in source.episodes(spec.domain, spec.task, writer.count):
            if target.met(writer.count, writer.states):
                return
            writer.append(episode)
            advance(1)
