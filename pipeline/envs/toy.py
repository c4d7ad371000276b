"""A numpy gridworld that plays whole episodes in a millisecond: for tests, examples and a first tour."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from jaxtyping import Bool, Float32, Int, Int64, UInt8

from pipeline.errors import InvalidInput, unknown_name
from pipeline.interfaces import ArraySpec, Observation, Player, Transition
from pipeline.wording import check_count

TASKS = ("corner", "maze", "key")
VERSION = 1
"""Raised whenever the same seed would give another episode."""

MOVES = ((0, 0), (-1, 0), (1, 0), (0, -1), (0, 1))
"""(row, column) change of the actions stay, up, down, left, right."""

SLIP = 0.1
"""Chance that a step does a uniformly random move instead of the chosen one."""

NOWHERE = -1.0
"""Stands in the observation for a key or a wall that the task does not have."""

STEP_REWARD, PROGRESS_REWARD, KEY_REWARD, GOAL_REWARD = -0.01, 0.05, 0.5, 1.0

PICTURE = 144
FLOOR, FLOOR_DARK, WALL, GOAL, GOAL_EDGE, KEY, AGENT = (
    (244, 240, 230),
    (234, 229, 216),
    (70, 76, 92),
    (106, 190, 122),
    (52, 132, 74),
    (240, 178, 40),
    (52, 106, 200),
)

Cell = tuple[int, int]


@dataclass
class _Board:
    """Where everything is in one episode; `wall` is the column of a wall whose only gap is in row `gap`."""

    agent: Cell
    goal: Cell
    key: Cell | None = None
    wall: int | None = None
    gap: int | None = None
    carrying: bool = False

    @property
    def target(self) -> Cell:
        return self.goal if self.key is None else self.key

    def blocked(self, cell: Cell) -> bool:
        return cell[1] == self.wall and cell[0] != self.gap


class Toy:
    """A square grid in which an agent moves by one cell per step, and slips now and then.

    Tasks: `corner` (the goal is in one of the four corners), `maze` (the goal is behind a wall with one gap) and `key`
    (fetch a key, then go to the goal). An episode terminates at the goal and is truncated after `max_steps`.

    Observation: (9,) float32: agent row, column; goal row, column; key row, column; carrying (0 or 1); wall column; gap
    row. Places are divided by `size - 1`; -1 stands for what is not there. Action: int64 scalar, an index into `MOVES`.
    Reward: -0.01 a step, +0.05 for each cell nearer to the key or goal, +0.5 for the key, +1 for the goal.

    Raises UnknownName for another task, InvalidInput for a grid under 5 cells or a limit under 1 step.
    """

    def __init__(self, task: str, max_steps: int = 60, size: int = 9) -> None:
        if task not in TASKS:
            raise unknown_name("toy task", task, TASKS)
        if not 5 <= size <= PICTURE // 4:
            raise InvalidInput(f"The toy grid has 5 to {PICTURE // 4} cells a side, size={size} was asked for.")
        check_count("max_steps", max_steps)
        self._task, self._max_steps, self._size = task, max_steps, size
        self._steps: int | None = None  # None: no episode is under way
        self._board: _Board | None = None
        self._rng = np.random.default_rng(0)

    @property
    def action_spec(self) -> ArraySpec:
        """One of five moves: int64 scalar in [0, 4]."""
        return ArraySpec((), np.dtype(np.int64), np.asarray(0), np.asarray(len(MOVES) - 1))

    def identity(self) -> Mapping[str, Any]:
        """Everything that changes an episode apart from the task and the seed."""
        return {"simulator": "toy", "version": VERSION, "max_steps": self._max_steps, "size": self._size}

    def reset(self, seed: int) -> Observation:
        """Draw a new board from `seed`; every later slip follows from it too."""
        self._rng = np.random.default_rng(seed)
        self._board = _draw_board(self._task, self._size, self._rng)
        self._steps = 0
        return _observe(self._board, self._size)

    def step(self, action: Int[np.ndarray, ""]) -> Transition:
        """Move once. `info` holds `slipped` (bool) and `distance` (int64 cells that are left to key and goal)."""
        if self._board is None or self._steps is None:
            raise RuntimeError("The episode is over, or none has begun: call reset first.")
        board, before = self._board, _distance(self._board)
        slipped = self._rng.random() < SLIP
        _move(board, int(self._rng.integers(len(MOVES))) if slipped else _checked(action), self._size)
        after = _distance(board)
        reward = STEP_REWARD + PROGRESS_REWARD * (before - after)
        if board.agent == board.key:
            board.key, board.carrying, reward = None, True, reward + KEY_REWARD
        terminated = board.key is None and board.agent == board.goal
        self._steps += 1
        truncated = not terminated and self._steps >= self._max_steps
        if terminated or truncated:
            self._steps = None
        return Transition(
            observation=_observe(board, self._size),
            reward=reward + (GOAL_REWARD if terminated else 0.0),
            terminated=terminated,
            truncated=truncated,
            discount=0.0 if terminated else 1.0,
            success=int(terminated),
            info={"slipped": slipped, "distance": after},
        )

    def render(self) -> UInt8[np.ndarray, "144 144 3"]:
        """The agent is a blue disc, the goal a green square, the key a yellow diamond."""
        if self._board is None:
            raise RuntimeError("There is nothing to draw yet: call reset first.")
        return _draw(self._board, self._size)

    def picture_identity(self) -> Mapping[str, Any]:
        """Nothing: there is one way to draw a board."""
        return {}

    def expert(self) -> Player:
        """A policy that walks a shortest way; where several are as short, its generator chooses."""
        return ShortestWay()

    def close(self) -> None:
        self._board, self._steps = None, None


class ShortestWay:
    """Walks to the key, through the gap and to the goal, seeing nothing but the observation."""

    def act(self, observation: Observation, rng: np.random.Generator) -> Int64[np.ndarray, ""]:
        """A move that shortens the way by one cell."""
        row, column, *goal, key_row, key_column, _, wall, gap = np.asarray(observation).tolist()
        target_row, target_column = goal if key_row == NOWHERE else (key_row, key_column)
        rows_first = None
        if wall != NOWHERE and min(column, target_column) <= wall <= max(column, target_column):
            rows_first = column != wall  # reach the gap's row before the wall, and leave the gap straight on
            target_row = gap if rows_first else target_row
        down, right = target_row - row, target_column - column
        if down and right:
            rows = bool(rng.integers(2)) if rows_first is None else rows_first
        else:
            rows = bool(down)
        return np.asarray(_direction(down, (1, 2)) if rows else _direction(right, (3, 4)), np.int64)


def _direction(difference: float, moves: tuple[int, int]) -> int:
    if difference == 0:
        return 0
    return moves[0] if difference < 0 else moves[1]


def _checked(action: Int[np.ndarray, ""]) -> int:
    move = int(action)
    if not 0 <= move < len(MOVES):
        raise InvalidInput(f"The toy world knows the moves 0 to {len(MOVES) - 1}, it was given {move}.")
    return move


def _draw_board(task: str, size: int, rng: np.random.Generator) -> _Board:
    end = size - 1
    if task == "corner":
        corner = (end * int(rng.integers(2)), end * int(rng.integers(2)))
        return _Board(agent=_cell(rng, (1, end), (1, end)), goal=corner)
    if task == "maze":
        wall, gap = int(rng.integers(2, size - 2)), int(rng.integers(size))
        return _Board(_cell(rng, (0, size), (0, wall)), _cell(rng, (0, size), (wall + 1, size)), wall=wall, gap=gap)
    agent, goal, key = (divmod(int(place), size) for place in rng.choice(size * size, 3, replace=False))
    return _Board(agent, goal, key)


def _cell(rng: np.random.Generator, rows: Cell, columns: Cell) -> Cell:
    return int(rng.integers(*rows)), int(rng.integers(*columns))


def _move(board: _Board, move: int, size: int) -> None:
    row, column = board.agent[0] + MOVES[move][0], board.agent[1] + MOVES[move][1]
    if 0 <= row < size and 0 <= column < size and not board.blocked((row, column)):
        board.agent = (row, column)


def _distance(board: _Board) -> int:
    """Steps of the shortest way that is left, without slips: to the key where there is one, then to the goal."""
    way = [board.agent] + ([board.key] if board.key else []) + [board.goal]
    if board.wall is not None and board.gap is not None and board.agent[1] < board.wall < board.goal[1]:
        way.insert(1, (board.gap, board.wall))  # only `maze` has a wall, and its goal is always to the right
    return sum(abs(a[0] - b[0]) + abs(a[1] - b[1]) for a, b in pairwise(way))


def _observe(board: _Board, size: int) -> Float32[np.ndarray, "9"]:
    def place(index: int | None) -> float:
        return NOWHERE if index is None else index / (size - 1)

    key = board.key or (None, None)
    places = [place(index) for index in (*board.agent, *board.goal, *key)]
    return np.asarray([*places, float(board.carrying), place(board.wall), place(board.gap)], np.float32)


def _draw(board: _Board, size: int) -> UInt8[np.ndarray, "144 144 3"]:
    side = PICTURE // size
    rows, columns = np.indices((size, size))
    colours = np.where(((rows + columns) % 2)[..., None], FLOOR_DARK, FLOOR).astype(np.uint8)
    if board.wall is not None:
        colours[:, board.wall] = WALL
        colours[board.gap, board.wall] = FLOOR
    grid = colours.repeat(side, axis=0).repeat(side, axis=1)
    y, x = np.abs(np.indices((side, side)) - (side - 1) / 2)
    _paint(grid, board.goal, side, np.maximum(y, x) < 0.5 * side, GOAL_EDGE)
    _paint(grid, board.goal, side, np.maximum(y, x) < 0.38 * side, GOAL)
    if board.key:
        _paint(grid, board.key, side, y + x < 0.42 * side, KEY)
    _paint(grid, board.agent, side, np.hypot(y, x) < 0.4 * side, AGENT)
    if board.carrying:
        _paint(grid, board.agent, side, y + x < 0.24 * side, KEY)
    picture = np.full((PICTURE, PICTURE, 3), WALL, np.uint8)  # a size that does not divide 144 leaves a frame
    edge = (PICTURE - side * size) // 2
    picture[edge : edge + side * size, edge : edge + side * size] = grid
    return picture


def _paint(
    grid: UInt8[np.ndarray, "h w 3"],
    cell: Cell,
    side: int,
    mask: Bool[np.ndarray, "side side"],
    colour: tuple[int, int, int],
) -> None:
    top, left = cell[0] * side, cell[1] * side
    grid[top : top + side, left : left + side][mask] = colour
