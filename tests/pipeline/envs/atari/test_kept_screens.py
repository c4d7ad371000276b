"""Screens that were kept in colours against the emulator's own greys."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.domains.atari import ACTIONS
from pipeline.envs.atari.console import Console
from pipeline.envs.atari.screen import scaled_screens


@pytest.mark.parametrize("game", ["alien", "carnival"])
def test_a_screen_that_was_kept_in_colours_is_seen_as_the_emulator_shows_it(game: str):
    console, rng = Console(game, sticky=0.0), np.random.default_rng(0)
    console.begin(0)
    for _ in range(60):
        console.act(int(rng.integers(len(ACTIONS))))
        seen = console.screens.alone()
        np.testing.assert_array_equal(scaled_screens(console.rgb()[np.newaxis])[0], seen)
