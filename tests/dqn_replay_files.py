"""Makes DQN Replay files by playing Dopamine's circular buffer, and says by plain loops what a reader must give back.

Shares nothing with the importer. A *record* is one slot's content; records are numbered from 0 over the whole run, in
the order in which they were added, padding included. Record r lies in slot r % capacity.
"""

from __future__ import annotations

import gzip
import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

FIELDS = ("observation", "action", "reward", "terminal")
SIDE = 84
PADDING = 3
TIME_LIMIT = 27_000

FULL_ACTIONS = {  # the games of the tests: folder -> the joystick's actions behind the numbers in the file
    "Pong": [0, 1, 3, 4, 11, 12],
    "Breakout": [0, 1, 3, 4],
    "Freeway": [0, 2, 5],
    "Qbert": [0, 1, 2, 3, 4, 5],
    "Assault": [0, 1, 2, 3, 4, 11, 12],
}


@dataclass(frozen=True)
class Played:
    """An episode as it was played: T frames (T, 84, 84) uint8, actions (T,) int32 and clipped rewards (T,) float32.

    Attributes:
        first: number of its first record, which is padding where the run has any.
        ended: False where the run was over before the episode was.
    """

    frames: np.ndarray
    actions: np.ndarray
    rewards: np.ndarray
    first: int
    padding: int
    ended: bool

    @property
    def real(self) -> int:
        """Number of the first record that is not padding."""
        return self.first + self.padding

    @property
    def stop(self) -> int:
        """Number of the record after its last one."""
        return self.real + len(self.actions)


@dataclass(frozen=True)
class Dump:
    """A checkpoint: the four arrays of `capacity` rows, and what its add_count file says.

    Attributes:
        number: N of the file names.
        total: records that had been added when it was written.
        add_count: `total`, or in the last dump, depending on the run, the cursor.
        partial: written because the run was over.
    """

    number: int
    total: int
    add_count: int
    partial: bool
    arrays: dict[str, np.ndarray]

    @property
    def capacity(self) -> int:
        return len(self.arrays["action"])

    @property
    def start(self) -> int:
        """Number of the record in row 0."""
        return self.total // self.capacity * self.capacity

    @property
    def cursor(self) -> int:
        """The slot that would have been written next."""
        return self.total % self.capacity


@dataclass(frozen=True, eq=False, repr=False)
class Wanted:
    """An episode that must come back, T rows of each array and how it ended."""

    frames: np.ndarray
    actions: np.ndarray
    rewards: np.ndarray
    terminated: bool
    truncated: bool
    end_reason: str


class ReplayRun:
    """One training of one game that logs a circular buffer of `capacity` records.

    `padding` records of zeros come before an episode's first; Dopamine writes three. With `cursor_at_the_end` the last
    dump's add_count file holds the cursor, as `log_final_buffer` of batch_rl writes it, otherwise the total.
    """

    def __init__(self, capacity: int, padding: int = PADDING, cursor_at_the_end: bool = False) -> None:
        self.capacity, self.padding, self.cursor_at_the_end = capacity, padding, cursor_at_the_end
        self.episodes: list[Played] = []
        self.dumps: list[Dump] = []
        self.added = 0
        shapes = {"observation": (SIDE, SIDE), "action": (), "reward": (), "terminal": ()}
        dtypes = {"observation": np.uint8, "action": np.int32, "reward": np.float32, "terminal": np.uint8}
        self._buffer = {name: np.zeros((capacity, *shapes[name]), dtypes[name]) for name in FIELDS}

    def __repr__(self) -> str:
        lengths = [len(episode.actions) for episode in self.episodes]
        told = f"T {lengths}, dumps at {[dump.total for dump in self.dumps]}"
        return f"ReplayRun(capacity {self.capacity}, padding {self.padding}, {told})"

    def play(self, frames: np.ndarray, actions: np.ndarray, rewards: np.ndarray, ended: bool = True) -> None:
        """Add one episode, step by step, dumping whenever Dopamine would."""
        self.episodes.append(Played(frames, actions, rewards, self.added, self.padding, ended))
        for step in range(len(actions)):
            if step == 0:
                for _ in range(self.padding):
                    self._add(np.zeros((SIDE, SIDE), np.uint8), 0, 0.0, 0)
            self._add(frames[step], actions[step], rewards[step], int(ended and step == len(actions) - 1))
            if self.added % self.capacity == self.capacity - 1:
                self._dump(partial=False)

    def finish(self) -> None:
        """The dump after the training. Raises ValueError where it would be a copy of the one before."""
        if self.added % self.capacity == self.capacity - 1:
            raise ValueError("the run stops right after a dump; play one more episode")
        self._dump(partial=True)

    def _add(self, frame: np.ndarray, action: int, reward: float, terminal: int) -> None:
        for name, value in zip(FIELDS, (frame, action, reward, terminal), strict=True):
            self._buffer[name][self.added % self.capacity] = value
        self.added += 1

    def _dump(self, partial: bool) -> None:
        told = self.added % self.capacity if partial and self.cursor_at_the_end else self.added
        arrays = {name: array.copy() for name, array in self._buffer.items()}
        self.dumps.append(Dump(len(self.dumps), self.added, told, partial, arrays))

    @property
    def cycles_lost(self) -> list[int]:
        """Cycles of the buffer that were never dumped because padding jumped over the moment."""
        seen = {dump.start // self.capacity for dump in self.dumps}
        return [cycle for cycle in range(self.dumps[-1].start // self.capacity) if cycle not in seen]

    @property
    def end_is_unclear(self) -> bool:
        """Whether the last dump's add_count, being the cursor, leaves open what came before it.

        A cycle was lost there, and no dump is left to compare old rows with, or its small files have the same ones.
        """
        if not self.cursor_at_the_end or len(self.cycles_lost) == 0:
            return False
        if len(self.dumps) == 1:
            return True
        before, last = self.dumps[-2:]
        return last.start - before.start != self.capacity and self.copied_rows >= self.capacity - 1 - last.cursor

    @property
    def copied_rows(self) -> int:
        """How many rows before slot C-1 of the last dump have action, reward and terminal as in the one before."""
        before, last = self.dumps[-2:]
        row = self.capacity - 1
        while row > 0 and all(before.arrays[name][row - 1] == last.arrays[name][row - 1] for name in FIELDS[1:]):
            row -= 1
        return self.capacity - 1 - row

    def write_bucket(self, folder: Path, game: str = "Pong", run: int = 1) -> Path:
        """Write the dumps as the bucket has them, below `folder`; returns the folder replay_logs."""
        logs = folder / game / str(run) / "replay_logs"
        logs.mkdir(parents=True)
        for dump in self.dumps:
            for name in FIELDS:
                write_array(logs / f"$store$_{name}_ckpt.{dump.number}.gz", dump.arrays[name])
            write_array(logs / f"add_count_ckpt.{dump.number}.gz", np.array(dump.add_count))
            straddling = [(dump.total - 1 + i) % self.capacity for i in range(5)]
            write_array(logs / f"invalid_range_ckpt.{dump.number}.gz", np.array(straddling))
        return logs

    def write_cache(self, folder: Path, game: str = "Pong", run: int = 1) -> Path:
        """Write the dumps as d4rl-atari keeps its downloads; returns the folder of the run."""
        for dump in self.dumps:
            (folder / game / str(run) / str(dump.number)).mkdir(parents=True)
            for name in FIELDS:
                write_array(folder / game / str(run) / str(dump.number) / f"{name}.gz", dump.arrays[name])
        return folder / game / str(run)


def write_array(path: Path, array: np.ndarray, allow_pickle: bool = False) -> None:
    """One gzip stream that holds one .npy."""
    with gzip.GzipFile(path, "wb", 1, mtime=0) as stream:
        np.save(stream, array, allow_pickle=allow_pickle)


def played_run(
    capacity: int,
    lengths: Sequence[int],
    actions: int = 6,
    padding: int = PADDING,
    black_starts: bool = False,
    black_steps: bool = False,
    cursor_at_the_end: bool = False,
    unfinished: bool = False,
    idle: bool = True,
    dumps: int | None = None,
    seed: int = 0,
) -> ReplayRun:
    """A run of episodes of these lengths, with frames that tell episode and step, and random actions and rewards.

    black_starts: many episodes begin with up to five frames that look like padding. black_steps: so do some frames
    elsewhere. unfinished: the run is over before the last episode is. That episode is one step longer where the run
    would stop right after a dump. idle=False: no step has both action 0 and
    reward 0. dumps: stop before there would be more.

    Raises ValueError where the lengths give fewer dumps or one of them alone gives too many.
    """
    rng = random.Random(seed)
    run = ReplayRun(capacity, padding, cursor_at_the_end)
    for number, length in enumerate(lengths):
        last = number == len(lengths) - 1
        if (
            len(run.dumps) + 1 == dumps
            and run.added % capacity + padding + length >= capacity - 1 > run.added % capacity
        ):
            break
        if last and (run.added + padding + length) % capacity == capacity - 1:
            length += 1
        black = set(range(rng.randrange(6))) if black_starts and rng.random() < 0.6 else set()
        if black_steps:
            black |= {step for step in range(length) if rng.random() < 0.1}
        run.play(*_steps(rng, number, length, actions, black, idle), ended=not (last and unfinished))
    run.finish()
    if dumps not in (None, len(run.dumps)):
        raise ValueError(f"{dumps} dumps were asked for, the episodes give {len(run.dumps)}")
    return run


def _steps(
    rng: random.Random, number: int, length: int, actions: int, black: set[int], idle: bool
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    frames = np.full((length, SIDE, SIDE), 1 + number % 200, np.uint8)
    chosen = np.array([rng.randrange(actions) for _ in range(length)], np.int32)
    rewards = np.array([rng.choice([0, 0, 0, 1, -1]) for _ in range(length)], np.float32)
    if not idle:
        chosen[(chosen == 0) & (rewards == 0)] = 1
    for step in range(length):
        for row, column, value in ((0, 0, step), (0, 83, step // 256), (41, 7, number), (83, 83, step)):
            frames[step, row, column] = value % 256
        if step in black:
            frames[step], chosen[step], rewards[step] = 0, 0, 0.0
    return frames, chosen, rewards


# What a reader must give back


def chronological_numbers(dumps: Sequence[Dump], quality: str, count: int | None, seed: int = 0) -> list[int]:
    """The checkpoints that are read, in reading order."""
    present = [dump.number for dump in dumps]
    if count is None or count >= len(present):
        return present
    if quality == "random":
        return present[:count]
    if quality == "expert":
        return present[::-1][:count]
    return [present[place] for place in random.Random(seed).sample(range(len(present)), count)]


def expected_chronological(run: ReplayRun, numbers: Sequence[int]) -> list[Wanted]:
    """Whole episodes whose every record lies in the checkpoints `numbers`, neighbours in time joined, in reading order.

    An episode comes with the checkpoint that holds its first record. Slot C-1 counts where it joins two checkpoints.
    """
    wanted = []
    for number in numbers:
        dump = run.dumps[number]
        inside = set(range(dump.start, dump.total))
        if _joined(run, number - 1, number, numbers):
            inside.add(dump.start - 1)
        reachable, last = set(inside), number
        while _joined(run, last, last + 1, numbers):
            last += 1
            reachable |= set(range(run.dumps[last].start - 1, run.dumps[last].total))
        for episode in run.episodes:
            records = range(episode.first, episode.stop)
            if not episode.ended or episode.first not in inside or any(record not in reachable for record in records):
                continue
            wanted.append(_whole(episode))
    return wanted


def expected_per_shard(run: ReplayRun, numbers: Sequence[int]) -> list[Wanted]:
    """Whole episodes that lie in the rows of one checkpoint without slot C-1, in reading order."""
    wanted = []
    for number in numbers:
        dump = run.dumps[number]
        for episode in run.episodes:
            if episode.ended and dump.start <= episode.first and episode.stop <= dump.total:
                wanted.append(_whole(episode))
    return wanted


def expected_fragments(run: ReplayRun, numbers: Sequence[int]) -> list[Wanted]:
    """All that each checkpoint's rows without slot C-1 hold of each episode, in reading order."""
    wanted = []
    for number in numbers:
        dump = run.dumps[number]
        for episode in run.episodes:
            steps = [t for t in range(len(episode.actions)) if dump.start <= episode.real + t < dump.total]
            if not steps:
                continue
            has_head = dump.start <= episode.first
            has_tail = episode.ended and steps[-1] == len(episode.actions) - 1
            if has_head and has_tail:
                wanted.append(_whole(episode))
            else:
                wanted.append(
                    Wanted(
                        episode.frames[steps],
                        episode.actions[steps],
                        episode.rewards[steps],
                        has_tail,
                        False,
                        "fragment",
                    )
                )
    return wanted


def expected_upstream(run: ReplayRun, numbers: Sequence[int]) -> list[Wanted]:
    """What d4rl-atari and d3rlpy make of each file: rows in slot order, cut behind each terminal, the rest dropped."""
    wanted = []
    for number in numbers:
        if number >= len(run.dumps):
            continue
        arrays, begin = run.dumps[number].arrays, 0
        for row in range(run.capacity):
            if arrays["terminal"][row]:
                frames, actions, rewards = (arrays[name][begin : row + 1] for name in FIELDS[:3])
                begin, zeros = row + 1, 0
                while zeros < min(PADDING, len(actions)) and not (
                    frames[zeros].any() or actions[zeros] or rewards[zeros] or zeros == len(actions) - 1
                ):
                    zeros += 1
                wanted.append(_ended(frames, actions, rewards, len(actions) - zeros))
    return wanted


def limited(
    wanted: Sequence[Wanted],
    max_episodes: int | None = None,
    max_transitions: int | None = None,
    overflow: str = "stop",
) -> list[Wanted]:
    """The episodes that the limits let through."""
    kept: list[Wanted] = []
    total = 0
    for episode in wanted:
        length = len(episode.actions)
        if max_episodes is not None and len(kept) == max_episodes:
            break
        if max_transitions is not None and overflow == "allow_last" and total >= max_transitions:
            break
        if max_transitions is not None and overflow != "allow_last" and total + length > max_transitions:
            if overflow == "stop":
                break
            continue
        kept.append(episode)
        total += length
    return kept


def _joined(run: ReplayRun, number: int, following: int, numbers: Sequence[int]) -> bool:
    """Whether two checkpoints are both read and the later holds what came right after the earlier."""
    if number not in numbers or following not in numbers:
        return False
    return run.dumps[following].start - run.dumps[number].start == run.capacity


def _whole(episode: Played) -> Wanted:
    return _ended(episode.frames, episode.actions, episode.rewards, len(episode.actions))


def _ended(frames: np.ndarray, actions: np.ndarray, rewards: np.ndarray, played: int) -> Wanted:
    cut = played == TIME_LIMIT
    return Wanted(frames, actions, rewards, not cut, cut, "time_limit" if cut else "terminated")
