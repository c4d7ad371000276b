"""Draws with numpy: their chances, and how much of the generator they take."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.errors import InvalidInput
from pipeline.policies import sampling


def test_a_choice_has_its_softmax_chance():
    rng, logits = np.random.default_rng(0), np.float32([0, np.log(2), np.log(5), -np.inf])
    counts = np.bincount([sampling.categorical(logits, rng) for _ in range(8000)], minlength=4)
    chances = np.asarray([1, 2, 5, 0]) / 8
    assert (np.abs(counts - 8000 * chances) <= 4 * np.sqrt(8000 * chances * (1 - chances))).all()


def test_large_logits_do_not_overflow():
    rng = np.random.default_rng(0)
    assert sampling.categorical(np.float32([1e30, -1e30]), rng) == 0
    np.testing.assert_array_equal(sampling.bernoulli(np.float32([1e30, -1e30]), rng), [1, 0])


def test_switches_and_normal_numbers_have_their_moments():
    rng = np.random.default_rng(0)
    ones = np.mean([sampling.bernoulli(np.float32([0, np.log(3)]), rng) for _ in range(4000)], axis=0)
    np.testing.assert_allclose(ones, [0.5, 0.75], atol=0.03)
    drawn = np.stack([sampling.normal(np.float32([1, -2]), np.float32([0.5, 2]), rng) for _ in range(4000)])
    assert drawn.dtype == np.float32
    np.testing.assert_allclose(drawn.mean(axis=0), [1, -2], atol=0.12)
    np.testing.assert_allclose(drawn.std(axis=0), [0.5, 2], rtol=0.05)


def test_a_draw_takes_as_much_of_the_generator_whatever_is_drawn():
    for logits in (np.float32([0, 0]), np.float32([9, -9, 3])):
        rng, other = np.random.default_rng(0), np.random.default_rng(0)
        sampling.categorical(logits, rng)
        other.random()
        assert rng.bit_generator.state == other.bit_generator.state


@pytest.mark.parametrize("draw", [sampling.categorical, sampling.bernoulli])
def test_nan_is_an_error(draw):
    with pytest.raises(InvalidInput, match="NaN"):
        draw(np.float32([0, np.nan]), np.random.default_rng(0))
