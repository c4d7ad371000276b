"""Pictures of environments while they are played."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
import pytest

from pipeline.envs.atari.environment import Atari
from pipeline.envs.toy import Toy
from pipeline.frames.encoder import PictureEncoder
from pipeline.frames.png import decode_png
from pipeline.frames.store import EncodedPicture, pixel_digest
from pipeline.interfaces import Environment, Redrawing


def require_shows(picture: EncodedPicture, pixels: np.ndarray) -> None:
    np.testing.assert_array_equal(decode_png(picture.png), pixels)
    assert picture.digest == pixel_digest(pixels)


@pytest.mark.parametrize("make", [partial(Atari, "spaceinvaders"), partial(Toy, "corner")], ids=["redraws", "draws"])
def test_a_picture_is_what_the_environment_renders(make: Callable[[], Environment]):
    environment = make()
    encode, high = PictureEncoder(), int(np.asarray(environment.action_spec.high))
    for seed in range(2):
        environment.reset(seed)
        require_shows(encode(environment), environment.render())
        for action in range(20):
            after = environment.step(np.asarray(action % (high + 1)))
            require_shows(encode(environment), environment.render())
            if after.terminated or after.truncated:
                break


def test_several_environments_and_encoders_do_not_disturb_each_other():
    games = [Atari("pong"), Atari("breakout")]
    one, other = PictureEncoder(), PictureEncoder()
    for game in games:
        game.reset(0)
    for _ in range(10):
        for game in games:
            game.step(np.asarray(1))
            require_shows(one(game), game.render())
            require_shows(other(game), game.render())


def test_what_stands_still_is_not_encoded_again():
    game, encode = Atari("pong"), PictureEncoder()
    game.reset(0)
    assert encode(game) is encode(game)


def test_the_rows_that_changed_are_named():
    game = Atari("pong")
    assert isinstance(game, Redrawing)
    with pytest.raises(RuntimeError, match="call reset first"):
        game.redraw(np.zeros((210, 160, 3), np.uint8))
    game.reset(0)
    canvas = np.zeros(game.picture_shape(), np.uint8)
    assert len(game.redraw(canvas)) == len(canvas)
    counts = []
    for _ in range(30):
        before = canvas.copy()
        game.step(np.asarray(2))
        changed = game.redraw(canvas)
        differ = np.flatnonzero((canvas != before).any(axis=(1, 2)))
        assert set(differ) <= set(changed.tolist())
        counts.append(len(changed))
    assert min(counts) < 40  # most of the screen stands still
