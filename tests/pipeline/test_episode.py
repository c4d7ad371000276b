"""The episode: T transitions in T+1 rows, checked once, hashed by content."""

import dataclasses

import numpy as np
import pytest
from blake3 import blake3

from pipeline.episode import Episode, with_last_row
from pipeline.errors import InvalidEpisode
from tests.conftest import made_episode


def steps(length=2, **changes):
    arrays = {
        "observation": np.arange(3.0 * (length + 1)).reshape(length + 1, 3),
        "action": with_last_row("action", np.ones(length, np.int64)),
        "reward": with_last_row("reward", np.arange(length, dtype=float)),
        "discount": with_last_row("discount", np.ones(length)),
    }
    return arrays | changes


def test_flags_follow_from_the_end():
    episode = Episode(steps(3), terminated=True, end_reason="terminated")
    np.testing.assert_array_equal(episode.is_first, [True, False, False, False])
    np.testing.assert_array_equal(episode.is_last, [False, False, False, True])
    np.testing.assert_array_equal(episode.is_terminal, [False, False, False, True])
    assert not Episode(steps(3), truncated=True).is_terminal.any()
    assert (episode.length, episode.rows, episode.total_reward) == (3, 4, 3.0)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"reward": np.array([1.0, np.nan, 0.0])}, "reward holds NaN or infinity, first at step 1"),
        ({"discount": np.array([1.0, 2.0, 0.0])}, r"discount must lie in \[0, 1\], it is 2.0 at step 1"),
        ({"discount": np.array([1.0, -0.5, 0.0])}, r"discount must lie in \[0, 1\], it is -0.5 at step 1"),
        ({"observation": np.array([0.0, np.nan, 1.0])}, "observation holds NaN, first at step 1"),
        ({"action": np.ones(3)}, "action of the last row must be zeros"),
        ({"action": np.zeros(5)}, "same T\\+1 rows"),
        ({"reward": np.zeros(3, np.float32)}, "reward must be a float64 vector"),
        ({"observation": np.zeros(3, np.complex64)}, "observation must hold .* at most 64 bits, it is complex64"),
        ({"action": np.zeros((3, 2), np.longdouble)}, "action must hold .* at most 64 bits, it is float128"),
        ({"info/when": np.zeros(3, "M8[s]")}, "info/when must hold .* it is datetime64"),
        ({"info/name": np.array(["a", "b", "c"])}, "info/name must hold .* it is <U1"),
    ],
)
def test_a_broken_invariant_names_the_array(changes, message):
    with pytest.raises(InvalidEpisode, match=message):
        Episode(steps(**changes))


def test_an_episode_needs_an_observation():
    arrays = steps()
    del arrays["observation"]
    with pytest.raises(InvalidEpisode, match="needs an observation"):
        Episode(arrays)


def test_the_digest_is_blake3_over_name_dtype_shape_and_bytes_in_name_order():
    episode = Episode(steps(1), seed=7, success=1, mission="go", end_reason="time_limit", truncated=True)
    hasher = blake3()

    def add(name, dtype, shape, data):
        hasher.update(f"{name}\0{dtype}\0{shape}\0".encode() + data)

    add("action", "<i8", "2", np.array([1, 0], "<i8").tobytes())
    add("discount", "<f8", "2", np.array([1, 0], "<f8").tobytes())
    add("end_reason", "|u1", "10", b"time_limit")
    add("has_final_observation", "|b1", "", b"\1")
    add("has_final_reward", "|b1", "", b"\1")
    add("mission", "|u1", "2", b"go")
    add("observation", "<f8", "2,3", np.arange(6, dtype="<f8").tobytes())
    add("reward", "<f8", "2", np.array([0, 0], "<f8").tobytes())
    add("seed", "<i8", "", np.int64(7).tobytes())
    add("success", "|i1", "", b"\1")
    add("terminated", "|b1", "", b"\0")
    add("truncated", "|b1", "", b"\1")
    assert episode.digest() == hasher.digest()


def test_every_fact_moves_the_digest(rng):
    base = made_episode(rng, 4)
    digests = {base.digest()}
    for change in ({"seed": 1}, {"success": 1}, {"mission": "x"}, {"truncated": True}, {"has_final_reward": False}):
        digests.add(Episode(base.steps, **change).digest())
    digests.add(Episode({**base.steps, "observation": base.steps["observation"].astype(np.float32)}).digest())
    assert len(digests) == 7


def test_a_mask_that_says_nothing_is_no_mask(rng: np.random.Generator):
    episode = made_episode(rng, 3)
    steps = {**episode.steps, "info/x": np.zeros(4)}
    for mask in ([True, True, True, False], [False] * 4, [True, False, False, True], [1, 0, 0, 0]):
        with pytest.raises(InvalidEpisode, match="info_present/x"):
            dataclasses.replace(episode, steps={**steps, "info_present/x": np.asarray(mask)})
    with pytest.raises(InvalidEpisode, match="info_present/y"):
        dataclasses.replace(episode, steps={**steps, "info_present/y": np.asarray([True, False, False, False])})
