"""Select: the episodes of a dataset that an expression chooses, as a dataset that refers to them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from beartype import beartype

from pipeline.artifacts.artifact import Artifact
from pipeline.artifacts.derived import SELECT
from pipeline.campaign.stage import StageFacts
from pipeline.command import again
from pipeline.dataset.amount import Amount
from pipeline.dataset.deriving import own_name, parent_name, parents_of
from pipeline.dataset.expression import parsed
from pipeline.dataset.references import References, derive, derived_spec
from pipeline.dataset.where import chosen
from pipeline.dataset.workspace import Workspace
from pipeline.domains.domain import Domain
from pipeline.errors import InvalidInput

NAME = "selected-v1"


def reads(*, of: str | None, domain: Domain, workspace: Workspace) -> Sequence[str]:
    """The dataset that is selected from."""
    return [parent_name("stage.select.of", of, domain.name, workspace)]


@beartype
def foresee(
    *, domain: Domain, workspace: Workspace, of: str | None, where: object, dataset: str | None, episodes: int | None
) -> None:
    """Raises InvalidInput for settings with which nothing can be selected."""
    own_name(dataset, reads(of=of, domain=domain, workspace=workspace), NAME)
    Amount(episodes)
    _expression(where)


FACTS = StageFacts(foresee=foresee, reads=reads, names_dataset=True)


@beartype
def run(
    *,
    domain: Domain,
    task: str,
    workspace: Workspace,
    of: str | None,
    where: object,
    dataset: str | None,
    episodes: int | None,
    force: bool,
) -> Artifact:
    """The dataset `dataset` of one task: those of the first `episodes` of the dataset `of` that `where` chooses.

    It refers to them and copies nothing. What an expression can say, docs/stages/derive.md tells. Raises InvalidInput
    where it chooses no episode.
    """
    foresee(domain=domain, workspace=workspace, of=of, where=where, dataset=dataset, episodes=episodes)
    parents = parents_of(workspace, (domain.name, task), reads(of=of, domain=domain, workspace=workspace), episodes)
    name, expression = own_name(dataset, [], NAME), _expression(where)
    chosen_numbers = np.flatnonzero(chosen(expression, parents[0]))
    spec = derived_spec(name, SELECT, {"where": expression}, parents)
    return derive(workspace, spec, parents, References.of_one(chosen_numbers), force)


def _expression(where: object) -> str:
    """The expression in one line; a word such as true, which a command line takes for no text, as it was typed."""
    if where is None:
        example = again(stage__select__where="return >= quantile(return, 0.5)")
        raise InvalidInput(f"Say which episodes are chosen: stage.select.where=EXPRESSION\nSuch as: {example}")
    return parsed(str(where)).text
