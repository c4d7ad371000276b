"""Who takes which of the keywords that a user gives for a Gymnasium environment."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from pipeline.errors import InvalidInput

LIMIT, CHECKER = "max_episode_steps", "disable_env_checker"

REGISTRATION = ("reward_threshold", "nondeterministic", "order_enforce")
"""What only a registration takes: it is set on a copy of the registered one."""

NEVER = ("id", "entry_point", "vector_entry_point", "additional_wrappers", "kwargs")
"""What a registration takes, too, but means another environment, or is a setting of its own."""

BUILDER = ("env_wrapper", "vec_env_wrapper", "vec_env_kwargs", "normalize", "normalize_kwargs", "frame_stack")
"""What RLHF-Blender's own builder of environments takes out of an experiment's settings."""

_INSTEAD = {
    "id": "Name the environment: domain.env_id=ID",
    "entry_point": "Name its class: domain.entry_point=module:Class",
    "vector_entry_point": "Environments are played one by one, each made by domain.entry_point.",
    "additional_wrappers": "Wrap it in a function that returns it, and name that: domain.entry_point=module:function",
    "kwargs": "Its arguments stand in domain.env_kwargs themselves: '+domain.env_kwargs={difficulty: hard}'",
}

_IN_A_FUNCTION = "Wrap it in a function that returns it, and name that: domain.entry_point=module:function"
_WRAPPED = {
    **dict.fromkeys(("env_wrapper", "vec_env_wrapper", "vec_env_kwargs"), _IN_A_FUNCTION),
    "normalize": "An agent's own statistics are applied by policy.normalize.",
    "normalize_kwargs": "An agent's own statistics are applied by policy.normalize.",
    "frame_stack": "An agent is shown several frames by policy.stack=N.",
}


@dataclass(frozen=True)
class Keywords:
    """The keywords of an environment, by who takes them.

    Attributes:
        constructor: goes to the environment itself.
        checker: whether Gymnasium's checker is left out; None where nobody has said.
        registration: is set on a copy of the registered environment's specification.
    """

    constructor: Mapping[str, Any] = field(default_factory=dict)
    checker: bool | None = None
    registration: Mapping[str, Any] = field(default_factory=dict)


def keywords_of(given: Mapping[str, Any], listed: Collection[str]) -> Keywords:
    """Sort keywords. What a constructor lists as a parameter is its own, whatever it is called.

    >>> keywords_of({"reward_threshold": 200, "difficulty": "hard"}, ["difficulty"]).registration
    {'reward_threshold': 200}

    Raises InvalidInput for what no environment can be given, and for a value of the wrong kind.
    """
    others = {name: value for name, value in given.items() if name not in listed}
    for name in others:
        if name in NEVER:
            raise InvalidInput(f"domain.env_kwargs.{name} is no argument of an environment. {_INSTEAD[name]}")
        if name in BUILDER:
            raise InvalidInput(
                f"domain.env_kwargs.{name} is for RLHF-Blender's own builder of environments; here an environment is "
                f"played as it is. {_WRAPPED[name]}"
            )
    registration = {name: value for name, value in others.items() if name in REGISTRATION}
    _check(others)
    return Keywords(
        {name: value for name, value in given.items() if name not in registration and not _is_checker(name, others)},
        others.get(CHECKER),
        registration,
    )


def _is_checker(name: str, others: Collection[str]) -> bool:
    return name == CHECKER and name in others


def _check(others: Mapping[str, Any]) -> None:
    threshold = others.get("reward_threshold")
    if threshold is not None and (isinstance(threshold, bool) or not isinstance(threshold, int | float)):
        raise InvalidInput(f"domain.env_kwargs.reward_threshold={threshold} must be a number.")
    for name in ("nondeterministic", "order_enforce", CHECKER):
        if name in others and not isinstance(others[name], bool):
            raise InvalidInput(f"domain.env_kwargs.{name}={others[name]} must be true or false.")
