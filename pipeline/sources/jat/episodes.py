"""Rows of a JAT task joined to whole episodes, one row in memory beside the episode that grows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice, pairwise
from typing import NamedTuple

import numpy as np
from jaxtyping import Int64, Shaped

from pipeline.digest import digest_arrays
from pipeline.domains.babyai import MISSION_TOKENS
from pipeline.episode import Episode
from pipeline.sources.jat.actions import check_jat_actions
from pipeline.sources.jat.kinds import Kind, Steps
from pipeline.sources.jat.layout import Layout
from pipeline.sources.jat.missions import Missions
from pipeline.sources.jat.rows import MASK, REWARDS, Block, RowFile, read_blocks, row_shapes
from pipeline.sources.jat.screens import FrameStack, goes_on, stack_rule
from pipeline.sources.quirks import Quirks


@dataclass(frozen=True)
class JatTask:
    """A task's files and how they are read.

    Attributes:
        domain, name: what it is a task of, and its own name.
        width: steps per row.
        stack: how stacks of frames are stored, where observations are such stacks.
        missions: what names them, where episodes have missions.
    """

    domain: str
    name: str
    files: Sequence[RowFile]
    kind: Kind
    width: int
    stack: FrameStack | None = None
    missions: Missions | None = None


class _Row(NamedTuple):
    """The real steps of one row: (T, ...) arrays."""

    block: Block
    nth: int
    steps: Steps

    @property
    def number(self) -> int:
        return self.block.first_row + self.nth

    def place(self) -> str:
        return self.block.place(self.nth)


def read_episodes(task: JatTask, layout: Layout, start: int, quirks: Quirks) -> Iterator[Episode]:
    """Episodes from number `start` on. Rows before it are not read, unless it takes their stacks to count episodes."""
    skipped = start if layout.undecided.any() else 0
    firsts = layout.first_rows[start - skipped :]
    if len(firsts) < 2:
        return
    rows = _rows(task, layout, int(firsts[0]), quirks)
    whole = _whole(rows, firsts, layout, task.stack, quirks)
    for number, steps in enumerate(islice(whole, skipped, None), start):
        yield _episode(steps, number, task.missions, quirks)


def first_stack_rule(task: JatTask) -> FrameStack:
    """The rule that the stacks of the task's first row follow."""
    block = next(read_blocks(task.files, row_shapes(task.files, task.kind.columns, task.width)))
    real = block.arrays[MASK] != 0
    return stack_rule(task.kind.read(block, real, Quirks())["observation"][0, real[0]])


def _rows(task: JatTask, layout: Layout, first_row: int, quirks: Quirks) -> Iterator[_Row]:
    wanted = {name: column for name, column in task.kind.columns.items() if name != MASK}
    seen: set[bytes] = set()
    for block in read_blocks(task.files, row_shapes(task.files, wanted, task.width), first_row):
        real = layout.real(block, task.width)
        check_jat_actions(task.domain, task.name, block, real, quirks)
        steps = {**task.kind.read(block, real, quirks), "reward": block.arrays[REWARDS].astype(np.float64, copy=False)}
        for nth, length in enumerate(layout.lengths[block.first_row : block.first_row + len(real)]):
            row = _Row(block, nth, {name: array[nth, :length] for name, array in steps.items()})
            _count_copy(row, seen, quirks)
            yield row


def _count_copy(row: _Row, seen: set[bytes], quirks: Quirks) -> None:
    """Count a row of which another with the same steps came before; the same episode may really have come twice."""
    digest = digest_arrays(row.steps)
    copies = int(digest in seen)
    quirks.count(
        "copied_rows",
        "Rows that were read and have the very steps of an earlier one: {count}.",
        copies,
        rule="copies are kept",
    )
    seen.add(digest)


def _whole(
    rows: Iterator[_Row],
    firsts: Int64[np.ndarray, "boundaries"],
    layout: Layout,
    stack: FrameStack | None,
    quirks: Quirks,
) -> Iterator[Steps]:
    """The step arrays of each episode; rows of `firsts[i]` to `firsts[i + 1]` are one, or several where undecided."""
    for first, last in pairwise(firsts):
        growing = _Growing(int(layout.lengths[first:last].sum()))
        newest = None
        for row in islice(rows, int(last - first)):
            steps = dict(row.steps)
            if stack:
                stacks = steps["observation"]
                if newest is not None and layout.undecided[row.number - 1]:
                    if not goes_on(newest, stacks[0]):
                        yield growing.finish()
                        growing, newest = _Growing(growing.room - growing.length), None
                    elif stack.may_start(stacks[0]):
                        quirks.count(
                            "still_screens",
                            "after {count} of the full rows that were read the screen stands still, where both fits; "
                            "there the episode goes on.",
                            rule="where both fits, the episode goes on",
                        )
                steps["observation"] = stack.single(newest, stacks, row.place)
                newest = stacks[-1]
            growing.add(steps)
        yield growing.finish()


class _Growing:
    """The step arrays of one episode, filled row by row, with the row of zeros after the last.

    Room for `room` steps is reserved at once; memory that is not filled is never touched, so it costs nothing.
    """

    def __init__(self, room: int) -> None:
        self.room, self.length = room, 0
        self._arrays: dict[str, np.ndarray] = {}

    def add(self, steps: Mapping[str, Shaped[np.ndarray, "n ..."]]) -> None:
        count = len(steps["reward"])
        for name, array in steps.items():
            if name not in self._arrays:
                self._arrays[name] = np.zeros((self.room + 1, *array.shape[1:]), array.dtype)
            self._arrays[name][self.length : self.length + count] = array
        self.length += count

    def finish(self) -> dict[str, Shaped[np.ndarray, "rows ..."]]:
        """(T+1, ...) each."""
        return {name: array[: self.length + 1] for name, array in self._arrays.items()}


def _episode(steps: Steps, number: int, missions: Missions | None, quirks: Quirks) -> Episode:
    length = len(steps["reward"]) - 1
    reward, discount = np.zeros(length + 1), np.ones(length + 1)
    reward[: length - 1] = steps["reward"][1:length]  # the reward after the last action is not in the dataset
    discount[length] = 0.0
    mission = ""
    if missions:
        tokens = steps[MISSION_TOKENS][:length]
        quirks.count(
            "varying_missions",
            "{count} episodes change the tokens of their mission; those are stored, and named by the first.",
            int((tokens != tokens[0]).any()),
            rule="the first row names the mission",
        )
        mission = missions.of(number, tokens[0])
    return Episode(
        steps={**steps, "reward": reward, "discount": discount},
        mission=mission,
        has_final_observation=False,
        has_final_reward=False,
    )
