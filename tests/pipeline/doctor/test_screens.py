"""Screens that show nothing, planted and found."""

import numpy as np
import pytest

from pipeline.doctor.kernels import BLACK, ONE_VALUE, REPEATED, looks_of
from pipeline.doctor.thresholds import Thresholds
from tests.pipeline.doctor.planted import examined_made, found_in, walked

LENGTH = 8


def screens(shape=(16, 16), count=6, **facts):
    rng = np.random.default_rng(0)
    episodes = []
    for _ in range(count):
        pictures = rng.integers(0, 256, (LENGTH + 1, *shape)).astype(np.uint8)
        episodes.append(walked(rng, LENGTH, steps={"observation": pictures}, **facts))
    return episodes


def rows_of(some, value):
    def change(arrays):
        arrays["steps/observation"][some] = value

    return change


@pytest.mark.parametrize("shape", [(16, 16), (17, 19), (16, 16, 3)])
def test_healthy_screens_give_no_finding_and_are_counted(shape):
    examination = examined_made(screens(shape))
    assert examination.findings == []
    assert examination.facts["screens"]["observation"] == {
        **{"pictures": 54, "black": 0, "one_value": 0, "repeated": 0, "longest_still": 0}
    }


@pytest.mark.parametrize("shape", [(16, 16), (17, 19)])
@pytest.mark.parametrize(("value", "name"), [(0, "black_screens"), (7, "single_colour_screens")])
def test_black_and_single_coloured_screens_are_told_by_their_share(shape, value, name):
    few = found_in(screens(shape), rows_of([4, 20], value))[name]
    assert (few.severity, few.count, few.examples) == ("warning", 2, ("episode 0, row 4", "episode 2, row 2"))
    assert dict(few.numbers)["share"] == 2 / 54
    assert found_in(screens(shape), rows_of(slice(0, 40), value))[name].severity == "error"


def test_the_zeros_that_stand_for_lost_observations_are_no_black_screens():
    found = found_in(screens(has_final_observation=False), lambda arrays: last_rows(arrays, 0))
    assert set(found) == {"final_observations_missing"}


def last_rows(arrays, value):
    arrays["steps/observation"][arrays["episode_ends"] - 1] = value


def test_frozen_screens_are_an_error_and_equal_ones_of_two_episodes_are_not():
    def frozen(arrays):
        for episode in range(6):
            arrays["steps/observation"][9 * episode : 9 * episode + 9] = arrays["steps/observation"][0]

    found = found_in(screens(), frozen)["frozen_screens"]
    assert (found.severity, found.count) == ("error", 6 * LENGTH)
    assert "episode 0, row 0" not in found.examples


def test_an_episode_that_stands_still_is_a_warning():
    def still(arrays):
        arrays["steps/observation"][9 + 2 : 9 + 7] = arrays["steps/observation"][9 + 2]

    examination = examined_made(screens(), still, thresholds=Thresholds(states=20, episodes=3, still=4))
    assert [(each.name, each.count, each.examples) for each in examination.findings] == [
        ("stuck_episodes", 1, ("episode 1",))
    ]
    assert examination.facts["screens"]["observation"]["longest_still"] == 4
    assert found_in(screens(), still, thresholds=Thresholds(states=20, episodes=3, still=5)) == {}


@pytest.mark.parametrize("width", [16, 17])
def test_looks_are_those_that_numpy_finds(width):
    rng = np.random.default_rng(width)
    rows = rng.integers(0, 2, (200, 1)).astype(np.uint8).repeat(width, axis=1)
    rows[::3, -1] = 1
    use, begins = rng.random(200) < 0.9, rng.random(200) < 0.1
    begins[0] = True
    looks = looks_of(rows, use, begins)
    alike = (rows == rows[:, :1]).all(axis=1)
    same = np.concatenate([[False], (rows[1:] == rows[:-1]).all(axis=1)])
    np.testing.assert_array_equal(looks & BLACK > 0, use & alike & (rows[:, 0] == 0))
    np.testing.assert_array_equal(looks & ONE_VALUE > 0, use & alike & (rows[:, 0] != 0))
    np.testing.assert_array_equal(looks & REPEATED > 0, use & same & ~begins)
