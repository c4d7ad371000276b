"""An environment, and an experiment of it, are registered without any data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pipeline.dataset.columns import RowSpec
from pipeline.domains.domain import Domain
from pipeline.envs.gym.keywords import BUILDER
from pipeline.errors import unknown_name
from pipeline.formats.blender.entries import enter_environment, enter_experiment, enter_project, require_same
from pipeline.formats.blender.facts import (
    FRAMEWORKS,
    ROWS,
    as_written,
    environment_id,
    facts_of_environment,
    label_names_of,
)
from pipeline.formats.blender.format import BlenderFormat
from pipeline.formats.blender.labels import label_names, lay_images, read_images, set_labels
from pipeline.formats.blender.laying import changing_tree
from pipeline.formats.blender.registration import TreeLayout
from pipeline.formats.blender.registry import ENVIRONMENTS, EXPERIMENTS, changing_registry
from pipeline.formats.blender.spaces import (
    bounds_of,
    choice_between,
    nested_space,
    observation_space_info,
    recorded_choice,
    space_of_actions,
)
from pipeline.interfaces import Environment
from pipeline.observation import observation_arrays


def facts_to_register(domain: Domain, task: str, format: BlenderFormat) -> dict[str, Any]:
    """What the registry is to say of a task's environment, which is made for it and reset once, and of an experiment
    of it. As `experiment.json` of an export has it, and `builder`: the keywords that RLHF-Blender's own builder of
    environments takes, without which it is made here.

    Raises InvalidInput for an environment that cannot be made.
    """
    given = dict(domain.settings.get("env_kwargs") or {})
    builder = {name: value for name, value in given.items() if name in BUILDER}
    own = {"env_kwargs": {name: value for name, value in given.items() if name not in BUILDER}} if builder else {}
    environment = domain.environment(task=task, **own)
    try:
        identity = environment.identity()
        facts = facts_of_environment(identity, format.env_id or environment_id(domain.name, task, identity))
        facts["builder"] = builder
        spaces = {
            "observation_space": _observation_space(environment, format.observation),
            "action_space": _action_space(environment, identity),
        }
    finally:
        environment.close()
    return {
        "environment": {**facts, **spaces},
        "framework": FRAMEWORKS["sb3"],  # that of RLHF-Blender's own command; nobody has played yet
        "algorithm": "",
        "seed": 0,
        "layout": ROWS,
    }


def register(
    root: Path,
    facts: dict[str, Any],
    format: BlenderFormat,
    labels: Sequence[object] | None,
    images: str | None,
) -> list[str]:
    """Write the rows that are not there; set labels, and lay pictures of actions. Returns what the actions are called.

    Raises InvalidInput for an experiment of another environment, and for labels and pictures that do not fit.
    """
    registration, env_id = format.registration, facts["environment"]["id"]
    experiment = registration.experiment
    with changing_tree(root), changing_registry(root) as registry:
        known = registry.find(EXPERIMENTS, exp_name=experiment) if experiment else None
        if known is not None and experiment:
            require_same(known, experiment, facts["environment"])
        enter_environment(registry, facts["environment"], registration)
        if experiment:
            enter_experiment(registry, experiment, facts, registration)
        enter_project(registry, env_id, experiment, registration)
        row = registry.find(ENVIRONMENTS, registration_id=env_id)
        assert row is not None
        if labels is not None:
            set_labels(registry, row, labels)
            row = registry.numbered(ENVIRONMENTS, row.id)
        names = label_names(row)
        if images is not None:
            lay_images(root, row.text("env_name"), read_images(images, names, TreeLayout(registration.layout)))
    return names


def _observation_space(environment: Environment, chosen: str | None) -> dict[str, Any]:
    """That of the array that becomes `obs`."""
    arrays = observation_arrays(environment.reset(seed=0), "observation")
    if chosen is not None:
        if (name := f"observation/{chosen}") not in arrays:
            nested = [each.removeprefix("observation/") for each in arrays if each != "observation"]
            raise unknown_name("array of the observation", chosen, nested)
        arrays = {"observation": arrays[name]}
    if "observation" not in arrays:
        return nested_space()
    array = arrays["observation"]
    return observation_space_info(as_written(RowSpec(array.dtype, array.shape)))


def _action_space(environment: Environment, identity: Mapping[str, Any]) -> dict[str, Any]:
    layout = identity.get("action_layout")
    if isinstance(layout, list) and (len(layout) > 1 or layout[0].get("name")):
        return nested_space()
    spec = environment.action_spec
    row, bounds = RowSpec(spec.dtype, spec.shape), bounds_of(spec)
    choice = recorded_choice(identity) or choice_between(row, bounds)
    return space_of_actions(row, choice, bounds, label_names_of({"environment": identity}))
