"""A boat that crosses a current to its pier, drawn with numpy alone."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces

MOVES = np.array([[0, 0], [0, 1], [0, -1], [1, 0], [-1, 0]], np.float32)
"""What the actions do: drift, north, south, east, west."""

SPEED = 0.06
ARRIVED = 0.12
CURRENTS = {"easy": 0.01, "hard": 0.04}
PIXELS = 128
WATER, SHALLOW, PIER, BOAT = (32, 84, 147), (44, 104, 168), (139, 90, 43), (250, 250, 245)

Observed = dict[str, np.ndarray]


class MyEnv(gymnasium.Env[Observed, int]):
    """Reach the pier from anywhere; the current runs north or south, and with `difficulty="hard"` turns at times.

    Observation: where the boat and the pier are, (2,) each, and the current, (1,); float32 in [-1, 1]. Action: one of
    the five moves. Reward: how much nearer the boat came, less a little for the time, and 1 at the pier. `info` tells
    `is_success` and the `distance`.
    """

    metadata = {"render_modes": ["rgb_array"], "render_fps": 20}  # noqa: RUF012  # as Gymnasium has it

    def __init__(self, difficulty: str = "easy", render_mode: str | None = None) -> None:
        if difficulty not in CURRENTS:
            raise ValueError(f"difficulty is one of {', '.join(CURRENTS)}; it was {difficulty}")
        self.difficulty, self.render_mode = difficulty, render_mode
        self.observation_space = spaces.Dict(
            {name: spaces.Box(-1, 1, (size,)) for name, size in (("boat", 2), ("pier", 2), ("current", 1))}
        )
        self.action_space = spaces.Discrete(len(MOVES))

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Observed, dict[str, Any]]:
        """Boat and pier anywhere, but apart."""
        super().reset(seed=seed)
        self.boat, self.pier = self.np_random.uniform(-0.9, 0.9, (2, 2)).astype(np.float32)
        self.current = np.float32(self.np_random.choice([-1, 1]))
        self.distance = self._distance()
        return self._seen(), self._told()

    def step(self, action: int) -> tuple[Observed, float, bool, bool, dict[str, Any]]:
        """Row and drift."""
        if self.difficulty == "hard" and self.np_random.random() < 0.05:
            self.current = -self.current
        drift = np.float32([0, CURRENTS[self.difficulty] * self.current])
        self.boat = np.clip(self.boat + SPEED * MOVES[action] + drift, -1, 1).astype(np.float32)
        before, self.distance = self.distance, self._distance()
        arrived = self.distance < ARRIVED
        return self._seen(), before - self.distance - 0.01 + arrived, arrived, False, self._told()

    def render(self) -> np.ndarray:
        """(128, 128, 3) uint8, north is up."""
        rows, columns = np.mgrid[:PIXELS, :PIXELS]
        waves = (rows + int(self.current) * columns // 4) // 6 % 2 == 0
        picture = np.where(waves[..., None], WATER, SHALLOW).astype(np.uint8)
        for place, radius, colour in ((self.pier, 8, PIER), (self.boat, 5, BOAT)):
            column, row = (np.array([1, -1]) * place + 1) / 2 * (PIXELS - 1)
            picture[np.hypot(rows - row, columns - column) <= radius] = colour
        return picture

    def _seen(self) -> Observed:
        return {"boat": self.boat, "pier": self.pier.copy(), "current": np.float32([self.current])}

    def _told(self) -> dict[str, Any]:
        return {"is_success": self.distance < ARRIVED, "distance": self.distance}

    def _distance(self) -> float:
        return float(np.linalg.norm(self.boat - self.pier))
