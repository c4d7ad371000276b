"""Making a Gymnasium environment, with messages that say what to change where that fails."""

from __future__ import annotations

import copy
import json
import logging
import os
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import gymnasium
from gymnasium.envs.registration import EnvSpec

from pipeline.digest import digest_source
from pipeline.envs.entry_point import import_named
from pipeline.envs.gym.find import (
    Creator,
    arguments,
    creator_error,
    creator_of,
    named_arguments,
    of_entry_point,
    registered,
    without_version_advice,
)
from pipeline.envs.gym.keywords import CHECKER, LIMIT, Keywords, keywords_of
from pipeline.envs.gym.names import NO_ID
from pipeline.envs.gym.versions import version_of
from pipeline.errors import InvalidInput, unknown_name

log = logging.getLogger(__name__)

RENDER_MODE, PICTURES = "render_mode", "rgb_array"

QUIET = {
    "PYGAME_HIDE_SUPPORT_PROMPT": "1",
    "SDL_VIDEODRIVER": "dummy",
    "SDL_AUDIODRIVER": "dummy",
    "SDL_NO_SIGNAL_HANDLERS": "1",
}
"""For pygame, which draws many environments: no greeting, no window, no sound. SDL leaves SIGTERM alone, which it would
otherwise catch, so that a worker that is told to end went on. What is set already is kept."""


@dataclass(frozen=True)
class Made:
    """A new environment. `blind` says why it cannot draw; empty where it can."""

    env: gymnasium.Env[Any, Any]
    blind: str = ""


class EnvironmentRecipe:
    """Which environment, and how it is made. Nothing is imported before it is asked for.

    Args:
        env_id: a registered id, `module:id`, or with `entry_point` any id that Gymnasium would take.
        entry_point: `module:Class`, or `module:function` that returns an environment.
        packages: modules to import first, such as those that register the id.
        kwargs: arguments of the environment, plain JSON. `max_episode_steps` is Gymnasium's own, and so is what only a
            registration takes (`pipeline.envs.gym.keywords`); `render_mode` may be null, for an environment that should
            be made without pictures.
        max_steps: the time limit; None for `max_episode_steps`, else the registered one; -1 for none.

    Raises InvalidInput for settings that contradict each other or are of the wrong kind.
    """

    def __init__(
        self,
        env_id: str | None,
        entry_point: str | None = None,
        packages: str | Sequence[str] = (),
        kwargs: Mapping[str, Any] | None = None,
        max_steps: int | None = None,
    ) -> None:
        if not env_id:
            raise InvalidInput(NO_ID)
        self._kwargs = {str(key): value for key, value in (kwargs or {}).items()}
        _check_json(self._kwargs)
        self._pictures = self._kwargs.pop(RENDER_MODE, PICTURES)
        if self._pictures not in (PICTURES, None):
            raise InvalidInput(
                f"domain.env_kwargs.{RENDER_MODE}={self._pictures} is not possible: pictures are drawn with {PICTURES} "
                f"where they are asked for (render=true), and null makes the environment without. Leave it out."
            )
        self._limit = _limit(self._kwargs.pop(LIMIT, None), max_steps)
        module, _, self._id = env_id.rpartition(":")
        self._packages = [*([module] if module else []), *([packages] if isinstance(packages, str) else packages)]
        self._entry_point = entry_point

    @cached_property
    def _known(self) -> EnvSpec:
        """What Gymnasium knows of it. Imports the packages."""
        for package in self._packages:
            import_named(package, f"domain.packages={package}")
        return of_entry_point(self._id, self._entry_point) if self._entry_point else registered(self._id)

    @cached_property
    def _keywords(self) -> Keywords:
        return keywords_of(self._kwargs, named_arguments(self._creator))

    @cached_property
    def _spec(self) -> EnvSpec:
        """What Gymnasium makes it of: what is known, with what was given for the registration alone."""
        if not self._keywords.registration:
            return self._known
        own = copy.deepcopy(self._known)  # the registry keeps its own
        for name, value in self._keywords.registration.items():
            setattr(own, name, value)
        return own

    @cached_property
    def _creator(self) -> Creator:
        return creator_of(self._known)

    def identity(self) -> dict[str, Any]:
        """JSON facts of all but the environment itself. Imports it. Raises as `make`.

        `source` is BLAKE3 of the file of an entry point that was named, or whose package has no version.
        """
        module, limit = self._creator.__module__, self._limit or self._spec.max_episode_steps
        own = self._entry_point is not None or version_of(module) is None
        return {
            "id": self._spec.id,
            "entry_point": _name(self._creator),
            "source": digest_source(module) if own else None,
            "packages": {name: version_of(name) for name in sorted(self._packages)},
            "kwargs": json.loads(json.dumps({**self._spec.kwargs, **self._keywords.constructor}, default=_name)),
            "wrappers": [wrapper.name for wrapper in self._spec.additional_wrappers],
            "max_steps": None if limit == -1 else limit,
            **({"registration": dict(registration)} if (registration := self._keywords.registration) else {}),
        }

    def make(self) -> Made:
        """A new environment, ready to draw where it can: renderers are opened at the first picture.

        Raises InvalidInput for an environment that cannot be made, UnknownName for an unknown id or argument.
        """
        self._check_arguments()
        blind = "it was made with render_mode=null" if self._pictures is None else _cannot_draw(self._creator)
        if not blind:
            for name, value in QUIET.items():
                os.environ.setdefault(name, value)
            try:
                return Made(self._made({**self._keywords.constructor, RENDER_MODE: PICTURES}))
            except Exception as error:  # a library that draws may be missing; any other reason comes again below
                blind = f"with {RENDER_MODE}={PICTURES} it cannot be made: {creator_error(error)}"
        try:
            made = Made(self._made(self._keywords.constructor), blind)
        except Exception as error:  # an environment may raise anything
            raise self._refusal(error) from error
        log.info("%s is made without pictures: %s", self._spec.id, blind)
        return made

    def _made(self, kwargs: Mapping[str, Any]) -> gymnasium.Env[Any, Any]:
        with without_version_advice():
            # Gymnasium's checker only warns, of less than what is checked here at every step
            checker = {CHECKER: self._keywords.checker is not False}
            return gymnasium.make(self._spec, max_episode_steps=self._limit, **checker, **copy.deepcopy(dict(kwargs)))

    def _check_arguments(self) -> None:
        names = arguments(self._creator)
        for key in self._keywords.constructor if names is not None else ():
            if key not in (names or ()):
                known = {LIMIT, *(names or ())} - {RENDER_MODE}
                raise unknown_name(f"argument of {self._spec.id}", key, known, "They are set in domain.env_kwargs.")

    def _refusal(self, error: Exception) -> InvalidInput:
        if isinstance(error, ImportError | gymnasium.error.DependencyNotInstalled):
            return InvalidInput(f"{self._spec.id} needs a package that is not installed: {error}")
        guilty = {key: value for key, value in self._keywords.constructor.items() if self._works_without(key)}
        if guilty:
            given = ", ".join(f"{key}={json.dumps(value)}" for key, value in guilty.items())
            return InvalidInput(f"{self._spec.id} refuses {given} of domain.env_kwargs: {creator_error(error)}")
        where = traceback.extract_tb(error.__traceback__)[-1]
        return InvalidInput(
            f"{self._spec.id} could not be made with domain.env_kwargs={json.dumps(self._kwargs)}: "
            f"{creator_error(error)} ({where.filename}, line {where.lineno}). "
            f"Arguments are set so: '+domain.env_kwargs={{NAME: VALUE}}'"
        )

    def _works_without(self, key: str) -> bool:
        try:
            self._made({name: value for name, value in self._keywords.constructor.items() if name != key}).close()
        except Exception:  # then this argument alone is not to blame
            return False
        return True


def _cannot_draw(creator: Creator) -> str:
    """Why an environment cannot be made for pictures, as far as its class and signature tell."""
    metadata = getattr(creator, "metadata", None)
    if isinstance(metadata, Mapping) and PICTURES not in (modes := metadata.get("render_modes") or []):
        return f"its metadata names the render modes {', '.join(map(str, modes)) or 'none'}, not {PICTURES}"
    names = arguments(creator)
    return f"it takes no argument {RENDER_MODE}" if names is not None and RENDER_MODE not in names else ""


def _limit(in_kwargs: Any, max_steps: int | None) -> int | None:
    if in_kwargs is not None and max_steps is not None and in_kwargs != max_steps:
        raise InvalidInput(
            f"domain.max_steps={max_steps} and domain.env_kwargs.{LIMIT}={in_kwargs} are two time limits. Give one."
        )
    limit = in_kwargs if max_steps is None else max_steps
    whole = isinstance(limit, int) and not isinstance(limit, bool)
    if limit is not None and not (whole and (limit >= 1 or limit == -1)):
        raise InvalidInput(f"The time limit must be a whole number of at least 1, or -1 for none; it is {limit}.")
    return limit


def _check_json(kwargs: Mapping[str, Any]) -> None:
    try:
        json.dumps(kwargs, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise InvalidInput(f"domain.env_kwargs must be plain values, as YAML has them: {error}") from error


def _name(thing: Any) -> str:
    """Module and name of a class, a function, or an object's class: the same in every process."""
    named = thing if hasattr(thing, "__qualname__") else type(thing)
    return f"{named.__module__}:{named.__qualname__}"
