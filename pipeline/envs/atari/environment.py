"""Atari 2600 games in the Arcade Learning Environment: grey 84x84 screens, sticky actions, the true last screen."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import Int, Int64, UInt8

from pipeline.command import again
from pipeline.domains.atari import ACTIONS, ROMS, minimal_actions
from pipeline.envs.atari.console import Console, ale_version, rom_file
from pipeline.envs.atari.presses import AT_START, Presses
from pipeline.errors import InvalidInput, unknown_name
from pipeline.interfaces import ArraySpec, Observation, Player, Transition
from pipeline.wording import check_count


class Atari:
    """One game, seen as the grey screen of each decision; frames are not stacked.

    Observation: (84, 84) uint8, the screen's grey values scaled down by area: after a decision the maximum of its last
    two screens (sprites flicker), and one screen alone where an episode begins or the game is over. Action: int64
    scalar, an index into the action set. Reward: the score that the decision brought; `info` keeps its sign as
    `clipped_reward`, and `lives`. Only the end of the game terminates; `max_steps` truncates. There is no notion of
    success, and no scripted expert.

    An episode equals that of Gymnasium's `AtariPreprocessing` over `ALE/<Game>-v5` with the same options, seed and
    actions, but for the last screen of a game that is over, which is stale there.

    Args:
        task: JAT name, or in the same style a game that only DQN Replay has.
        max_steps: decisions; 27,000 of 4 frames are half an hour of the console's time.
        frame_skip: frames for which a decision's action is held.
        sticky: chance at each frame that the console still sees the action of the frame before.
        noops: an episode begins after 1 to this many frames without action, drawn from its seed; 0 for none.
        max_pool: False shows a decision's last screen alone.
        full_actions: all 18 actions instead of those that do something in this game.
        fire_reset: an episode begins, and goes on after a lost life, as with Stable-Baselines3's `AtariWrapper`. FIRE
            and the next action follow the frames without action, each for one decision, before row 0. After a lost life
            a decision without action and these two are sent whatever is given: rows like any other, whose transition
            says what was `sent`, and whose info has `forced`. `start` leaves lost lives alone, as that wrapper's
            `terminal_on_life_loss=False`. A game that does not know FIRE has nothing pressed.

    Raises InvalidInput for an impossible option, UnknownName for an unknown game; at first use InvalidInput where
    ale-py or the game's ROM is missing.
    """

    def __init__(
        self,
        task: str,
        max_steps: int = 27_000,
        frame_skip: int = 4,
        sticky: float = 0.25,
        noops: int = 0,
        max_pool: bool = True,
        full_actions: bool = False,
        fire_reset: bool | str = False,
    ) -> None:
        if task not in ROMS:
            raise unknown_name("Atari game", task, ROMS)
        _check_options(max_steps, frame_skip, sticky, noops, max_pool, fire_reset)
        self._task, self._max_steps, self._frame_skip, self._noops = task, max_steps, frame_skip, noops
        self._sticky, self._max_pool = float(sticky), max_pool
        self._actions = tuple(range(len(ACTIONS))) if full_actions else minimal_actions(task)
        self._fire_reset = fire_reset
        self._presses = Presses(self._actions, fire_reset is True) if fire_reset else None
        self._console: Console | None = None
        self._steps: int | None = None  # None: no episode is under way

    @property
    def action_spec(self) -> ArraySpec:
        """One of the action set: int64 scalar."""
        return ArraySpec((), np.dtype(np.int64), np.asarray(0), np.asarray(len(self._actions) - 1))

    def identity(self) -> Mapping[str, Any]:
        """Everything that changes an episode apart from the seed. `actions` tells what each action number means."""
        rom = rom_file(self._task)
        return {
            "simulator": "ale",
            "versions": {"ale-py": ale_version()},
            "rom_md5": hashlib.md5(rom.read_bytes(), usedforsecurity=False).hexdigest(),
            "observation": {"pixels": "grey", "size": [84, 84], "resize": "area", "max_pool": self._max_pool},
            "frame_skip": self._frame_skip,
            "sticky": self._sticky,
            "noops": self._noops,
            "actions": [ACTIONS[number] for number in self._actions],
            "max_steps": self._max_steps,
            **({"fire_reset": self._fire_reset} if self._fire_reset else {}),
        }

    def reset(self, seed: int) -> Observation:
        """Begin as if the game had just been loaded; the sticky actions and the frames without action follow `seed`."""
        if self._console is None:
            self._console = Console(self._task, self._sticky)
        # These words, and what is drawn from them, are Gymnasium's own for the same seed.
        for_noops, for_console = np.random.SeedSequence(seed).generate_state(2).tolist()
        rng = np.random.default_rng(for_noops)
        self._console.begin(for_console)
        self._wait(self._console, rng)
        self._steps = 0
        return self._opened(self._console, self._presses, rng) if self._presses else self._console.screens.alone()

    def step(self, action: Int[np.ndarray, ""]) -> Transition:
        """Hold one action for `frame_skip` frames, or until the game is over. An action outside the set is refused."""
        console, presses = self._console, self._presses
        if console is None or self._steps is None:
            raise RuntimeError("The episode is over, or none has begun: call reset first.")
        number, due = self._checked(action), presses.due if presses else None
        reward = self._hold(console, number if due is None else due)
        terminated = console.over()
        self._steps += 1
        truncated = not terminated and self._steps >= self._max_steps
        if terminated or truncated:
            self._steps = None
        info = {"clipped_reward": float((reward > 0) - (reward < 0)), "lives": console.lives()}
        if presses:
            presses.decided(console.lives())
            info["forced"] = due is not None
        return Transition(
            observation=self._seen(console),
            reward=float(reward),
            terminated=terminated,
            truncated=truncated,
            discount=0.0 if terminated else 1.0,
            info=info,
            sent=None if due is None else np.asarray(due),
            restarts=presses is not None and due is not None and presses.due is None,
        )

    def _wait(self, console: Console, rng: np.random.Generator) -> None:
        if self._noops:
            console.wait(int(rng.integers(1, self._noops, endpoint=True)))

    def _opened(self, console: Console, presses: Presses, rng: np.random.Generator) -> UInt8[np.ndarray, "84 84"]:
        """Play what is due where an episode begins: what is seen then. A game that is over by it begins again."""
        seen = console.screens.alone()
        presses.begin(console.lives())
        while presses.due is not None:
            self._hold(console, presses.due)
            seen = self._seen(console)
            if console.over():
                console.begin_again()
                self._wait(console, rng)
                presses.began_again(console.lives())
                seen = console.screens.alone()
            else:
                presses.decided(console.lives())
        return seen

    def _hold(self, console: Console, number: int) -> int:
        """Play one decision with an action of the set: the score that it brought."""
        held, reward = self._actions[number], 0
        for _ in range(self._frame_skip - 1):
            reward += console.act(held)
        if self._max_pool:
            console.screens.remember()
        return reward + console.act(held)

    def _seen(self, console: Console) -> UInt8[np.ndarray, "84 84"]:
        """What a decision shows."""
        alone = not self._max_pool or console.over()
        return console.screens.alone() if alone else console.screens.brighter()

    def _checked(self, action: Int[np.ndarray, ""]) -> int:
        number = int(action)
        if not 0 <= number < len(self._actions):
            raise InvalidInput(f"{self._task} takes the actions 0 to {len(self._actions) - 1}, it was given {number}.")
        return number

    def render(self) -> UInt8[np.ndarray, "h w 3"]:
        """The console's screen as it is now; 160 wide, 210 to 250 high."""
        return self._drawn().rgb()

    def picture_shape(self) -> tuple[int, int, int]:
        """Height, which is the game's, 160 and 3."""
        return self._drawn().screens.picture_shape

    def redraw(self, canvas: UInt8[np.ndarray, "h w 3"]) -> Int64[np.ndarray, "changed"]:
        """Bring an earlier picture up to the present one; the numbers of the rows that changed."""
        return self._drawn().screens.redraw(canvas)

    def _drawn(self) -> Console:
        if self._console is None:
            raise RuntimeError("There is nothing to draw yet: call reset first.")
        return self._console

    def picture_identity(self) -> Mapping[str, Any]:
        """Nothing: a picture is the console's own screen."""
        return {}

    def expert(self) -> Player:
        """Raises InvalidInput: nobody has written experts for these games."""
        raise InvalidInput(
            f"The Atari game {self._task} has no scripted expert. Take a trained agent (policy=sb3), or play "
            f"at random: {again(policy='random')}"
        )

    def close(self) -> None:
        """Free the emulator."""
        self._console, self._steps = None, None


def _check_options(
    max_steps: int, frame_skip: int, sticky: float, noops: int, max_pool: bool, fire_reset: bool | str
) -> None:
    check_count("max_steps", max_steps)
    if frame_skip < (2 if max_pool else 1):
        raise InvalidInput(
            f"frame_skip={frame_skip} is too small: it must be at least 1, and at least 2 with max_pool, "
            "which takes the maximum of two screens of one decision."
        )
    if not 0 <= sticky <= 1:
        raise InvalidInput(f"sticky is a chance, from 0 to 1; it is {sticky}.")
    if noops < 0:
        raise InvalidInput(f"noops must not be negative, it is {noops}.")
    if not isinstance(fire_reset, bool) and fire_reset != AT_START:
        raise InvalidInput(f"fire_reset is true, false or {AT_START}; it is {fire_reset}.")
