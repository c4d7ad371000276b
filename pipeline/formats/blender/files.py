"""The files of one checkpoint of one experiment, under names that know no experiment's id."""

from __future__ import annotations

from pathlib import PurePosixPath

from pipeline.sources.rlhf_blender.names import EPISODES, REWARDS, UNCERTAINTY

RENDERS, THUMBNAILS, ENV_STATES = "renders", "thumbnails", "env_states"
"""Kinds of files; each has a folder of that name, here and below `data/`."""

_NAMES = {
    EPISODES: "benchmark_{}.npz",
    REWARDS: "rewards_{}.npy",
    UNCERTAINTY: "uncertainty_{}.npy",
    RENDERS: "{}.mp4",
    THUMBNAILS: "{}.jpg",
    ENV_STATES: "env_states_{}.npy",
}

KINDS = tuple(_NAMES)
"""In the order in which the files of an episode are written; the last one only where states are stored."""


def episode_file(kind: str, number: int) -> PurePosixPath:
    """Where a file of an episode lies; episodes are numbered from 0.

    >>> str(episode_file("rewards", 3))
    'rewards/rewards_3.npy'
    """
    return PurePosixPath(kind, _NAMES[kind].format(number))
