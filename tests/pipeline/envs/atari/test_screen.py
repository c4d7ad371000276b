"""The compiled screen against OpenCV's INTER_AREA, on drawn screens and on those of games."""

from __future__ import annotations

import ale_py
import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.domains.atari import ROMS, minimal_actions
from pipeline.envs.atari.screen import ScreenReader

HEIGHTS = (210, 214, 220, 230, 250)


class Console:
    """Shows any screen of colour numbers; hands out screens and greys as the emulator does."""

    def __init__(self, screen: np.ndarray, palette: np.ndarray) -> None:
        self.screen, self.palette, self.asked = screen, palette, 0

    def getScreen(self, into: np.ndarray | None = None) -> np.ndarray | None:
        return self._hand_out(self.screen, into)

    def getScreenGrayscale(self, into: np.ndarray | None = None) -> np.ndarray | None:
        self.asked += 1
        return self._hand_out(self.palette[self.screen], into)

    def _hand_out(self, screen: np.ndarray, into: np.ndarray | None) -> np.ndarray | None:
        if into is None:
            return screen.copy()
        into[:] = screen
        return None


def small(grey: np.ndarray) -> np.ndarray:
    return cv2.resize(grey, (84, 84), interpolation=cv2.INTER_AREA)


def flat(colour: int, height: int = 210) -> np.ndarray:
    return np.full((height, 160), colour, np.uint8)


@settings(max_examples=30)
@given(st.sampled_from(HEIGHTS), st.integers(0, 2**32 - 1), st.integers(1, 256), st.floats(0, 1))
def test_every_observation_is_that_of_opencv(height: int, seed: int, colours: int, moving: float):
    rng = np.random.default_rng(seed)
    console = Console(flat(0, height), rng.integers(0, 256, 256, dtype=np.uint8))
    screens = ScreenReader(console)
    for _ in range(4):
        rows = rng.random(height) < moving
        earlier, console.screen = console.screen, console.screen.copy()
        console.screen[rows] = rng.integers(0, colours, (rows.sum(), 160), dtype=np.uint8)
        np.testing.assert_array_equal(screens.alone(), small(console.palette[console.screen]))
        last, console.screen = console.screen, earlier
        screens.remember()
        console.screen = last
        brighter = np.maximum(console.palette[earlier], console.palette[last])
        np.testing.assert_array_equal(screens.brighter(), small(brighter))


@pytest.mark.parametrize("height", HEIGHTS)
def test_a_screen_of_one_grey_stays_so(height: int):
    console = Console(flat(0, height), np.arange(256, dtype=np.uint8))
    screens = ScreenReader(console)
    for colour in range(256):
        console.screen = flat(colour, height)
        assert (screens.alone() == colour).all()


def test_a_grey_is_asked_for_when_its_colour_is_first_met():
    console = Console(flat(0), np.arange(255, -1, -1, dtype=np.uint8))
    screens, asked = ScreenReader(console), []
    for colour in (3, 4, 3, 4, 255):
        console.screen, console.asked = flat(colour), 0
        screens.remember()
        asked.append(console.asked)
        assert (screens.brighter() == 255 - colour).all()
    assert asked == [1, 1, 0, 0, 1]


def test_an_observation_is_the_callers_own():
    console = Console(flat(7), np.arange(256, dtype=np.uint8))
    screens = ScreenReader(console)
    first = screens.alone()
    first += 1
    assert (screens.alone() == 7).all()
    console.screen = flat(9)
    screens.alone()
    assert (first == 8).all()


@pytest.mark.parametrize("task", ["qbert", "yarsrevenge", "carnival", "pooyan", "journeyescape", "airraid"])
def test_the_screens_of_a_game_are_those_of_opencv(task: str):
    ale_py.ALEInterface.setLoggerMode(ale_py.LoggerMode.Error)
    emulator = ale_py.ALEInterface()
    emulator.setInt("random_seed", 0)
    emulator.loadROM(ale_py.roms.get_rom_path(ROMS[task]))
    screens = ScreenReader(emulator)
    for action in np.random.default_rng(0).choice(minimal_actions(task), 100).tolist():
        for _ in range(3):
            emulator.act(action)
        earlier = emulator.getScreenGrayscale()
        screens.remember()
        emulator.act(action)
        brighter = np.maximum(earlier, emulator.getScreenGrayscale())
        np.testing.assert_array_equal(screens.brighter(), small(brighter))
