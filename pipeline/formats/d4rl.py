"""D4RL HDF5: one file a task with flat arrays of T rows an episode, and the next observations beside them."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import h5py
import numpy as np

from pipeline.episode import INFO, PRESENT
from pipeline.formats.contract import Outgoing
from pipeline.formats.episode_table import write_origin, write_table
from pipeline.formats.flat import FlatEpisodes
from pipeline.formats.flat_hdf5 import FlatHdf5Format
from pipeline.formats.hdf5 import FileColumn, flag_column
from pipeline.sources.d4rl import EPISODES, LAST_INFOS, D4rlSource
from pipeline.sources.d4rl_file import (
    ACTIONS,
    DISCOUNTS,
    INFOS,
    MASKS,
    NEXT,
    OBSERVATIONS,
    REWARDS,
    TERMINALS,
    TIMEOUTS,
)

FORM = "d4rl-hdf5"
"""What a file says that it is."""

NAMES = {"action": ACTIONS, "reward": REWARDS, "discount": DISCOUNTS}

BLOCK_BYTES = 2**24
"""Raw bytes of an info that are looked through at a time."""


class D4rlFormat(FlatHdf5Format):
    """Arrays of T rows an episode, with the next observations; loses nothing."""

    name = "d4rl"

    def columns(self, data: Outgoing, episodes: FlatEpisodes) -> Iterator[FileColumn]:
        states = int(episodes.lengths.sum())
        for name, row in episodes.specs.items():
            if name != "discount" or data.dataset.has_own_discounts:
                yield FileColumn(_path(name, OBSERVATIONS), row, states, partial(episodes.read_states, name))
            if name.startswith("observation"):
                yield FileColumn(_path(name, NEXT), row, states, partial(episodes.read_states, name, after=1))
        lasts, terminated = episodes.state_ends - 1, episodes.terminated
        yield flag_column(TERMINALS, states, lasts[terminated])
        yield flag_column(TIMEOUTS, states, lasts[~terminated])  # of both kinds of readers' ends, an episode has one

    def beside(self, file: h5py.File, data: Outgoing, episodes: FlatEpisodes) -> None:
        write_table(file, EPISODES, episodes, episodes.state_ends - episodes.lengths)
        write_origin(file, EPISODES, FORM, data, episodes)
        for name in [name for name in episodes.specs if name.startswith(INFO)]:
            _write_last_infos(file, name, episodes)

    def source(self, path: Path) -> D4rlSource:
        return D4rlSource(str(path))


def _path(name: str, observations: str) -> str:
    """Where a step array lies in the file."""
    if name.startswith(INFO):
        return f"{INFOS}/{name.removeprefix(INFO)}"
    if name.startswith(PRESENT):
        return f"{MASKS}/{name.removeprefix(PRESENT)}"
    return NAMES.get(name) or observations + name.removeprefix("observation")


def _write_last_infos(file: h5py.File, name: str, episodes: FlatEpisodes) -> None:
    """What an info holds beside the last observations, if that is something: the rows of steps have no place for it."""
    row = episodes.specs[name]
    block = max(1, BLOCK_BYTES // max(1, row.nbytes))
    for start in range(0, episodes.rows, block):
        stop = min(start + block, episodes.rows)
        lasts = episodes.lasts(start, stop)
        values = episodes.read(name, start, stop)[lasts]
        if values.any():
            first = int(np.searchsorted(episodes.ends, start + 1))
            shape = (len(episodes), *row.shape)
            dataset = file.require_dataset(f"{LAST_INFOS}/{name.removeprefix(INFO)}", shape, row.dtype)
            dataset[first : first + len(lasts)] = values
