"""Finding what a setting names: modules, registered environments, classes of the user's own."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any

import gymnasium
from gymnasium.envs.registration import EnvSpec, registry

from pipeline.envs.entry_point import load_entry_point
from pipeline.errors import InvalidInput, unknown_name
from pipeline.wording import error_text

Creator = Callable[..., Any]
"""A class of environments, or a function that returns one."""

ANOTHER_PACKAGE = (
    "One of another package is known once its package is imported: 'domain.packages=[NAME]', for example [ale_py]; one "
    "that nobody registers needs domain.entry_point=module:Class."
)


def registered(env_id: str) -> EnvSpec:
    """The environment of an id, with its version. Raises UnknownName with the nearest ids."""
    if env_id not in registry:
        raise unknown_name("Gymnasium environment", env_id, registry, ANOTHER_PACKAGE)
    return registry[env_id]


def of_entry_point(env_id: str, entry_point: str) -> EnvSpec:
    """The environment of an entry point; the registered one where the id stands for the very same.

    Raises InvalidInput where the id stands for another one or cannot be one, and as `load_entry_point`.
    """
    own = load_entry_point(entry_point)
    known = registry.get(env_id)
    if known is None:
        try:
            return EnvSpec(env_id, own)
        except gymnasium.error.Error as error:
            raise InvalidInput(f"domain.env_id={env_id} cannot be an id: {error}") from None
    if creator_of(known) is not own:
        raise InvalidInput(
            f"{env_id} is registered with the entry point {known.entry_point}, domain.entry_point={entry_point} is "
            f"another. Leave domain.entry_point out, or choose another domain.env_id."
        )
    return known


def creator_of(spec: EnvSpec) -> Creator:
    """What makes the environment. Raises InvalidInput where that cannot be imported."""
    if callable(spec.entry_point):
        return spec.entry_point
    if not spec.entry_point:
        raise InvalidInput(f"{spec.id} is registered without an entry point. Give it: domain.entry_point=module:Class")
    module, _, name = spec.entry_point.partition(":")
    try:
        creator: Creator = getattr(import_module(module), name)
    except Exception as error:  # a module may raise anything
        raise InvalidInput(
            f"{spec.id} is registered as {spec.entry_point}, which cannot be imported: {creator_error(error)}"
        ) from error
    return creator


def arguments(creator: Creator) -> list[str] | None:
    """Names of a creator's arguments; None where it takes any, or does not tell."""
    parameters = _parameters(creator)
    if parameters is None or any(each.kind == each.VAR_KEYWORD for each in parameters):
        return None
    return named_arguments(creator)


def named_arguments(creator: Creator) -> list[str]:
    """Names of the arguments that a creator lists, whether or not it takes others, too."""
    named = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    return [each.name for each in _parameters(creator) or () if each.kind in named]


def _parameters(creator: Creator) -> list[inspect.Parameter] | None:
    try:
        return [*inspect.signature(creator).parameters.values()]
    except (TypeError, ValueError):
        return None


def creator_error(error: Exception) -> str:
    """An error of an environment's creator in a line, without what Gymnasium adds to it."""
    return error_text(error).split(" was raised from the environment creator for ")[0]


@contextmanager
def without_version_advice() -> Iterator[None]:
    """Hide Gymnasium's advice to take a newer version: the id is meant, and the identity names it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        yield
