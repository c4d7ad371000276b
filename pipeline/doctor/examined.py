"""A dataset of ours, examined."""

from __future__ import annotations

from collections.abc import Sequence

from pipeline.artifacts.artifact import Artifact
from pipeline.artifacts.derived import is_stitched
from pipeline.dataset.reader import EpisodeDataset
from pipeline.doctor.block import Subject
from pipeline.doctor.checks import checks_of, chosen_checks
from pipeline.doctor.examine import Examination, examine
from pipeline.doctor.reading import stored_blocks
from pipeline.doctor.thresholds import Thresholds
from pipeline.domains.domain import Domain


def subject_of(artifact: Artifact, simulator: Domain | None = None) -> Subject:
    """What is known of a dataset before it is read. `simulator` may be asked for the actions of its task."""
    manifest = artifact.manifest
    return Subject(
        f"{manifest.task}/{manifest.version}",
        artifact.domain,
        artifact.task,
        manifest.version,
        manifest.parameters,
        simulator=simulator if simulator and artifact.task in simulator.tasks else None,
        episodes=artifact.episodes or int(manifest.counts["episodes"]),
        stitched=is_stitched(artifact),
    )


def examined(
    dataset: EpisodeDataset,
    names: Sequence[str] | None = None,
    thresholds: Thresholds | None = None,
    simulator: Domain | None = None,
) -> Examination:
    """What the named checks, or all, find in a dataset; one pass over it.

    Raises UnknownName for a check that does not exist.
    """
    known = dataset.artifact
    subject = subject_of(known, simulator) if known else Subject(dataset.name, episodes=len(dataset))
    checks = checks_of(chosen_checks(names, None), subject, thresholds or Thresholds())
    return examine(subject, stored_blocks(dataset), checks)
