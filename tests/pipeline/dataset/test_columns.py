"""Which arrays the episodes of a dataset have; infos may come and go."""

import numpy as np
import pytest

from pipeline.dataset.columns import Columns, RowSpec, beside, without_absent
from pipeline.dataset.reader import EpisodeDataset
from pipeline.dataset.writer import DatasetWriter
from pipeline.episode import Episode
from pipeline.errors import InvalidEpisode
from pipeline.storage.choice import storage_named
from tests.conftest import made_episode
from tests.pipeline.dataset.made import with_infos


def noted(folder, episodes: list[Episode], part_bytes: int) -> tuple[EpisodeDataset, list[str]]:
    writer = DatasetWriter(folder, folder / "none", storage_named("zarr"), part_bytes)
    for episode in episodes:
        writer.append(episode)
    return EpisodeDataset(folder, writer.finish()), writer.notes


def test_an_episode_of_another_width_is_refused_even_in_another_part(tmp_path, rng):
    writer = DatasetWriter(tmp_path, tmp_path / "none", storage_named("bin"), 1)  # every episode is a part
    writer.append(made_episode(rng, 4, width=5))
    with pytest.raises(InvalidEpisode, match=r"observation float64\[1\].*before it have.*observation float64\[5\]"):
        writer.append(made_episode(rng, 4, width=1))
    again = DatasetWriter(tmp_path, tmp_path / "none", storage_named("bin"), 1)
    with pytest.raises(InvalidEpisode, match="need the same arrays"):
        again.append(made_episode(rng, 4, width=1))


def test_a_whole_number_joins_a_column_of_fractions(tmp_path):
    dataset, notes = noted(tmp_path, [with_infos([{"x": 0.5}]), with_infos([{"x": 1}])], 2**20)
    assert dataset.state_rows("info/x", 0, 2).tolist() == [0.5, 1.0]
    assert notes == []


@pytest.mark.parametrize("part_bytes", [1, 2**20])
def test_what_does_not_fit_is_left_out_with_a_note(tmp_path, part_bytes: int):
    episodes = [with_infos([{"x": 1}]), with_infos([{"x": 0.5}]), with_infos([{"x": [1, 2]}]), with_infos([{"x": 7}])]
    dataset, notes = noted(tmp_path, episodes, part_bytes)
    assert dataset.state_rows("info/x", 0, 4).tolist() == [1, 0, 0, 7]
    assert [note.split(",")[0] for note in notes] == [
        "info/x of episode 1 is float64[]",
        "info/x of episode 2 is int64[2]",
    ]


@pytest.mark.parametrize("part_bytes", [1, 2**20])
def test_numbers_join_a_column_of_another_type_where_that_holds_them(tmp_path, part_bytes: int):
    first = {"real": 0.5, "whole": 2**60 + 1, "small": np.int8(3), "natural": np.uint64(2**63), "flag": True}
    fits = {"real": 2**53, "whole": 2.0, "small": 100, "natural": 5, "flag": 0}
    does_not = {"real": 2**53 + 1, "whole": 0.5, "small": 200, "natural": -1, "flag": 2}
    dataset, notes = noted(tmp_path, [with_infos([each]) for each in (first, fits, does_not, first)], part_bytes)
    for name in first:
        assert dataset.state_rows(f"info/{name}", 0, 4).tolist() == [first[name], fits[name], 0, first[name]]
        assert dataset.spec(f"info/{name}")[1] == np.asarray(first[name]).dtype
    assert sorted(note.split(" of ")[0] for note in notes) == sorted(f"info/{name}" for name in first)


def test_nan_is_a_number_that_every_real_type_holds(tmp_path):
    dataset, notes = noted(tmp_path, [with_infos([{"x": np.float32(1)}]), with_infos([{"x": float("nan")}])], 2**20)
    np.testing.assert_array_equal(dataset.state_rows("info/x", 0, 2), [1, np.nan])
    assert notes == []


def test_the_order_of_bytes_makes_no_other_array(tmp_path, rng):
    episodes = [made_episode(rng, 3), made_episode(rng, 3)]
    swapped = dict(episodes[1].steps) | {"observation": episodes[1].steps["observation"].astype(">f8")}
    dataset, _ = noted(tmp_path, [episodes[0], Episode(swapped)], 2**20)
    assert [episode.digest() for episode in dataset] == [episode.digest() for episode in episodes]


def test_a_slash_in_a_key_makes_no_mapping_of_it():
    columns = Columns()
    infos = [{"a": {"b": 1}, "a/b": 2}, {"a/b": 3}, {"a/b": 4, "a": {"b": 5}}]
    stored = [columns.conform(with_infos([info]), number).steps for number, info in enumerate(infos)]
    assert [steps.get("info/a/b", [None])[0] for steps in stored] == [1, None, 5]
    assert [steps["info/a%2Fb"][0] for steps in stored] == [2, 3, 4]


def test_what_is_made_again_keeps_the_names_that_are_there(rng):
    columns = Columns()
    columns.keep_names(["observation/walker/joints", "info/R", "info/r", "action", "reward", "discount"])
    plain = made_episode(rng, 1)
    steps = {name: array for name, array in plain.steps.items() if name != "observation"}
    steps |= {"observation/walker%2Fjoints": np.zeros(2), "info/r": np.zeros(2), "info/R": np.ones(2)}
    found = columns.conform(Episode(steps), 0).steps
    assert {"observation/walker/joints", "info/R", "info/r"} < set(found)


def test_a_first_info_settles_its_column_and_arrays_of_parts_do_as_well():
    columns = Columns()
    columns.learn({"action": RowSpec(np.dtype("f8"), ()), "info/x": RowSpec(np.dtype("i8"), (2,))})
    with pytest.raises(InvalidEpisode, match=r"has action float32\[\]; those before it have action float64\[\]"):
        columns.learn({"action": RowSpec(np.dtype("f4"), ())})
    columns.learn({"action": RowSpec(np.dtype("f8"), ())})  # an info may be missing


def test_an_info_that_is_called_like_another_array_is_absent_where_it_was(tmp_path):
    dataset, _ = noted(tmp_path, [with_infos([{"x": 1}]), with_infos([{"action": 2}])], 2**20)
    without, having = (beside(episode, dataset.rows()) for episode in dataset)
    assert without["info_present/action"].tolist() == [False, False]
    assert having["info_present/action"].tolist() == [True, False]
    assert without_absent(without).keys() == dataset[0].steps.keys()
