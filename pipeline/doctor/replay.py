"""Replay: some episodes are stepped again in the simulator that recorded them."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from pipeline.artifacts.artifact import Artifact
from pipeline.artifacts.remake import audited
from pipeline.dataset.reader import EpisodeDataset
from pipeline.doctor.findings import Finding
from pipeline.domains.domain import Domain
from pipeline.episode import UNKNOWN
from pipeline.rollout.audit import Audited, audit
from pipeline.rollout.simulator import NoSimulator, OtherSettings, simulator_of
from pipeline.wording import how_many

SHOWN = 5
"""Episodes that are named."""


def replayed(artifact: Artifact, domain: Domain, episodes: int, workers: int) -> Iterator[Finding]:
    """Where the simulator differs from what was recorded, in so many evenly spaced episodes of a dataset.

    A note says why where nothing can be stepped again. Raises TaskFailed where the simulator dies.
    """
    where = f"{artifact.manifest.task}/{artifact.manifest.version}"
    seeds = EpisodeDataset.of(artifact).per_episode("seed")
    known = np.flatnonzero(seeds != UNKNOWN)
    if not episodes:
        return
    try:
        environment = simulator_of(artifact, domain)
        if not len(known):
            raise NoSimulator("none of its episodes has a seed")
    except OtherSettings as error:
        yield not_replayed(where, f"the simulator had other settings: {error.args[0]}", audited(artifact).line())
        return
    except NoSimulator as error:
        yield not_replayed(where, str(error.args[0]))
        return
    chosen = known[np.unique(np.linspace(0, len(known) - 1, episodes).round().astype(np.int64))].tolist()
    results = list(audit(environment, artifact, workers, chosen))
    if different := [each for each in results if each.row is not None]:
        yield _different(where, different, results, audited(artifact).line())


def not_replayed(where: str, why: str, command: str = "") -> Finding:
    """A note that says why nothing was stepped again."""
    return Finding(
        "not_replayed",
        "note",
        where,
        0,
        f"No episode was stepped again: {why}.",
        "Whether the recorded seeds and actions lead to these observations and rewards is not known.",
        command=command,
    )


def _different(where: str, different: list[Audited], results: list[Audited], command: str) -> Finding:
    return Finding(
        "replays_differently",
        "error",
        where,
        len(different),
        f"{how_many(len(different), 'episodes')} of {len(results):,} that were stepped again differ from what was "
        "recorded.",
        "Observations, rewards or actions were changed or shifted, or another version of the simulator recorded them.",
        command=command,
        examples=tuple(f"episode {each.episode}, row {each.row}: {each.what}" for each in different[:SHOWN]),
        numbers=(("episodes", float(len(results))), ("first_row", float(min(each.row or 0 for each in different)))),
    )
