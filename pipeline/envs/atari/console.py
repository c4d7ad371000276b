"""The emulator: one game that begins any number of episodes as if it had just been loaded."""

from __future__ import annotations

import importlib
import struct
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.domains.atari import ROMS
from pipeline.errors import InvalidInput

NOT_INSTALLED = "ale-py is not installed. Install it: pip install 'ale-py>=0.12' (or make setup)."


class Console:
    """An emulator with one game, which can begin any number of episodes as if the game had just been loaded.

    What the game wrote into its memory, and how far the emulator's generators have come, outlive a reset. Loading the
    game again undoes both but takes twenty times as long as the reset (most of it for colour tables that nothing here
    uses). So the state after loading is kept, and given the generator of each episode's seed; where that cannot be
    done, the game is loaded again.

    Attributes:
        act: play one frame with one of the 18 actions: its reward. A game that is over stands still.
        lives: how many are left.
        rgb: the screen as it is now, (height, 160, 3) uint8, the caller's own.
        screens: the screen as agents see it.
    """

    def __init__(self, task: str, sticky: float) -> None:
        # numba's import takes longer than the emulator's: not for those who only ask what a game is.
        from pipeline.envs.atari.screen import ScreenReader

        self._rom, self._module = str(rom_file(task)), importlib.import_module("ale_py")
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

    def begin_again(self) -> None:
        """Reset, and go on with the emulator's generator where it stands."""
        self._ale.reset_game()

    def wait(self, frames: int) -> None:
        """Let the game run without action. One that is over begins again."""
        for _ in range(frames):
            self.act(0)
            if self.over():
                self.begin_again()

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


def rom_file(task: str) -> Path:
    """The game's file in the installed ale-py, found without loading native code."""
    spec = find_spec("ale_py")
    if spec is None or spec.origin is None:
        raise InvalidInput(NOT_INSTALLED)
    rom = Path(spec.origin).parent / "roms" / f"{ROMS[task]}.bin"
    if not rom.is_file():
        raise InvalidInput(
            f"ale-py {ale_version()} comes without the game {task}: there is no {rom}. "
            "Install a complete one: pip install --force-reinstall 'ale-py>=0.12'"
        )
    return rom


def ale_version() -> str:
    """The installed version of ale-py. Raises InvalidInput where there is none."""
    try:
        return version("ale-py")
    except PackageNotFoundError as error:
        raise InvalidInput(NOT_INSTALLED) from error
