"""Environments that reset themselves inside of `step`, where whoever steps them does not see it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

import gymnasium as gym


class ResetCount:
    """Stands in the place of an environment's `reset`, and counts the calls; whoever copies that copies it, too."""

    def __init__(self, reset: Callable[..., Any]) -> None:
        self.count = 0
        self.__wrapped__ = reset  # where Python looks for the signature

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        self.count += 1
        return self.__wrapped__(*arguments, **named)


def count_resets(env: gym.Env) -> ResetCount:
    """Counts the resets of the innermost environment from now on, whichever wrapper asks for them.

    Always 0 for an environment that takes no new attributes.
    """
    innermost = env.unwrapped
    counter = ResetCount(innermost.reset)
    with contextlib.suppress(AttributeError, TypeError):
        innermost.reset = counter  # type: ignore[method-assign]  # that is the purpose
    return counter


def stop_counting(env: gym.Env, counter: ResetCount) -> None:
    """Give the innermost environment its own `reset` back, if this counter stands there."""
    innermost = env.unwrapped
    if vars(innermost).get("reset") is counter:
        del innermost.reset
