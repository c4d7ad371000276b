"""What the agent of a BabyAI level sees: the package's views, computed at a fraction of the package's price.

Views are the greater part of a step's time, the bot's share included. The package copies the agent's square of the
grid, turns it by a quarter one to four times, does so again for the bot, and the bot looks up each cell by itself.
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from jaxtyping import Int

FORWARD = ((1, 0), (0, 1), (-1, 0), (0, -1))
"""(column, row) change of a step to the right, down, left and up."""


@dataclass(frozen=True)
class _Square:
    """Where the cells of a view lie, seen from the agent, when it looks into one direction.

    Attributes:
        cells: (column, row) of each, by rows from far to near, each row from left to right.
        columns: of the same, indexed as the package's masks: across the view, then from far to near.
        rows: likewise.
    """

    cells: list[tuple[int, int]]
    columns: Int[np.ndarray, "size size"]
    rows: Int[np.ndarray, "size size"]

    @staticmethod
    def of(size: int, forward: tuple[int, int]) -> _Square:
        """The square of `size` cells a side that has the agent in the middle of its near row."""
        ahead, down = forward
        aside, far = np.meshgrid(np.arange(size) - size // 2, np.arange(size)[::-1], indexing="ij")
        columns, rows = ahead * far - down * aside, down * far + ahead * aside
        return _Square(list(zip(columns.T.ravel().tolist(), rows.T.ravel().tolist(), strict=True)), columns, rows)


def quicken(level: Any) -> Any:
    """The level with quick views. A second look before anything changes, as of bot and renderer, costs nothing."""
    grid = importlib.import_module("minigrid.core.grid").Grid
    outside = importlib.import_module("minigrid.core.world_object").Wall()
    size = level.agent_view_size
    squares = _squares(size)
    observe = level.gen_obs
    last: Any = None

    def gen_obs() -> Any:
        nonlocal last
        last = None
        return observe()

    def gen_obs_grid() -> Any:
        nonlocal last
        if last is None:
            world, (column, row) = level.grid, level.agent_pos
            width, height, cells = world.width, world.height, world.grid
            view = grid(size, size)
            view.grid = [
                cells[y * width + x]
                if 0 <= (x := column + right) < width and 0 <= (y := row + below) < height
                else outside
                for right, below in squares[level.agent_dir].cells
            ]
            mask = view.process_vis((size // 2, size - 1))
            view.set(size // 2, size - 1, level.carrying)
            last = view, mask
        return last

    level.gen_obs, level.gen_obs_grid = gen_obs, gen_obs_grid
    return level


def remember_quickly(bot: Any, level: Any) -> Any:
    """The bot, which marks what the agent sees all at once in its map of the seen cells."""
    squares = _squares(level.agent_view_size)
    width, height = bot.vis_mask.shape

    def mark() -> None:
        _, visible = level.gen_obs_grid()
        square, (column, row) = squares[level.agent_dir], level.agent_pos
        columns, rows = square.columns + column, square.rows + row
        visible = visible & (columns >= 0) & (columns < width) & (rows >= 0) & (rows < height)
        bot.vis_mask[columns[visible], rows[visible]] = True

    bot._process_obs = mark
    return bot


@cache
def _squares(size: int) -> list[_Square]:
    return [_Square.of(size, forward) for forward in FORWARD]
