from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest

from pipeline.episode import Episode
from pipeline.errors import InvalidInput
from pipeline.sources.d4rl import D4rlSource
from tests.contracts.source import NamingSourceContract, SourceContract
from tests.d4rl_files import d4rl_arrays, write_d4rl
from tests.named import name_in_hdf5


class TestD4rl(NamingSourceContract):
    any_task = True
    arrays_named: ClassVar = {"dataset": lambda folder, name: name_in_hdf5(folder / "log.hdf5", 12, name)}

    def write(self, folder: Path) -> None:
        write_d4rl(folder / "log.hdf5", d4rl_arrays())

    def source(self, folder: Path) -> D4rlSource:
        return D4rlSource(str(folder / "log.hdf5"))


class TestD4rlFolder(SourceContract):
    def write(self, folder: Path) -> None:
        write_d4rl(folder / "corner.hdf5", d4rl_arrays())

    def source(self, folder: Path) -> D4rlSource:
        return D4rlSource(str(folder))


def read(path: Path, **settings: object) -> tuple[list[Episode], dict[str, int]]:
    """The episodes, and how often each quirk was met."""
    source = D4rlSource(str(path), **settings)
    episodes = list(source.episodes("toy", "corner"))
    assert source.count("toy", "corner") == len(episodes)
    return episodes, {quirk.name: quirk.count for quirk in source.quirks("toy", "corner")}


def first_numbers(episode: Episode) -> list[float]:
    return episode.steps["observation"][:, 0].tolist()


@pytest.fixture
def arrays():
    return d4rl_arrays()


@pytest.fixture
def path(tmp_path):
    return tmp_path / "log.hdf5"


def test_an_episode_has_all_its_steps_and_no_observation_that_was_made_up(path, arrays):
    (first, second, third), quirks = read(write_d4rl(path, arrays))
    assert first_numbers(first) == [0, 1, 2, 0]
    assert first_numbers(third) == [200, 201, 202, 203, 0]
    np.testing.assert_array_equal(first.steps["reward"], [0.25, 1.25, 2.25, 0])
    np.testing.assert_array_equal(first.steps["discount"], [1, 1, 0, 0])
    np.testing.assert_array_equal(second.steps["discount"], [1, 0])
    assert not first.has_final_observation
    assert [(e.terminated, e.truncated, e.end_reason) for e in (first, second)] == [
        (True, False, "terminated"),
        (False, True, "time_limit"),
    ]
    assert quirks == {"incomplete": 2, "no_final_observations": 3}


def test_next_observations_give_the_last_one(path, arrays):
    arrays["next_observations"] = arrays["observations"] + 1
    (first, second, third), quirks = read(write_d4rl(path, arrays))
    assert [first_numbers(e) for e in (first, second, third)] == [[0, 1, 2, 3], [100, 101], [200, 201, 202, 203, 204]]
    assert first.has_final_observation
    assert quirks == {"incomplete": 2, "differing_next_observations": 5}  # the other number of each row is not one more


def test_a_last_observation_is_repeated_or_its_step_dropped_where_that_is_wanted(path, arrays):
    write_d4rl(path, arrays)
    (first, _, third), _ = read(path, final_observation="repeat")
    assert [first_numbers(e) for e in (first, third)] == [[0, 1, 2, 2], [200, 201, 202, 203, 203]]
    assert first.terminated
    assert first.has_final_observation
    (first, third), quirks = read(path, final_observation="drop")
    assert [first_numbers(e) for e in (first, third)] == [[0, 1, 2], [200, 201, 202, 203]]
    assert (first.terminated, first.truncated, first.end_reason) == (False, False, "source")
    np.testing.assert_array_equal(first.steps["reward"], [0.25, 1.25, 0])
    assert quirks["empty_episodes"] == 1


def test_without_timeouts_an_episode_ends_after_so_many_steps_counted_anew(path, arrays):
    del arrays["timeouts"]
    write_d4rl(path, arrays)
    with pytest.raises(InvalidInput, match=r"(?s)no timeouts.*source\.max_episode_steps=1000"):
        read(path)
    episodes, quirks = read(path, max_episode_steps=3)  # of the rows 0 1 2 | 100 200 201 | 202 203 300 | 301
    assert [first_numbers(e)[:-1] for e in episodes] == [[0, 1, 2], [100, 200, 201], [202, 203, 300]]
    assert [e.terminated for e in episodes] == [True, False, False]
    assert quirks["incomplete"] == 1
    episodes, quirks = read(path, max_episode_steps=7)
    assert [e.length for e in episodes] == [3, 7]
    assert "incomplete" not in quirks
    assert [e.length for e in read(path, max_episode_steps=2)[0]] == [2, 1, 2, 2, 2]


def test_the_tail_is_kept_where_it_is_wanted(path, arrays):
    episodes, _ = read(write_d4rl(path, arrays), incomplete="keep")
    assert first_numbers(episodes[-1]) == [300, 301, 0]
    assert (episodes[-1].terminated, episodes[-1].truncated) == (False, False)


def test_columns_and_other_types_of_numbers_are_as_good(path, arrays):
    whole, _ = read(write_d4rl(path, arrays))
    arrays["rewards"], arrays["terminals"] = arrays["rewards"][:, None], arrays["terminals"].astype(np.uint8)[:, None]
    arrays["timeouts"] = arrays["timeouts"].astype(np.float32)
    episodes, _ = read(write_d4rl(path, arrays))
    assert [e.digest() for e in episodes] == [e.digest() for e in whole]


def test_infos_are_kept_and_metadata_is_noted(path, arrays):
    rows = len(arrays["rewards"])
    arrays |= {"infos/qpos": np.arange(rows * 2.0).reshape(rows, 2), "infos/goal/x": np.arange(rows)}
    arrays |= {"metadata/algorithm": b"SAC", "metadata/policy/fc0/weight": np.eye(3), "costs": np.arange(rows)}
    (first, *_), quirks = read(write_d4rl(path, arrays))
    np.testing.assert_array_equal(first.steps["info/goal/x"], [0, 1, 2, 0])
    assert {"info/qpos", "info/costs"} < set(first.steps)
    assert quirks["unread_arrays"] == 2


def test_a_chunked_set_is_read_in_the_order_of_its_numbers(path, arrays):
    whole, _ = read(write_d4rl(path, arrays))
    cuts = {"0": slice(0, 2), "2": slice(2, 6), "10": slice(6, None)}
    pieces = {f"virtual/{k}/{name}": array[cut] for k, cut in cuts.items() for name, array in arrays.items()}
    episodes, quirks = read(write_d4rl(path, pieces))
    assert [e.digest() for e in episodes] == [e.digest() for e in whole]
    assert quirks["chunks"] == 3
    pieces["virtual/2/actions"] = np.zeros((4, 2), np.float32)
    with pytest.raises(InvalidInput, match=r"virtual/0/actions.*rows of one dtype and shape"):
        read(write_d4rl(path, pieces))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda a: a.pop("observations"), "needs a dataset observations"),
        (lambda a: a.pop("terminals"), "needs a dataset terminals"),
        (lambda a: a.update(actions=a["actions"][:-2]), r"same first dimension.*actions 8"),
        (lambda a: a.update(rewards=a["rewards"] * np.nan), r"episode 0 \(from row 0\).*reward holds NaN"),
        (lambda a: a.update(observations=np.array([["x"]] * 10, object)), "observations .*numbers.*objects"),
        (lambda a: a.update(terminals=np.full(10, np.nan)), "terminals should be 0 or 1; it is nan at row 0"),
        (lambda a: a.update(timeouts=np.arange(10)), "timeouts should be 0 or 1; it is 2 at row 2"),
        (lambda a: a.update(rewards=np.ones((10, 3))), r"one of the rewards a row.*\[10, 3\]"),
        (lambda a: a.update({name: array[:0] for name, array in a.items()}), "no rows"),
        (lambda a: a.update(next_observations=np.zeros((10, 3), np.float32)), "rows of one dtype and shape"),
    ],
)
def test_what_cannot_be_read_is_said_in_plain_words(path, arrays, change, words):
    change(arrays)
    write_d4rl(path, arrays)
    with pytest.raises(InvalidInput, match=f"(?s){words}") as caught:
        read(path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("settings", [{"max_episode_steps": 0}, {"max_episode_steps": "x"}, {"final_observation": "x"}])
def test_settings_that_mean_nothing_are_refused(path, settings):
    with pytest.raises(InvalidInput, match=f"source.{next(iter(settings))}"):
        D4rlSource(str(path), **settings)
