"""How RLHF-Blender spells things: folders and files. Whoever writes such trees spells them alike."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import PurePosixPath

from pipeline.domains.atari import ROMS
from pipeline.envs.mujoco import NAMES as MUJOCO
from pipeline.wording import slug

DATA = "data"
"""The folder of all files, below the one in which the server runs."""

DATABASE = "rlhfblender.db"
"""The registry, beside it."""

EPISODES, REWARDS, UNCERTAINTY = "episodes", "rewards", "uncertainty"
"""Kinds of files that hold numbers; each has a folder of that name."""

LEFT_OVER = "saved_benchmarks"
"""Whole runs before they are split into episodes: what a crash leaves there."""

PROVENANCE = "provenance"
"""The folder of what an export of ours says of itself; RLHF-Blender does not look into it."""

EXPERIMENT = "experiment.json"
"""What an export of ours says of itself."""

_BACKEND = {EPISODES: "benchmark_{}.npz", REWARDS: "rewards_{}.npy", UNCERTAINTY: "uncertainty_{}.npy"}
_DOCUMENTED = {EPISODES: "{}.npz", REWARDS: "{}.npy", UNCERTAINTY: "{}.npy"}

_NUMBERED = re.compile(r"(benchmark_)?(0|[1-9]\d{0,8})\.npz")
_CHECKPOINT = re.compile(r"(.+)_(\d{1,9})_(-?\d{1,18})")
_VERSION = re.compile(r"-v\d+$")
_FAMILIES = re.compile(r"^(ALE|BabyAI|MiniGrid|metaworld|dmc|toy)[-/]")
_GAME_KINDS = re.compile(r"(NoFrameskip|Deterministic)$")


def episode_number(name: str) -> tuple[bool, int] | None:
    """Whether a file of an episode has the server's name (or the manual's), and its number; None for other files.

    >>> episode_number("benchmark_12.npz"), episode_number("3.npz"), episode_number("benchmark_03.npz")
    ((True, 12), (False, 3), None)
    """
    found = _NUMBERED.fullmatch(name)
    return (bool(found[1]), int(found[2])) if found else None


def episode_file_name(kind: str, number: int, documented: bool) -> str:
    """The name of an episode's file, as the server opens it or as the manual has it."""
    return (_DOCUMENTED if documented else _BACKEND)[kind].format(number)


@dataclass(frozen=True)
class CheckpointName:
    """What the path of a checkpoint's folder says, below that of a kind of files.

    Attributes:
        environment: its id as folders spell it; empty where the path does not say it.
        experiment: the number of the experiment; None likewise.
        folder: the experiment's name, of which the manual's layout makes a folder; empty in the server's.
        checkpoint: as it is written.
    """

    environment: str
    experiment: int | None
    folder: str
    checkpoint: str

    @staticmethod
    def of(place: PurePosixPath) -> CheckpointName:
        """
        >>> CheckpointName.of(PurePosixPath("CartPole-v1/CartPole-v1_1_-1"))
        CheckpointName(environment='CartPole-v1', experiment=1, folder='', checkpoint='-1')
        >>> CheckpointName.of(PurePosixPath("Mine/CartPole-v1_1_50"))
        CheckpointName(environment='CartPole-v1', experiment=1, folder='Mine', checkpoint='50')
        """
        parts = place.parts
        found = _CHECKPOINT.fullmatch(parts[-1]) if parts else None
        if found is None:
            return CheckpointName("", None, parts[0] if len(parts) > 1 else "", parts[-1] if parts else "")
        words, number, checkpoint = [*parts[:-1], found[1]], int(found[2]), found[3]
        half = len(words) // 2
        if len(words) % 2 == 0 and words[:half] == words[half:]:
            return CheckpointName("/".join(words[:half]), number, "", checkpoint)
        above = words[0] if len(words) > 1 else ""
        return CheckpointName("/".join(words[1:] or words), number, above, checkpoint)


def is_environment_of(domain: str, task: str, environment: str) -> bool:
    """Whether an environment's id, as it is or as folders spell it, may be that of a task.

    >>> is_environment_of("gym", "cartpole-v1", "CartPole-v1"), is_environment_of("gym", "cartpole-v1", "CartPole-v0")
    (True, False)
    >>> is_environment_of("atari", "spaceinvaders", "SpaceInvadersNoFrameskip-v4")
    True
    """
    named = _letters(environment)
    if named in (_letters(task), _letters(f"{domain}-{task}")):
        return True
    core = _GAME_KINDS.sub("", _VERSION.sub("", _FAMILIES.sub("", environment)))
    return domain != "gym" and _letters(core) == _letters(_own_name(domain, task))


def _own_name(domain: str, task: str) -> str:
    return {"atari": ROMS, "mujoco": MUJOCO}.get(domain, {}).get(task, task)


def _letters(name: str) -> str:
    return slug(name).replace("-", "")
