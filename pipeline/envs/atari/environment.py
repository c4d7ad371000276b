"""Atari 2600 games in the Arcade Learning Environment: grey 84x84 screens, sticky actions, the true last screen."""

from __future__ import annotations

import hashlib
import importlib
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int, UInt8

from pipeline.command import again
from pipeline.domains.atari import ACTIONS, ROMS, minimal_actions
from pipeline.errors import InvalidInput, unknown_name
from pipeline.interfaces import ArraySpec, Observation, Player, Transition

NOT_INSTALLED = "ale-py is not installed. Install it: pip install 'ale-py>=0.12' (or make setup)."


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
    ) -> None:
        if task not in ROMS:
            raise unknown_name("Atari game", task, ROMS)
        _check_options(max_steps, frame_skip, sticky, noops, max_pool)
        self._task, self._max_steps, self._frame_skip, self._noops = task, max_steps, frame_skip, noops
        self._sticky, self._max_pool = float(sticky), max_pool
        self._actions = tuple(range(len(ACTIONS))) if full_actions else minimal_actions(task)
        self._console: _Console | None = None
        self._steps: int | None = None  # None: no episode is under way

    @property
    def action_spec(self) -> ArraySpec:
        """One of the action set: int64 scalar."""
        return ArraySpec((), np.dtype(np.int64), np.asarray(0), np.asarray(len(self._actions) - 1))

    def identity(self) -> Mapping[str, Any]:
        """Everything that changes an episode apart from the seed. `actions` tells what each action number means."""
        rom = _rom(self._task)
        return {
            "simulator": "ale",
            "versions": {"ale-py": _ale_version()},
            "rom_md5": hashlib.md5(rom.read_bytes(), usedforsecurity=False).hexdigest(),
            "observation": {"pixels": "grey", "size": [84, 84], "resize": "area", "max_pool": self._max_pool},
            "frame_skip": self._frame_skip,
            "sticky": self._sticky,
            "noops": self._noops,
            "actions": [ACTIONS[number] for number in self._actions],
            "max_steps": self._max_steps,
        }

    def reset(self, seed: int) -> Observation:
        """Begin as if the game had just been loaded; the sticky actions and the frames without action follow `seed`."""
        if self._console is None:
            self._console = _Console(self._task, self._sticky)
        # These words, and what is drawn from them, are Gymnasium's own for the same seed.
        for_noops, for_console = np.random.SeedSequence(seed).generate_state(2).tolist()
        self._console.begin(for_console)
        if self._noops:
            self._console.wait(int(np.random.default_rng(for_noops).integers(1, self._noops, endpoint=True)))
        self._steps = 0
        return self._console.screens.alone()

    def step(self, action: Int[np.ndarray, ""]) -> Transition:
        """Hold one action for `frame_skip` frames, or until the game is over. An action outside the set is refused."""
        console = self._console
        if console is None or self._steps is None:
            raise RuntimeError("The episode is over, or none has begun: call reset first.")
        held, reward = self._checked(action), 0
        for _ in range(self._frame_skip - 1):
            reward += console.act(held)
        if self._max_pool:
            console.screens.remember()
        reward += console.act(held)
        terminated = console.over()
        self._steps += 1
        truncated = not terminated and self._steps >= self._max_steps
        if terminated or truncated:
            self._steps = None
        alone = terminated or not self._max_pool
        return Transition(
            observation=console.screens.alone() if alone else console.screens.brighter(),
            reward=float(reward),
            terminated=terminated,
            truncated=truncated,
            discount=0.0 if terminated else 1.0,
            info={"clipped_reward": float((reward > 0) - (reward < 0)), "lives": console.lives()},
        )

    def _checked(self, action: Int[np.ndarray, ""]) -> int:
        number = int(action)
        if not 0 <= number < len(self._actions):
            raise InvalidInput(f"{self._task} takes the actions 0 to {len(self._actions) - 1}, it was given {number}.")
        return self._actions[number]

    def render(self) -> UInt8[np.ndarray, "h w 3"]:
        """The console's screen as it is now; 160 wide, 210 to 250 high."""
        if self._console is None:
            raise RuntimeError("There is nothing to draw yet: call reset first.")
        return self._console.rgb()

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


class _Console:
    """An emulator with one game, which can begin any number of episodes as if the game had just been loaded.

    What the game wrote into its memory, and how far the emulator's generators have come, outlive a reset. Loading the
    game anew undoes both but takes twenty times as long as the reset (most of it for colour tables that nothing here
    uses). So the state after loading is kept, and given the generator of each episode's seed; where that cannot be
    done, the game is loaded anew.

    Attributes:
        act: play one frame with one of the 18 actions: its reward. A game that is over stands still.
        lives: how many are left.
        rgb: the screen as it is now, (height, 160, 3) uint8, the caller's own.
        screens: the screen as agents see it.
    """

    def __init__(self, task: str, sticky: float) -> None:
        # numba's import takes longer than the emulator's: not for those who only ask what a game is.
        from pipeline.envs.atari.screen import ScreenReader

        self._rom, self._module = str(_rom(task)), importlib.import_module("ale_py")
        self._module.ALEInterface.setLoggerMode(self._module.LoggerMode.Error)  # else it greets on stderr
        self._ale = self._module.ALEInterface()
        self._ale.setFloat("repeat_action_probability", sticky)
        self._loaded = self._read()
        self.act, self.lives, self.rgb = self._ale.act, self._ale.lives, self._ale.getScreenRGB
        self.screens = ScreenReader(self._ale)

    def begin(self, seed: int) -> None:
        """Reset, as if the game had just been loaded with the emulator's generator at `seed` (32 bits)."""
        seed %= 2**32 - 1  # the largest would be read as -1, which stands for the time of day
        if self._loaded is None:
            self._load(seed)
        else:
            self._ale.restoreState(self._module.ALEState(self._loaded.seeded(seed)))
        self._ale.reset_game()

    def wait(self, frames: int) -> None:
        """Let the game run without action. One that is over begins again."""
        for _ in range(frames):
            self.act(0)
            if self.over():
                self._ale.reset_game()

    def over(self) -> bool:
        over: bool = self._ale.game_over(with_truncation=False)
        return over

    def _read(self) -> _Loaded | None:
        """What loading leaves; None where it depends on the seed in more than the generator's words, as in doubledunk.

        Where a game has drawn from the generator while it was loaded, a second seed must leave the same.
        """
        loaded = _Loaded.read(self._load(0), 0)
        if loaded is not None and loaded.drawn and loaded != _Loaded.read(self._load(1), 1):
            return None
        return loaded

    def _load(self, seed: int) -> bytes:
        """Load the game: the emulator's state thereafter."""
        self._ale.setInt("random_seed", *struct.unpack("=i", struct.pack("=I", seed)))  # the setting is signed
        self._ale.loadROM(self._rom)
        state: bytes = self._ale.cloneState(include_rng=True).serialize()
        return state


@dataclass(frozen=True)
class _Loaded:
    """The bytes of an emulator's state after loading, in which the generator of the sticky actions can be exchanged.

    They are: 24 bytes; the length of what follows less 8; the machine and the game; the generator's length and text;
    8 bytes.

    Attributes:
        drawn: words that were drawn from the generator in loading.
    """

    head: bytes
    machine: bytes
    foot: bytes
    drawn: int

    @classmethod
    def read(cls, state: bytes, seed: int) -> _Loaded | None:
        """None where the state does not end in a generator that began at `seed`, as text.

        So it is with emulators that were built with a C++ library that writes generators in another way.
        """
        head, length, body, foot = state[:24], state[24:28], state[28:-8], state[-8:]
        place = body.rpartition(b" ")[2]
        drawn = int(place) % _WORDS if place.isdigit() else 0
        generator = _counted(_generator(seed, drawn))
        if not body.endswith(generator) or length != struct.pack("=i", len(body)):
            return None
        return cls(head, body.removesuffix(generator), foot, drawn)

    def seeded(self, seed: int) -> bytes:
        """The state that loading with this seed leaves."""
        return self.head + _counted(self.machine + _counted(_generator(seed, self.drawn))) + self.foot


_WORDS = 624  # of a Mersenne Twister's state


def _generator(seed: int, drawn: int) -> bytes:
    """A Mersenne Twister after a few draws, as the C++ library writes it: its words, and the place of the next one."""
    generator: Any = np.random.RandomState(seed)
    generator.randint(0, 2**32, drawn, np.uint32)
    _, words, place, *_ = generator.get_state()
    return " ".join(map(str, [*words.tolist(), place])).encode()


def _counted(text: bytes) -> bytes:
    return struct.pack("=i", len(text)) + text


def _check_options(max_steps: int, frame_skip: int, sticky: float, noops: int, max_pool: bool) -> None:
    if max_steps < 1:
        raise InvalidInput(f"max_steps must be at least 1, it is {max_steps}.")
    if frame_skip < (2 if max_pool else 1):
        raise InvalidInput(
            f"frame_skip={frame_skip} is too small: it must be at least 1, and at least 2 with max_pool, "
            "which takes the maximum of two screens of one decision."
        )
    if not 0 <= sticky <= 1:
        raise InvalidInput(f"sticky is a chance, from 0 to 1; it is {sticky}.")
    if noops < 0:
        raise InvalidInput(f"noops must not be negative, it is {noops}.")


def _rom(task: str) -> Path:
    """The game's file in the installed ale-py, found without loading native code."""
    spec = find_spec("ale_py")
    if spec is None or spec.origin is None:
        raise InvalidInput(NOT_INSTALLED)
    rom = Path(spec.origin).parent / "roms" / f"{ROMS[task]}.bin"
    if not rom.is_file():
        raise InvalidInput(
            f"ale-py {_ale_version()} comes without the game {task}: there is no {rom}. "
            "Install a complete one: pip install --force-reinstall 'ale-py>=0.12'"
        )
    return rom


def _ale_version() -> str:
    try:
        return version("ale-py")
    except PackageNotFoundError as error:
        raise InvalidInput(NOT_INSTALLED) from error
