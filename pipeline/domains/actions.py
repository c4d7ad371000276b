"""What the numbers of discrete actions mean, by what a dataset's manifest says of its simulator."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pipeline.domains.atari import ACTIONS, minimal_actions
from pipeline.domains.babyai import MOVES

TOY = ("stay", "up", "down", "left", "right")

_GYMNASIUM = {
    "CartPoleEnv": ("left", "right"),
    "MountainCarEnv": ("left", "none", "right"),
    "AcrobotEnv": ("negative", "none", "positive"),
    "LunarLander": ("none", "left engine", "main engine", "right engine"),
    "BlackjackEnv": ("stick", "hit"),
    "CliffWalkingEnv": ("up", "right", "down", "left"),
    "FrozenLakeEnv": ("left", "down", "right", "up"),
    "TaxiEnv": ("south", "north", "east", "west", "pickup", "dropoff"),
}
"""Gymnasium's own environments with discrete actions, by their class, as its documentation names the actions."""


def action_names(parameters: Mapping[str, Any]) -> dict[int, str]:
    """What a dataset's action numbers mean, from its manifest's `parameters`; empty where nobody says.

    An Atari console writes names, `["NOOP", "FIRE"]`; a log of its games the places among all 18, `[0, 1]`. Other
    simulators are known by what they say of themselves.

    >>> action_names({"source": {"actions": [0, 3]}})
    {0: 'NOOP', 1: 'RIGHT'}
    >>> action_names({"environment": {"simulator": "toy"}})[1]
    'up'
    """
    for maker in ("environment", "source"):
        stated = parameters.get(maker, {}).get("actions")
        if isinstance(stated, list) and all(_names_one(each) for each in stated):
            return {number: each if isinstance(each, str) else ACTIONS[each] for number, each in enumerate(stated)}
    return dict(enumerate(_known(parameters.get("environment", {}))))


def _names_one(action: object) -> bool:
    return isinstance(action, str) or (isinstance(action, int) and 0 <= action < len(ACTIONS))


def _known(environment: Mapping[str, Any]) -> tuple[str, ...]:
    """The names that a simulator's actions always have."""
    module, _, kind = str(environment.get("entry_point", "")).partition(":")
    if environment.get("simulator") == "toy":
        return TOY
    if environment.get("simulator") == "minigrid" or module.startswith("minigrid."):
        return MOVES
    if module.startswith("ale_py."):
        return _of_console(environment.get("kwargs", {}))
    return _GYMNASIUM.get(kind, ()) if module.startswith("gymnasium.envs.") else ()


def _of_console(arguments: Mapping[str, Any]) -> tuple[str, ...]:
    """Of an Atari game of ale-py's own; none where the actions are real numbers, or nobody knows its set."""
    if arguments.get("continuous") or not isinstance(game := arguments.get("game"), str):
        return ()
    if arguments.get("full_action_space"):
        return ACTIONS
    return tuple(ACTIONS[number] for number in minimal_actions(game.replace("_", "")))
