"""What is known of an experiment's environment once it is registered, so that its name alone means it."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

import gymnasium

from pipeline.command import again, override
from pipeline.envs.gym.keywords import BUILDER
from pipeline.errors import InvalidInput, UnknownName, unknown_name
from pipeline.formats.blender.entries import free_experiment, without_limit
from pipeline.formats.blender.laying import tree_root
from pipeline.formats.blender.registry import ENVIRONMENTS, EXPERIMENTS, Registry, Row, reading_registry
from pipeline.formats.laying import LOCAL
from pipeline.formats.places import OUT
from pipeline.wording import check_type

ENV_ID, ENTRY_POINT, PACKAGES, KWARGS = (f"domain.{key}" for key in ("env_id", "entry_point", "packages", "env_kwargs"))
MAX_STEPS = "domain.max_steps"

log = logging.getLogger(__name__)


def as_registered(
    out: str | None, experiment: str | None, now: Mapping[str, Any], given: Collection[str]
) -> dict[str, Any]:
    """The settings of `domain=gym`, by key, that must change so that it is the environment of an experiment.

    What somebody has set stays; the log says what was taken over. Empty for another domain. Of an experiment that is
    not registered, or none, they are those of the environment that was named: its entry point and packages, where it is
    registered in `out` and nobody else knows its id.

    Args:
        now: the domain's settings, by key.
        given: the keys among them that somebody set.

    Raises InvalidInput where what was set contradicts the registry, or the registry says what cannot be had here;
    UnknownName for an experiment that is not registered and an environment that nobody named.
    """
    if ENV_ID not in now or not out or ("://" in out and not out.startswith(LOCAL)):
        return {}
    check_type("format.experiment", experiment, str | None, "a text")
    root = tree_root(out)
    with reading_registry(root) as registry:
        row = registry.find(EXPERIMENTS, exp_name=experiment) if registry and experiment else None
        if registry is None or row is None or not experiment:
            if now[ENV_ID] is None and experiment:
                raise _unknown_experiment(out, experiment, registry)
            return _of_the_environment(registry, root, now, given)
        environment = registry.find(ENVIRONMENTS, registration_id=row.text("env_id"))
    wanted = dict(_registered_settings(row, environment))
    if MAX_STEPS in given and KWARGS in wanted:
        wanted[KWARGS] = without_limit(wanted[KWARGS])
    for key, value in wanted.items():
        _require_no_contradiction(key, value, now, given, experiment, row)
    _require_playable(row, experiment, given)
    return _taken_over(f"experiment {experiment}", root, wanted, now, given)


def _taken_over(
    what: str, root: Path, wanted: Mapping[str, Any], now: Mapping[str, Any], given: Collection[str]
) -> dict[str, Any]:
    """Those of the wanted settings that are others now and that nobody has set; the log says so."""
    changed = {key: value for key, value in wanted.items() if key not in given and now.get(key) != value}
    if changed:
        words = " ".join(override(key, value) for key, value in changed.items())
        log.info("%s is registered in %s; taken over: %s", what, root, words)
    return changed


def _of_the_environment(
    registry: Registry | None, root: Path, now: Mapping[str, Any], given: Collection[str]
) -> dict[str, Any]:
    """What a registry alone knows of the environment that was named."""
    env_id = now[ENV_ID]
    if (
        registry is None
        or not isinstance(env_id, str)
        or env_id in gymnasium.registry
        or {ENTRY_POINT, PACKAGES} & {*given}
    ):
        return {}
    environment = registry.find(ENVIRONMENTS, registration_id=env_id)
    return _taken_over(env_id, root, dict(_registered_code(environment)), now, given)


def _unknown_experiment(out: str, experiment: str, registry: Registry | None) -> UnknownName:
    names = [each.text("exp_name") for each in registry.rows(EXPERIMENTS)] if registry else []
    nearest = unknown_name(f"experiment in {OUT}={out}", experiment, names)
    new = again(domain__env_id="CartPole-v1")
    return UnknownName(f"{nearest}\nFor a new experiment name its environment, such as CartPole-v1: {new}")


def _registered_settings(row: Row, environment: Row | None) -> Iterator[tuple[str, Any]]:
    yield ENV_ID, row.text("env_id")
    config = row.mapping("environment_config")
    if kwargs := {**dict(config.get("env_kwargs") or {}), **dict(config.get("registration") or {})}:
        yield KWARGS, kwargs
    yield from _registered_code(environment)


def _registered_code(environment: Row | None) -> Iterator[tuple[str, Any]]:
    if environment is not None:
        if entry_point := environment.text("gym_entry_point"):
            yield ENTRY_POINT, entry_point
        if packages := environment.listed("additional_gym_packages"):
            yield PACKAGES, packages


def _require_no_contradiction(
    key: str, value: Any, now: Mapping[str, Any], given: Collection[str], experiment: str, row: Row
) -> None:
    """Raises InvalidInput where another environment, or the same one with other arguments, was named."""
    if key == PACKAGES or key not in given:
        return
    if _comparable(key, now[key]) != _comparable(key, value):
        raise InvalidInput(
            f"The experiment {experiment} of {row.path} is registered with {override(key, value)}, and "
            f"{override(key, now[key])} was given.\nAs it is registered: {again(**{key: None})}\n"
            f"Or name another experiment: {again(format__experiment=free_experiment(row.path.parent, experiment))}"
        )


def _comparable(key: str, value: Any) -> Any:
    """A setting without what makes no other environment: the module of an id, the time limit."""
    if key == ENV_ID:
        return str(value).rpartition(":")[2]
    return without_limit(value) if key == KWARGS else value


def _require_playable(row: Row, experiment: str, given: Collection[str]) -> None:
    wrapped = [name for name in BUILDER if row.mapping("environment_config").get(name)]
    if wrapped and ENV_ID not in given:
        raise InvalidInput(
            f"The experiment {experiment} of {row.path} plays its environment through {', '.join(wrapped)}, which "
            f"nobody applies here. Name what is to be played, domain.env_id=ID with domain.entry_point=module:function "
            f"of a function that wraps it, and another experiment: format.experiment=NAME"
        )
