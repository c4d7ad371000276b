"""Frames: one lossless picture for every row of a dataset, kept from the collection or drawn by replaying it."""

from __future__ import annotations

import logging
from functools import partial

from beartype import beartype

from pipeline.artifacts.artifact import Artifact
from pipeline.campaign.stage import StageFacts
from pipeline.dataset.amount import Amount
from pipeline.dataset.workspace import Workspace, check_dataset_name
from pipeline.domains.domain import Domain
from pipeline.machine.threads import available_cores
from pipeline.rollout.frames import frames_of

log = logging.getLogger(__name__)


@beartype
def foresee(*, dataset: str, episodes: int | None, workers: int | None) -> None:
    """Raises InvalidInput for settings with which no task can be drawn."""
    check_dataset_name(dataset)
    Amount(episodes)


FACTS = StageFacts(foresee=foresee)


@beartype
def run(
    *,
    domain: Domain,
    task: str,
    workspace: Workspace,
    dataset: str,
    episodes: int | None,
    workers: int | None,
    force: bool,
) -> Artifact:
    """The pictures of the first `episodes` episodes: what the simulator shows at each of the T+1 rows.

    The simulator steps every episode again from its seed and actions, and every array must equal the recorded one:
    a picture of another state would be a silent lie. Pictures that were made during the collection, or for fewer
    episodes of the same dataset, are taken over.

    Raises:
        InvalidInput: the dataset was not made by a simulator of this project.
        IdentityMismatch: the simulator here is another one than recorded the dataset.
        DigestMismatch: an episode does not replay exactly.
        NoRenderer: nothing can draw here.
    """
    found = workspace.dataset(domain.name, task, dataset, episodes)
    environment = partial(domain.environment, task=task)
    return frames_of(found, environment, workspace, workers or available_cores(), force)
