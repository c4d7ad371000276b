"""Gymnasium environments for the tests: one with every space that is supported, and some that do something wrong."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces

LENGTH = 8
"""Steps after which `Nested` should be cut: it never terminates at this very one."""


class Nested(gymnasium.Env):
    """Every kind of space, in and out. Writes into the same arrays at each step, as some simulators do."""

    metadata = {"render_modes": ["rgb_array"], "render_fps": 10}  # noqa: RUF012

    def __init__(self, size: int = 6, render_mode: str | None = None) -> None:
        self.render_mode = render_mode
        self.observation_space = spaces.Dict(
            {
                "mission": spaces.Text(40, charset="abcdefghijklmnopqrstuvwxyz "),
                "body": spaces.Dict(
                    {
                        "place": spaces.Box(-np.inf, np.inf, (2,), np.float64),
                        "bag": spaces.MultiBinary(3),
                        "said": spaces.Text(5, min_length=0, charset="aéß字🦆"),
                    }
                ),
                "seen": spaces.Tuple(
                    [spaces.Box(0, 255, (size, size, 3), np.uint8), spaces.Discrete(5, start=-2), spaces.Text(1)]
                ),
                "dials": spaces.MultiDiscrete([3, 4]),
            }
        )
        self.action_space = spaces.Dict(
            {
                "hand": spaces.Tuple([spaces.MultiBinary((1, 2)), spaces.MultiDiscrete([3, 3], start=[-1, 5])]),
                "walk": spaces.Discrete(3, start=-1),
            }
        )
        self.picture = np.zeros((size, size, 3), np.uint8)
        self.place, self.bag, self.dials = np.zeros(2), np.zeros(3, np.int8), np.zeros(2, np.int64)

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.steps, self.goal = 0, str(self.np_random.choice(["go left", "go right"]))
        self.place[:], self.bag[:], self.dials[:] = self.np_random.normal(size=2), 0, 0
        self.taken: list[Any] = []
        return self._seen(), {"ignored": 1}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        assert action in self.action_space, action
        self.taken.append(action)
        self.steps += 1
        self.place += action["walk"] + self.np_random.normal(size=2)
        self.bag[:2] = action["hand"][0][0]
        self.dials[:] = action["hand"][1] - [-1, 5]
        info = {
            "place": self.place,
            "is_success": bool(self.place[0] > 0),
            "word": "no number",
            "deep": {"n": self.steps},
        }
        over = bool(self.place[0] > 4) and self.steps != LENGTH
        return self._seen(), np.float32(self.place[0]), over, False, info

    def render(self) -> np.ndarray:
        return self.picture

    def _seen(self) -> dict[str, Any]:
        self.picture[:] = self.np_random.integers(0, 256, self.picture.shape)
        said = "".join(self.np_random.choice(list("aéß字🦆"), self.steps % 6))
        return {
            "mission": self.goal,
            "body": {"place": self.place, "bag": self.bag, "said": said},
            "seen": (self.picture, int(self.np_random.integers(-2, 3)), "x"),
            "dials": self.dials,
        }


class Plain(gymnasium.Env):
    """One number that counts steps; subclasses get something wrong."""

    observation_space: spaces.Space = spaces.Box(-1000, 1000, (1,))
    action_space: spaces.Space = spaces.Discrete(2)

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.steps = 0
        return self.seen(), {}

    def step(self, action: Any) -> Any:
        self.steps += 1
        return self.seen(), 0.0, False, False, {}

    def seen(self) -> Any:
        return np.float32([self.steps])


class Answers(Plain):
    """Sees what it is told: `first` after the reset, `later` after a step."""

    def __init__(self, space: spaces.Space, first: Any, later: Any) -> None:
        self.observation_space, self.first, self.later = space, first, later

    def seen(self) -> Any:
        return self.later if self.steps else self.first


class Moody(Plain):
    """Its mission changes in the middle of an episode."""

    observation_space = spaces.Dict({"mission": spaces.Text(9), "n": spaces.Discrete(100)})

    def seen(self) -> Any:
        return {"mission": f"step{self.steps}", "n": self.steps}


class Remembers(Plain):
    """Counts its episodes, across resets."""

    def __init__(self) -> None:
        self.episodes = 0

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        self.episodes += 1
        return super().reset(seed=seed)

    def seen(self) -> Any:
        return np.float32([self.episodes])


class OldGym(Plain):
    """Answers with four values."""

    def step(self, action: Any) -> Any:
        return self.seen(), 0.0, False, {}


class Odd(Plain):
    """Ends after two steps; hands out any `reward` and `info`, and `told` after the reset."""

    reward: Any = 0.0
    info: Any = None
    told: Any = None

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, Any]:
        return super().reset(seed=seed)[0], self.told

    def step(self, action: Any) -> Any:
        self.steps += 1
        return self.seen(), self.reward, self.steps == 2, False, self.info


class ResetsItself(gymnasium.Wrapper):
    """Shows the first observation of the next episode where one ends; `tells` the last one, too, or `hides` the end."""

    def __init__(self, env: gymnasium.Env | None = None, tells: str = "", hides: bool = False) -> None:
        super().__init__(env or Odd())
        self.tells, self.hides = tells, hides

    def step(self, action: Any) -> Any:
        seen, reward, terminated, truncated, info = self.env.step(action)
        if terminated or truncated:
            info = {**(info or {}), **({self.tells: seen} if self.tells else {})}
            seen, _ = self.env.reset()
            if self.hides:
                terminated = truncated = False
        return seen, reward, terminated, truncated, info


class Growing(Plain):
    """Shows more and more."""

    observation_space = spaces.Sequence(spaces.Box(0, 1, (2,)))


class Speaks(Plain):
    """Is told texts."""

    action_space = spaces.Tuple([spaces.Discrete(2), spaces.Text(5)])


class Mixed(Plain):
    """Is told whole and real numbers."""

    action_space = spaces.Dict({"gear": spaces.Discrete(5), "gas": spaces.Box(0, 1, (1,))})


class Picky(Plain):
    """Takes an even `number` and a `colour`."""

    def __init__(self, number: int = 0, colour: str = "red") -> None:
        if number % 2:
            raise ValueError("the number must be even")


class Takes(Plain):
    """Takes anything, but fails for some of it."""

    def __init__(self, **words: Any) -> None:
        if "bad" in words or not words:
            raise RuntimeError("not like this")


class NeedsLibrary(Plain):
    """Cannot be made for pictures, as where a library that draws is missing."""

    metadata = {"render_modes": ["rgb_array"]}  # noqa: RUF012

    def __init__(self, render_mode: str | None = None) -> None:
        self.render_mode = render_mode
        if render_mode is not None:
            raise ImportError("No module named 'easel'")


class DrawsBadly(Plain):
    """Its pictures are no pictures."""

    metadata = {"render_modes": ["rgb_array"]}  # noqa: RUF012

    def __init__(self, render_mode: str | None = None) -> None:
        self.render_mode = render_mode

    def render(self) -> Any:
        if self.steps == 0:
            raise gymnasium.error.DependencyNotInstalled("easel is not installed, run `pip install easel`")
        if self.steps == 1:
            raise RuntimeError("no paint")
        return None if self.steps == 2 else np.zeros((4, 4), np.uint8)


def made(**words: Any) -> Nested:
    """A function that makes an environment."""
    return Nested(**words)


class Endless(Plain):
    """Sees an infinite number, and can be drawn."""

    metadata = {"render_modes": ["rgb_array"], "render_fps": 10}  # noqa: RUF012

    def __init__(self, render_mode: str | None = None) -> None:
        self.render_mode = render_mode

    def seen(self) -> Any:
        return np.float32([np.inf])

    def render(self) -> np.ndarray:
        return np.zeros((16, 16, 3), np.uint8)
