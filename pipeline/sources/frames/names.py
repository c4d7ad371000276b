"""How folders of screens and actions are called, and under which names a dataset keeps what they say."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator

from pipeline.domains.atari import SAMPLE_FACTORY

EPISODE, FRAME, ACTION = "episode_", "frame_", "action_"
"""Begin the names of an episode's folder, of a screen's file and of an action's."""

RANDOMNESS_MARK = "_rand"

NO_RANDOMNESS = "0.0"
"""What a folder without the mark counts as."""

ENVIRONMENT = "environment_folder"
"""In the identity of a source: the name of the folder of all episodes, `atari_alien`."""

FOLDER = "folder"
"""Among the reset's texts of an episode: the name of its folder, `episode_000_rand0.2`."""

RANDOMNESS = "randomness"
"""Among the reset's infos: what that name says."""

ACTION_TEXT = "action_text"
"""Among the texts of infos: what the action's file holds."""

FRAME_NUMBER = "frame_number"
"""Among the infos: the number in the name of the screen's file."""

_INDEX = re.compile(r"\d+:\s+")
_ATARI = ("{}", "ale{}", "{}v5", "ale{}v5", "{}v4", "{}v0", "{}noframeskipv4", "{}noframeskipv0")


def spellings(domain: str, task: str) -> set[str]:
    """How the folder of a task may be called, letters and digits alone in lower case."""
    names = [task, SAMPLE_FACTORY.get(task, task)] if domain == "atari" else [task]
    return {folder_letters(each) for name in names for each in _spelt(domain, name)}


def _spelt(domain: str, name: str) -> Iterator[str]:
    yield from (name, f"{domain}{name}")
    if domain == "atari":
        yield from (pattern.format(name) for pattern in _ATARI)


def folder_letters(name: str) -> str:
    """What two spellings of a name have in common.

    >>> folder_letters("ALE-Pong-v5")
    'alepongv5'
    """
    return "".join(character for character in name.lower() if character.isalnum())


def randomness_text(folder: str) -> str:
    """What an episode's folder says of its randomness, as it stands there.

    >>> randomness_text("episode_000_rand0.20"), randomness_text("episode_000")
    ('0.20', '0.0')
    """
    return folder.rpartition(RANDOMNESS_MARK)[2] if RANDOMNESS_MARK in folder else NO_RANDOMNESS


def randomness_number(text: str) -> float | None:
    """The same as a number; None where it is none.

    >>> randomness_number("0.2"), randomness_number("high")
    (0.2, None)
    """
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def clean(text: str) -> str:
    """An action's text without white space around it and without its number, as `8: DOWNRIGHT` has one.

    >>> clean("8: DOWNRIGHT "), clean("8:DOWN"), clean("LEFT")
    ('DOWNRIGHT', '8:DOWN', 'LEFT')
    """
    return _INDEX.sub("", text.strip(), count=1) if _INDEX.match(text.strip()) else text.strip()
