"""dm_env environments written for tests: nested observations in reused memory, discounts between 0 and 1."""

from __future__ import annotations

import dm_env
import numpy as np
from dm_env import specs

OWN_LIMIT = 30


class Hill(dm_env.Environment):
    """Climb by what the action says; the top, at 3, is the end. The start is drawn; `OWN_LIMIT` steps is a truncation.

    Memory of the observation is written to again at each step, so whoever keeps it must copy it.
    """

    def __init__(self, steep: float = 1.0, seed: int | None = None):
        self._rng = np.random.default_rng(seed)
        self._steep, self._place, self._view = steep, np.zeros(2, np.float32), np.zeros((2, 3), np.uint8)
        self._over, self.closed = True, False

    def reset(self):
        self._steps, self._over = 0, False
        self._place[:] = self._rng.uniform(-1, 0, 2)
        return dm_env.restart(self._seen())

    def step(self, action):
        if self._over:
            return self.reset()
        self._steps += 1
        self._place += self._steep * action
        if self._place[0] >= 3:
            self._over = True
            return dm_env.termination(1.0, self._seen())
        if self._steps == OWN_LIMIT:
            self._over = True
            return dm_env.truncation(-1.0, self._seen(), 0.5)
        return dm_env.transition(float(self._place[0]), self._seen(), 0.75)

    def observation_spec(self):
        return {
            "place": {"now": specs.Array((2,), np.float32), "steps": specs.Array((), np.int64)},
            "views": (specs.Array((2, 3), np.uint8), specs.Array((), np.float16)),
        }

    def action_spec(self):
        return specs.BoundedArray((2,), np.float32, -0.5, [1.0, 0.5])

    def render(self):
        picture = np.zeros((16, 24, 3), np.uint8)
        picture[: 8 + 2 * int(self._place[0])] = 200
        return picture

    def close(self):
        self.closed = True

    def _seen(self):
        self._view += 1
        return {
            "place": {"now": self._place, "steps": self._steps},
            "views": (self._view, np.float16(self._place[1])),
        }


class Lamp(dm_env.Environment):
    """Press one of three buttons, four times; draws nothing, and shows one array."""

    def __init__(self):
        self._lit = {0: 0.0, 1: 1.0, 2: 0.0}  # a table: the action must be a number that can be looked up

    def reset(self):
        self._steps = 0
        return dm_env.restart(np.zeros(1))

    def step(self, action):
        self._steps += 1
        seen = np.full(1, self._lit[action])
        return dm_env.termination(1.0, seen) if self._steps == 4 else dm_env.transition(0.0, seen)

    def observation_spec(self):
        return specs.Array((1,), float)

    def action_spec(self):
        return specs.DiscreteArray(3)


class Odd(Lamp):
    """A lamp with other specs."""

    def __init__(self, action_spec, reward_spec=None):
        super().__init__()
        self._action_spec, self._reward_spec = action_spec, reward_spec or specs.Array((), float)

    def action_spec(self):
        return self._action_spec

    def reward_spec(self):
        return self._reward_spec


def unbounded() -> Odd:
    return Odd(specs.Array((2,), float))


def nested() -> Odd:
    return Odd({"left": specs.BoundedArray((2,), float, -1, 1)})


def texts() -> Odd:
    return Odd(specs.StringArray(()))


def many_rewards() -> Odd:
    return Odd(specs.DiscreteArray(2), specs.Array((3,), float))


def without_limits() -> Odd:
    return Odd(specs.BoundedArray((2,), float, [-1e10, -2], [1e10, 2]))


class Restless(Lamp):
    """Begins again in the middle of an episode, without a last time step."""

    def step(self, action):
        return self.reset() if self._steps else super().step(action)


class Blot(Lamp):
    """Its picture is none."""

    def render(self):
        return np.zeros((4, 4))


def hill_of(number, *, steep=1.0):
    """A hill whose seed has another name."""
    return Hill(steep, number)


def any_hill(**options):
    return Hill(**options)


def no_environment(seed):
    return [seed]


NUMBER = 3
