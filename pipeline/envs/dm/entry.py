"""dm_env environments of the user's own, a new one for each episode."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from importlib.metadata import version
from typing import Any

import dm_env  # type: ignore[import-untyped]  # dm_env has no types

from pipeline.envs.entry_point import check_arguments, entry_point_facts, load_entry_point
from pipeline.errors import InvalidInput

SEED_ARGUMENTS = ("seed", "random", "random_state")
"""Tried in this order where the user names none."""


class EpisodeMaker:
    """Makes a new environment of an entry point for each episode: dm_env has no seeds, so an episode's seed is an
    argument.

    Args:
        entry_point: `module:Class` or `module:function`.
        arguments: its other arguments.
        seed_argument: the argument that takes the seed, a whole number; None for the first of `SEED_ARGUMENTS` that the
            signature has; False for an environment that draws nothing.

    `begin` and `identity` raise InvalidInput where no argument takes the seed, where the arguments do not fit, or where
    something else than a dm_env environment comes.
    """

    limit: int | None = None

    def __init__(self, entry_point: str, arguments: Mapping[str, Any], seed_argument: str | bool | None = None) -> None:
        self._entry_point, self._arguments, self._asked = entry_point, dict(arguments), seed_argument
        if seed_argument is True:
            raise InvalidInput("domain.seed_argument=true names no argument; write its name, or false for none.")
        self._env: Any = None

    def begin(self, seed: int) -> Any:
        """A new environment; the one before is closed."""
        make, name = load_entry_point(self._entry_point), self._seed_argument
        arguments = self._arguments | ({} if name is None else {name: seed})
        check_arguments(self._entry_point, arguments)
        if self._env is not None:
            self._env.close()
        self._env = make(**arguments)
        if not isinstance(self._env, dm_env.Environment):
            raise InvalidInput(
                f"{self._entry_point} gave a {type(self._env).__name__}, which is no dm_env.Environment. Gymnasium's "
                f"environments are those of domain=gym."
            )
        return self._env

    def identity(self) -> Mapping[str, Any]:
        """The entry point, its source, its arguments, and which of them takes the seed."""
        facts = entry_point_facts(self._entry_point)
        return {
            "simulator": "dm_env",
            **facts,
            "versions": {**facts["versions"], "dm-env": version("dm-env")},
            "kwargs": self._arguments,
            "seed_argument": self._seed_argument,
        }

    @property
    def _seed_argument(self) -> str | None:
        if self._asked is False:
            return None
        parameters = _parameters(load_entry_point(self._entry_point))
        if isinstance(self._asked, str):
            name: str | None = self._asked
        else:
            name = next((name for name in SEED_ARGUMENTS if name in parameters), None)
        if name is None:
            raise InvalidInput(
                f"{self._entry_point} has none of the arguments {', '.join(SEED_ARGUMENTS)}, so its episodes cannot "
                f"follow from a seed. Its arguments: {', '.join(parameters) or 'none'}. Name the one that takes a seed "
                f"with domain.seed_argument=NAME; domain.seed_argument=false says that the environment draws nothing."
            )
        if name in self._arguments:
            raise InvalidInput(
                f"domain.env_kwargs sets {name}, which takes each episode's own seed. Leave it out; seed= moves all."
            )
        return name


def _parameters(make: Callable[..., Any]) -> list[str]:
    try:
        return list(inspect.signature(make).parameters)
    except ValueError:  # native code may have no signature
        return []
