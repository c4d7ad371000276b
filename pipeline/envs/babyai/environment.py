"""BabyAI's levels under their JAT names: an agent in a world of rooms, and a mission in words."""

from __future__ import annotations

import io
import os
from collections.abc import Mapping
from contextlib import redirect_stdout
from functools import cached_property
from typing import Any

import numpy as np
from jaxtyping import Int, UInt8

from pipeline.domains.babyai import GRID, MOVES
from pipeline.envs.babyai.bot import Bot
from pipeline.envs.babyai.view import quicken
from pipeline.errors import InvalidInput, unknown_name
from pipeline.interfaces import ArraySpec, Observation, Player, Transition
from pipeline.machine.extras import extra_versions, import_extra

LEVELS = {
    "action-obj-door": "ActionObjDoor",
    "blocked-unlock-pickup": "BlockedUnlockPickup",
    "boss-level-no-unlock": "BossLevelNoUnlock",
    "boss-level": "BossLevel",
    "find-obj-s5": "FindObjS5",
    "go-to-door": "GoToDoor",
    "go-to-imp-unlock": "GoToImpUnlock",
    "go-to-local": "GoToLocal",
    "go-to-obj-door": "GoToObjDoor",
    "go-to-obj": "GoToObj",
    "go-to-red-ball-grey": "GoToRedBallGrey",
    "go-to-red-ball-no-dists": "GoToRedBallNoDists",
    "go-to-red-ball": "GoToRedBall",
    "go-to-red-blue-ball": "GoToRedBlueBall",
    "go-to-seq": "GoToSeq",
    "go-to": "GoTo",
    "key-corridor": "KeyCorridor",
    "mini-boss-level": "MiniBossLevel",
    "move-two-across-s8n9": "MoveTwoAcrossS8N9",
    "one-room-s8": "OneRoomS8",
    "open-door": "OpenDoor",
    "open-doors-order-n4": "OpenDoorsOrderN4",
    "open-red-door": "OpenRedDoor",
    "open-two-doors": "OpenTwoDoors",
    "open": "Open",
    "pickup-above": "PickupAbove",
    "pickup-dist": "PickupDist",
    "pickup-loc": "PickupLoc",
    "pickup": "Pickup",
    "put-next-local": "PutNextLocal",
    "put-next": "PutNextS7N4",
    "synth-loc": "SynthLoc",
    "synth-seq": "SynthSeq",
    "synth": "Synth",
    "unblock-pickup": "UnblockPickup",
    "unlock-local": "UnlockLocal",
    "unlock-pickup": "UnlockPickup",
    "unlock-to-unlock": "UnlockToUnlock",
    "unlock": "Unlock",
}
"""Task -> the level in `BabyAI-<level>-v0`, as in `TASK_NAME_TO_ENV_ID` of huggingface/jat, jat/eval/rl/core.py."""

DONE_ACTIONS = "BABYAI_DONE_ACTIONS"
"""A variable that the package reads: where it is set, only `done` ends a mission, fulfilled or spoiled."""


class BabyAI:
    """One BabyAI level; every episode has rooms, objects and a mission of its own.

    Observation: (148,) uint8 in JAT's layout: the direction (0 right, 1 down, 2 left, 3 up), then the 7 x 7 cells that
    the agent may see, columns first from left to right, each from far to near, as object, colour and state. Action:
    int64 scalar, an index into `MOVES`. Reward: 1 - 0.9 * steps / limit when the mission is fulfilled, else 0, as the
    package gives it. An episode terminates when the mission is fulfilled, and `success` is then 1.

    Args:
        task: JAT name, such as `go-to-local` for `BabyAI-GoToLocal-v0`.
        max_steps: truncates, and is the limit in the reward. None: the level's own, which may follow from the mission.
        tile: side of a cell in pictures, in pixels.

    Attributes:
        mission: of the present episode, in words; empty before the first.

    Raises UnknownName for an unknown task, InvalidInput for an impossible limit or tile; at first use InvalidInput
    where minigrid is not installed.
    """

    def __init__(self, task: str, max_steps: int | None = None, tile: int = 16) -> None:
        if task not in LEVELS:
            raise unknown_name("BabyAI task", task, LEVELS)
        if max_steps is not None and max_steps < 1:
            raise InvalidInput(f"max_steps must be at least 1, or null for the level's own limit; it is {max_steps}.")
        if tile < 4:
            raise InvalidInput(f"A cell of a picture needs at least 4 pixels a side, tile={tile} was asked for.")
        self._id, self._limit, self._tile = f"BabyAI-{LEVELS[task]}-v0", max_steps, tile
        self._running = False
        self._taken: int | None = None
        self.mission = ""

    @cached_property
    def _level(self) -> Any:
        """The level itself, without Gymnasium's wrappers; built at first use, because importing minigrid is slow."""
        os.environ.setdefault("PYGAME_HIDE_SUPPORT_PROMPT", "1")  # minigrid's pygame greets on the terminal otherwise
        import_extra("babyai", "minigrid")
        import gymnasium

        limit = {} if self._limit is None else {"max_steps": self._limit}
        return quicken(gymnasium.make(self._id, disable_env_checker=True, **limit).unwrapped)

    @property
    def action_spec(self) -> ArraySpec:
        """One of seven moves: int64 scalar in [0, 6]."""
        return ArraySpec((), np.dtype(np.int64), np.asarray(0), np.asarray(len(MOVES) - 1))

    def identity(self) -> Mapping[str, Any]:
        """The level, its time limit (None: its own), what `done` means and the simulator's versions."""
        versions = extra_versions("babyai", "gymnasium", "minigrid")
        return {
            "simulator": "minigrid",
            "id": self._id,
            "versions": versions,
            "max_steps": self._limit,
            "done_actions": bool(os.environ.get(DONE_ACTIONS)),
        }

    def reset(self, seed: int) -> Observation:
        """Draw rooms, objects and mission from `seed`."""
        with redirect_stdout(io.StringIO()):  # levels print a line for every draw that they reject
            seen, _ = self._level.reset(seed=seed)
        self._running, self._taken, self.mission = True, None, str(self._level.mission)
        return _flat(seen)

    def step(self, action: Int[np.ndarray, ""]) -> Transition:
        """Apply one action. Raises InvalidInput for an action that is none of the seven."""
        if not self._running:
            raise RuntimeError("The episode is over, or none has begun: call reset first.")
        move = int(action)
        if not 0 <= move < len(MOVES):
            raise InvalidInput(f"BabyAI knows the actions 0 to {len(MOVES) - 1}, it was given {move}.")
        seen, reward, terminated, truncated, _ = self._level.step(move)
        self._taken, self._running = move, not (terminated or truncated)
        return Transition(_flat(seen), float(reward), terminated, truncated, success=int(terminated and reward > 0))

    def render(self) -> UInt8[np.ndarray, "h w 3"]:
        """(rows * tile, columns * tile, 3) uint8: the whole level, what the agent sees highlighted."""
        if not self.mission:
            raise RuntimeError("There is nothing to draw yet: call reset first.")
        picture: np.ndarray = self._level.get_full_render(highlight=True, tile_size=self._tile)
        return picture

    def picture_identity(self) -> Mapping[str, Any]:
        """The side of a cell in pixels."""
        return {"tile": self._tile}

    def expert(self) -> Player:
        """The package's bot, which looks into the level instead of at the observation."""
        return Bot(self._level, lambda: self._taken, done=MOVES.index("done"))

    def close(self) -> None:
        """End the episode; there is nothing to free."""
        self._running = False


def _flat(seen: Mapping[str, Any]) -> UInt8[np.ndarray, "148"]:
    observation = np.empty(GRID, np.uint8)
    observation[0] = seen["direction"]
    observation[1:] = seen["image"].reshape(-1)
    return observation
