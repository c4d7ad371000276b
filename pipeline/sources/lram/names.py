"""How LRAM spells things: folders, files and the arrays in them. Whoever writes such folders spells them alike."""

from __future__ import annotations

import re

from pipeline.domains.atari import ACTIONS as JOYSTICK
from pipeline.domains.atari import ROMS
from pipeline.wording import slug

STATES, ACTIONS, REWARDS, DONES, RETURNS_TO_GO = "states", "actions", "rewards", "dones", "returns_to_go"
ENCODED = "states_encoded"
"""In the place of `states` in files whose pictures a network has encoded."""

ARRAYS = frozenset({STATES, ACTIONS, REWARDS, DONES, RETURNS_TO_GO, ENCODED})
"""What files hold."""

LENGTHS, RETURNS, ORDER = "episode_lengths.json", "episode_returns.json", "episode_trjids.json"
SEEDS = "episode_seeds.json"
STATS = "stats.json"
FACTS = "episode_facts.json"
"""Ours: what an episode says once and its file has no place for, of each name {stem: value}."""

STORED = "lram"
"""The key of `provenance.json` that says how rows looked before they were written: `{"observation": {"dtype", "shape"},
"action": {"dtype"}}`."""

SUFFIXES = (".npz", ".hdf5", ".pkl")
"""In the order in which LRAM's buffer lists the files of a folder."""


def folder_name(domain: str, task: str) -> str:
    """The folder of a task: an Atari game's is its ROM's name, all others are ours, in kebab case.

    >>> folder_name("atari", "bankheist"), folder_name("gym", "CartPole-v1")
    ('bank-heist', 'cartpole-v1')
    """
    name = ROMS.get(task, task) if domain == "atari" else task
    return slug(name) or "task"


def stem(number: int) -> str:
    """Of the file of episode `number`.

    >>> stem(12)
    '000000012'
    """
    return f"{number:09}"


def same_letters(name: str) -> str:
    """What two spellings of a name have in common.

    >>> same_letters("Bank-Heist") == same_letters("bankheist")
    True
    """
    return "".join(re.findall(r"[a-z0-9]", name.lower()))


def joystick_places(stated: object) -> list[int] | None:
    """The places among Atari's 18 of actions that a manifest states by name or by place; None where it does not.

    >>> joystick_places(["NOOP", "RIGHT"])
    [0, 3]
    """
    if not isinstance(stated, list) or not stated:
        return None
    places = [JOYSTICK.index(each) if each in JOYSTICK else each for each in stated]
    return places if all(type(each) is int and 0 <= each < len(JOYSTICK) for each in places) else None
