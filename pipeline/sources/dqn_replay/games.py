"""The 60 games of the DQN Replay Dataset: our names, the bucket's, and what each game's action numbers mean."""

from __future__ import annotations

from pipeline.domains.atari import ROMS
from pipeline.errors import InvalidInput, unknown_name

LEFT_OUT = ("defender", "surround")
"""Games of ale-py's list that nobody logged."""

GAMES = {task: "".join(word.capitalize() for word in rom.split("_")) for task, rom in ROMS.items()}
"""Our name -> the bucket's, which is the ROM's in camel case: `spaceinvaders` -> `SpaceInvaders`."""

for _task in LEFT_OUT:
    del GAMES[_task]


def check_domain(domain: str) -> None:
    """Raises InvalidInput for another domain than Atari."""
    if domain != "atari":
        raise InvalidInput(f"source=dqn_replay holds Atari games, not {domain}: set domain=atari.")


def bucket_name(domain: str, task: str) -> str:
    """The folder of a game in the bucket. Raises InvalidInput for another domain, UnknownName for another game."""
    check_domain(domain)
    if task not in GAMES:
        raise unknown_name("game of the DQN Replay Dataset", task, GAMES, f"It has 60 games; {task} was not logged.")
    return GAMES[task]
