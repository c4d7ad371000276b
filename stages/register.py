"""Register: an environment, and an experiment of it → the registry of RLHF-Blender, without any data."""

from __future__ import annotations

import logging

from beartype import beartype

from pipeline.campaign.console import wide_console
from pipeline.campaign.stage import StageFacts
from pipeline.command import again
from pipeline.dataset.workspace import Workspace
from pipeline.domains.domain import Domain
from pipeline.errors import InvalidInput
from pipeline.formats.blender.format import BlenderFormat
from pipeline.formats.blender.laying import require_tree, tree_root
from pipeline.formats.blender.registering import facts_to_register, register
from pipeline.formats.contract import Format
from pipeline.sources.rlhf_blender.names import DATABASE

log = logging.getLogger(__name__)


@beartype
def foresee(*, format: Format | None, out: str | None) -> None:
    """Raises InvalidInput for settings with which no environment can be registered."""
    if not isinstance(format, BlenderFormat):
        raise InvalidInput(
            "stage=register writes into the registry of RLHF-Blender: "
            f"{again(format='rlhf_blender', format__out=out or 'blender')}"
        )
    if out is None:
        raise InvalidInput(f"In which tree? {again(format__out='blender')}")


FACTS = StageFacts(begins=True, foresee=foresee)


@beartype
def run(
    *,
    domain: Domain,
    task: str,
    workspace: Workspace,
    format: Format | None,
    out: str | None,
    action_labels: list[str | int | float | bool] | None,
    action_images: str | None,
) -> None:
    """Write the rows of the environment of a task, and of the experiment where one is named; those that are there stay.

    Labels are set, also in a row that is there. Without labels the number of actions is printed. May be repeated.

    Raises InvalidInput for an experiment of another environment, labels that do not fit, and pictures that fit none.
    """
    foresee(format=format, out=out)
    assert isinstance(format, BlenderFormat)
    assert out is not None
    root = tree_root(out)
    require_tree(out, root, workspace.root)
    facts = facts_to_register(domain, task, format)
    names = register(root, facts, format, action_labels, action_images)
    env_id, experiment = facts["environment"]["id"], format.registration.experiment
    log.info("register %s/%s: %s is in %s", domain.name, task, env_id, root / DATABASE)
    if experiment:
        log.info("register %s/%s: so is the experiment %s", domain.name, task, experiment)
    console = wide_console()
    if action_labels is None:
        console.print(f"Action dimensions: {len(names)}", markup=False, highlight=False)
    else:
        console.print(f"Action labels: {', '.join(names)}", markup=False, highlight=False, soft_wrap=True)
