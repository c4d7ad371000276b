"""The contracts of simulators and policies; read this first. Each is a few methods that any class may fulfil.

That of foreign data is `pipeline.sources.contract`, that of arrays on disk `pipeline.storage.contract`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Int64, Shaped, UInt8

from pipeline.episode import UNKNOWN

Observation = Shaped[np.ndarray, "..."] | Mapping[str, Any]
"""One observation: an array, or a mapping of them for nested spaces."""


@dataclass(frozen=True)
class ArraySpec:
    """Shape, dtype and bounds of an action or observation. `low` and `high` are None where nothing bounds it."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    low: Shaped[np.ndarray, "..."] | None = None
    high: Shaped[np.ndarray, "..."] | None = None


@dataclass(slots=True)
class Transition:
    """What followed an action. Nobody changes it; a frozen one would take three times as long to make.

    Attributes:
        sent: the action that the simulator really took, where the environment did not take the one that it was given.
        restarts: what a policy remembers of the observations before this one is to be forgotten, as after a reset.
    """

    observation: Observation
    reward: float
    terminated: bool = False
    truncated: bool = False
    discount: float = 1.0
    success: int = UNKNOWN
    info: Mapping[str, Any] = field(default_factory=dict)
    sent: Shaped[np.ndarray, "..."] | None = None
    restarts: bool = False


class GaveUp(Exception):
    """A player knows no way on: the episode ends where it is, truncated, with the end reason `gave_up`.

    Attributes:
        idle: an action that changes nothing. It is taken where the episode has none yet, so that there is one to store.
    """

    def __init__(self, why: str, idle: Shaped[np.ndarray, "..."]) -> None:
        super().__init__(why)
        self.idle = idle


@runtime_checkable
class Player(Protocol):
    """Plays one episode of one environment, one decision after the other."""

    def act(self, observation: Observation, rng: np.random.Generator) -> Shaped[np.ndarray, "..."]:
        """The action for one observation, in the environment's action dtype and shape. May raise GaveUp."""


class Decision(NamedTuple):
    """A decision to be taken: the episode in `slot` shows `observation`, and draws from nothing but `rng`."""

    slot: int
    observation: Observation
    rng: np.random.Generator


@runtime_checkable
class Policy(Protocol):
    """Chooses actions for several episodes at once, each in a slot of its own.

    An episode must not depend on the slot that it is played in, nor on what happens in the others: random draws come
    from the decision's generator, and a network always sees a batch of the same width, padded where slots are idle.

    Attributes:
        name: names datasets.
        slots: how many episodes one process should play at once; 1 where nothing is gained by more.
    """

    name: str
    slots: int

    def identity(self) -> Mapping[str, Any]:
        """JSON facts that change what it does: its name, weights, options. Loads no weights."""

    def start(self, slot: int, environment: Environment) -> None:
        """Called when an episode begins in a slot, after the reset; forgets all about the slot's last episode.

        Called in the middle of an episode, too, after a transition that `restarts`.
        """

    def act(self, decisions: Sequence[Decision]) -> Sequence[Shaped[np.ndarray, "..."] | GaveUp]:
        """One action per decision, each in the environment's action dtype and shape. Decisions are of different slots.

        A GaveUp in the place of an action ends that slot's episode, and no other's.
        """


@runtime_checkable
class Redrawing(Protocol):
    """An environment that knows what has changed on its screen since it was drawn."""

    def picture_shape(self) -> tuple[int, int, int]:
        """Of every picture: height, width and 3."""

    def redraw(self, canvas: UInt8[np.ndarray, "h w 3"]) -> Int64[np.ndarray, "changed"]:
        """Bring an earlier picture up to the present one, as `render` gives it; the numbers of the rows that changed.

        `canvas` holds what the last call left in it; another array than the last time is drawn as a whole.
        """


@runtime_checkable
class Telling(Protocol):
    """A policy that says more of a decision than its action."""

    def outputs(self, slot: int) -> Mapping[str, np.float32]:
        """What it said of the newest decision in a slot, by the names of infos: `policy_entropy`; or nothing."""


@runtime_checkable
class OpenLoop(Policy, Protocol):
    """A policy that looks at no observation, nor begins again where a transition restarts.

    A rollout asks it for several actions at a time, and never to `act`; but a class that inherits `upcoming` and has
    an `act` of its own is asked to `act`.
    """

    def upcoming(self, rng: np.random.Generator) -> Shaped[np.ndarray, "n ..."]:
        """The actions of the next decisions of an episode, at least one; nobody else draws from its generator."""


@runtime_checkable
class Environment(Protocol):
    """One simulator. Converts the simulator's own types and nothing more.

    An episode must depend only on the seed given to `reset`, never on what the object did before.
    """

    @property
    def action_spec(self) -> ArraySpec: ...

    def identity(self) -> Mapping[str, Any]:
        """JSON facts that change what an episode is: simulator versions, time limit, options."""

    def reset(self, seed: int) -> Observation:
        """Begin an episode whose every random draw follows from `seed`."""

    def step(self, action: Shaped[np.ndarray, "..."]) -> Transition:
        """Apply one action, or another one that the transition names as `sent`. Raises RuntimeError after the end."""

    def render(self) -> UInt8[np.ndarray, "h w 3"]:
        """The present picture. Raises NoRenderer where nothing can draw."""

    def picture_identity(self) -> Mapping[str, Any]:
        """JSON facts that change pictures but no episode: camera, size."""

    def expert(self) -> Player:
        """A fresh scripted expert, where the simulator has one. Raises InvalidInput where there is none."""

    def close(self) -> None: ...
