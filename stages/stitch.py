"""Stitch: the episodes of several datasets of a task, one after the other, as a dataset that refers to them."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from beartype import beartype

from pipeline.artifacts.artifact import Artifact
from pipeline.artifacts.derived import STITCH
from pipeline.campaign.stage import StageFacts
from pipeline.command import again
from pipeline.dataset.amount import Amount
from pipeline.dataset.deriving import dataset_names, own_name, parents_of
from pipeline.dataset.equals import repeats_in
from pipeline.dataset.reader import EpisodeDataset
from pipeline.dataset.references import References, derive, derived_spec
from pipeline.dataset.workspace import Workspace, check_dataset_name
from pipeline.domains.domain import Domain
from pipeline.errors import InvalidInput
from pipeline.wording import few, how_many

NAME = "stitched-v1"

log = logging.getLogger(__name__)


def reads(*, datasets: Sequence[str] | str | None, domain: Domain, workspace: Workspace) -> Sequence[str]:
    """The datasets that are stitched, in their order. Raises InvalidInput for fewer than two."""
    given = [datasets] if isinstance(datasets, str) else datasets or ()
    names = [check_dataset_name(str(each)) for each in given]
    if len(names) < 2:
        there = dataset_names(workspace, domain.name)
        known = f"Datasets of {domain.name}: {few(there)}.\n" if there else ""
        example = [*names, *(each for each in there if each not in names), "scripted-v1", "random-v1"][:2]
        raise InvalidInput(
            f"Say which datasets are stitched, two or more: stage.stitch.datasets=[NAME,NAME]\n{known}"
            f"Such as: {again(stage__stitch__datasets=example)}"
        )
    return names


@beartype
def foresee(
    *, domain: Domain, workspace: Workspace, datasets: Sequence[str] | None, dataset: str | None, episodes: int | None
) -> None:
    """Raises InvalidInput for settings with which nothing can be stitched."""
    own_name(dataset, reads(datasets=datasets, domain=domain, workspace=workspace), NAME)
    Amount(episodes)


FACTS = StageFacts(foresee=foresee, reads=reads, names_dataset=True)


@beartype
def run(
    *,
    domain: Domain,
    task: str,
    workspace: Workspace,
    datasets: Sequence[str] | None,
    dataset: str | None,
    episodes: int | None,
    force: bool,
) -> Artifact:
    """The dataset `dataset` of one task: all episodes of `datasets` (of each the first `episodes`), in their order.

    It refers to them and copies nothing. Raises InvalidInput where the datasets have other arrays.
    """
    foresee(domain=domain, workspace=workspace, datasets=datasets, dataset=dataset, episodes=episodes)
    names = reads(datasets=datasets, domain=domain, workspace=workspace)
    parents = parents_of(workspace, (domain.name, task), names, episodes)
    spec = derived_spec(own_name(dataset, names, NAME), STITCH, {}, parents)
    made = derive(workspace, spec, parents, References.all_of(parents), force)
    if made.built and (repeated := repeats_in(EpisodeDataset.of(made))):
        log.warning(
            "%s %s: %s of its %s have the same content as an earlier one. Is a dataset, or a part of it, named twice?",
            spec.label, spec.name, f"{repeated:,}", how_many(int(made.manifest.counts["episodes"]), "episodes"),
        )  # fmt: skip
    return made
