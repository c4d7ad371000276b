"""Split: a dataset in parts, train and test, as datasets that refer to its episodes; none is in two of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from beartype import beartype

from pipeline.artifacts.artifact import Artifact
from pipeline.artifacts.derived import SPLIT
from pipeline.campaign.stage import StageFacts
from pipeline.command import again
from pipeline.dataset.amount import Amount
from pipeline.dataset.deriving import parent_name, parents_of
from pipeline.dataset.references import References, derive, derived_spec
from pipeline.dataset.splitting import check_parts, parts_of
from pipeline.dataset.workspace import Workspace, check_dataset_name
from pipeline.domains.domain import Domain
from pipeline.errors import InvalidInput


def reads(*, of: str | None, domain: Domain, workspace: Workspace) -> Sequence[str]:
    """The dataset that is split."""
    return [parent_name("stage.split.of", of, domain.name, workspace)]


@beartype
def foresee(
    *,
    domain: Domain,
    workspace: Workspace,
    of: str | None,
    parts: Mapping[Any, Any] | None,
    by: str,
    seed: int,
    dataset: str | None,
    episodes: int | None,
) -> None:
    """Raises InvalidInput for settings with which nothing can be split."""
    names = reads(of=of, domain=domain, workspace=workspace)
    check_parts(_parts(parts), by)
    for part in _parts(parts):
        check_dataset_name(f"{dataset or names[0]}-{part}")
    Amount(episodes)
    if seed < 0:
        raise InvalidInput(f"stage.split.seed={seed} must not be negative.")


FACTS = StageFacts(foresee=foresee, reads=reads, names_dataset=True)


@beartype
def run(
    *,
    domain: Domain,
    task: str,
    workspace: Workspace,
    of: str | None,
    parts: Mapping[Any, Any] | None,
    by: str,
    seed: int,
    dataset: str | None,
    episodes: int | None,
    force: bool,
) -> list[Artifact]:
    """The datasets `<of>-<part>` of one task, or `<dataset>-<part>`: its first `episodes`, shared out among `parts`.

    They refer to the episodes and copy nothing. Which episode comes into which part depends on what the episodes are,
    on `by` and on `seed` alone.
    """
    foresee(
        domain=domain, workspace=workspace, of=of, parts=parts, by=by, seed=seed, dataset=dataset, episodes=episodes
    )
    names = reads(of=of, domain=domain, workspace=workspace)
    parents = parents_of(workspace, (domain.name, task), names, episodes)
    shares = _parts(parts)
    placed = parts_of(parents[0], shares, by, seed)
    made = []
    for number, part in enumerate(shares):
        settings = {"parts": shares, "by": by, "seed": seed, "part": part}
        spec = derived_spec(f"{dataset or names[0]}-{part}", SPLIT, settings, parents)
        references = References.of_one(np.flatnonzero(placed == number))
        made.append(derive(workspace, spec, parents, references, force, ending=f"-{part}"))
    return made


def _parts(parts: Mapping[Any, Any] | None) -> dict[str, Any]:
    """The shares by name; a command line takes names such as 0 for numbers."""
    if parts is None:
        example = again(stage__split__parts={"train": 0.9, "test": 0.1})
        raise InvalidInput(
            f"Say into which parts, with their shares: stage.split.parts={{NAME:SHARE,NAME:SHARE}}\nSuch as: {example}"
        )
    return {str(name): share for name, share in parts.items()}
