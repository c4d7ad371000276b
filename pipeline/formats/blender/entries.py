"""What stands in the rows of the registry: a project, an environment, an experiment of it."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from importlib import import_module
from itertools import count
from pathlib import Path
from typing import Any

import gymnasium

from pipeline.command import again
from pipeline.envs.gym.keywords import LIMIT
from pipeline.errors import InvalidInput
from pipeline.formats.blender.facts import ROWS
from pipeline.formats.blender.registration import DEFAULT_PROJECT, Registration
from pipeline.formats.blender.registry import ENVIRONMENTS, EXPERIMENTS, PROJECTS, Registry, Row, reading_registry
from pipeline.formats.provenance import TOOL

log = logging.getLogger(__name__)


def experiment_name(registration: Registration, env_id: str, framework: str) -> str:
    """That which the user gave, else `CartPole-v1_random_experiment`."""
    kind = "random" if framework == "Random" else "trained"
    return registration.experiment or f"{env_id}_{kind}_experiment"


def enter_environment(registry: Registry, facts: Mapping[str, Any], registration: Registration) -> None:
    """Write the row of an environment where there is none; one that is there stays as it is.

    Args:
        facts: those of `environment` in an export's `experiment.json`.
    """
    env_id = str(facts["id"])
    known = registry.find(ENVIRONMENTS, registration_id=env_id)
    if known is None:
        registry.insert(
            ENVIRONMENTS,
            env_name=env_id,
            registered=1,
            registration_id=env_id,
            observation_space_info=space_info(facts["observation_space"]),
            action_space_info=space_info(facts["action_space"]),
            description=registration.whole_description,
            tags=[registration.display_name] if registration.display_name else [],
            gym_entry_point=str(facts.get("entry_point") or ""),
            additional_gym_packages=list(facts.get("packages") or ()),
        )
    elif (shown := known.text("env_name")) != env_id:
        log.warning("%s: %s is called %s, and RLHF-Blender looks for files of that name", registry.path, env_id, shown)


def enter_experiment(registry: Registry, name: str, facts: Mapping[str, Any], registration: Registration) -> int:
    """The id of an experiment; its row is written where there is none. An existing row stays, but for one that was
    registered here before anybody had played: it takes over who plays first, and the time limit unless it has one.

    Args:
        facts: an export's `experiment.json`, or what of it is known before there is an export.
    """
    known = registry.find(EXPERIMENTS, exp_name=name)
    if known is not None:
        if "uncertainty" in facts and _awaits_data(known):
            registry.change(EXPERIMENTS, known.id, **_of_the_first_data(known, facts))
        return known.id
    return registry.insert(
        EXPERIMENTS,
        exp_name=name,
        env_id=facts["environment"]["id"],
        environment_config=environment_config(facts["environment"]),
        framework=facts["framework"],
        algorithm=facts["algorithm"],
        exp_comment=comment(facts),
        seed=facts["seed"],
    )


def _awaits_data(row: Row) -> bool:
    """Whether a row was registered here and nothing has been laid since; RLHF-Blender's own rows are none of these."""
    return not row.listed("checkpoint_list") and row.text("exp_comment") == comment({"layout": ROWS})


def _of_the_first_data(row: Row, facts: Mapping[str, Any]) -> dict[str, Any]:
    """What a row that was registered without data takes over from the first export."""
    config = row.mapping("environment_config")
    played = environment_config(facts["environment"])["env_kwargs"]
    limit = {LIMIT: played[LIMIT]} if LIMIT in played else {}
    return {
        "environment_config": {**config, "env_kwargs": {**limit, **dict(config.get("env_kwargs") or {})}},
        "framework": facts["framework"],
        "algorithm": facts["algorithm"],
        "exp_comment": comment(facts),
        "seed": facts["seed"],
    }


def enter_project(registry: Registry, env_id: str, experiment: str | None, registration: Registration) -> None:
    """Name an environment and its experiment in the project, once each; the project is made where there is none."""
    name = registration.project or _project_of(registry, experiment) or DEFAULT_PROJECT
    row = registry.find(PROJECTS, project_name=name)
    if row is None:
        registry.insert(PROJECTS, project_name=name, created_timestamp=int(time.time()))
        row = registry.find(PROJECTS, project_name=name)
        assert row is not None
    lists = {"project_environments": env_id, "project_experiments": experiment}
    listed = {column: (row.listed(column), value) for column, value in lists.items() if value}
    new = {column: [*there, value] for column, (there, value) in listed.items() if value not in there}
    if new:
        registry.change(PROJECTS, row.id, **new)


def enter_checkpoint(registry: Registry, number: int, checkpoint: str) -> None:
    """Name a checkpoint in the list of the experiment of that id."""
    row = registry.numbered(EXPERIMENTS, number)
    listed = row.listed("checkpoint_list")
    if checkpoint not in listed:
        registry.change(EXPERIMENTS, number, checkpoint_list=sorted([*listed, checkpoint], key=_by_number))


def environment_config(facts: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of an experiment's environment: what `gymnasium.make` is given, and apart what only a registration
    takes, and what RLHF-Blender's own builder of environments does.

    >>> facts = {"id": "CartPole-v1", "simulator": "gymnasium", "max_steps": 1000}
    >>> environment_config({**facts, "kwargs": {"sutton_barto_reward": True}})
    {'env_kwargs': {'sutton_barto_reward': True, 'max_episode_steps': 1000}}
    """
    spec = _registered(str(facts["id"]), facts.get("packages") or ())
    shipped, limit = (dict(spec.kwargs), spec.max_episode_steps) if spec else ({}, None)
    kwargs = {name: value for name, value in dict(facts.get("kwargs") or {}).items() if shipped.get(name, ...) != value}
    if facts.get("simulator") == "gymnasium" and facts.get("max_steps") != limit:
        kwargs[LIMIT] = facts.get("max_steps") or -1
    registration = facts.get("registration")
    apart = {"registration": dict(registration)} if registration else {}
    return {"env_kwargs": kwargs, **apart, **dict(facts.get("builder") or {})}


def require_same(row: Row, name: str, facts: Mapping[str, Any]) -> None:
    """Raises InvalidInput where an experiment is of another environment than a dataset, or of other settings of it; a
    time limit is none of them.
    """
    env_id, known = str(facts["id"]), row.text("env_id")
    if known != env_id:
        raise InvalidInput(
            f"The experiment {name} of {row.path} belongs to the environment {known}, and this one is {env_id}.\n"
            f"Name another: {again(format__experiment=free_experiment(row.path.parent, name))}\n"
            f"Or none, which means one for each environment: {again(format__experiment=None)}"
        )
    wanted, there = environment_config(facts), row.mapping("environment_config")
    for part in ("env_kwargs", "registration"):
        if (ours := without_limit(wanted.get(part))) != (theirs := without_limit(there.get(part))):
            raise InvalidInput(
                f"The experiment {name} of {row.path} plays {known} with {part} {theirs}, and this is with "
                f"{ours}.\nName another experiment: {again(format__experiment=free_experiment(row.path.parent, name))}"
            )


def without_limit(kwargs: Any) -> dict[str, Any]:
    """Keywords of an environment but for its time limit, which may be set for each dataset."""
    return {name: value for name, value in dict(kwargs or {}).items() if name != LIMIT}


def free_experiment(root: Path, name: str) -> str:
    """A name like this one that no experiment in a tree has: `Mine-2`."""
    with reading_registry(root) as registry:
        taken = {row.text("exp_name") for row in registry.rows(EXPERIMENTS)} if registry else set()
    return next(each for each in (f"{name}-{number}" for number in count(2)) if each not in taken)


def space_info(space: Mapping[str, Any]) -> dict[str, Any]:
    """A space as the registry has it: the shape as a tuple, all else as it is."""
    return {**space, "shape": tuple(space["shape"])}


def comment(facts: Mapping[str, Any]) -> str:
    """What the experiment's comment says of its files."""
    parts = [f"Written by {TOOL}."]
    if layout := facts.get("layout"):
        parts.append(f"Rows: {layout}.")
    if uncertainty := facts.get("uncertainty"):
        words = {"ones": "ones, for nothing is known", "entropy": "the policy's entropy"}.get(uncertainty, uncertainty)
        parts.append(f"Uncertainty of the first checkpoint that was written: {words}.")
    if "env_states" in facts:
        stored = "the stored state" if facts["env_states"] else "a reset, for no state of the simulator is stored"
        parts.append(f"Demonstrations begin at {stored}.")
    return " ".join(parts)


def _project_of(registry: Registry, experiment: str | None) -> str | None:
    """The first project that names an experiment."""
    for row in registry.rows(PROJECTS) if experiment else ():
        if experiment in row.listed("project_experiments"):
            return row.text("project_name")
    return None


def _registered(env_id: str, packages: Sequence[str]) -> gymnasium.envs.registration.EnvSpec | None:
    """What Gymnasium knows of an id, once its packages are there."""
    for package in packages:
        try:
            import_module(package)
        except Exception:  # a package of anybody's may be missing, or fail in any way: then all keywords are written
            return None
    return gymnasium.registry.get(env_id)


def _by_number(checkpoint: str) -> tuple[bool, int, str]:
    number = int(checkpoint) if checkpoint.removeprefix("-").isdecimal() else None
    return number is None, number or 0, checkpoint
