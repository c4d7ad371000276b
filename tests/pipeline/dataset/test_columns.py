"""Which arrays the episodes of a dataset have; infos may come and go."""

import numpy as np
import pytest

from pipeline.dataset.columns import Columns, RowSpec
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


def test_a_first_info_settles_its_column_and_arrays_of_parts_do_as_well():
    columns = Columns()
    columns.learn({"action": RowSpec(np.dtype("f8"), ()), "info/x": RowSpec(np.dtype("i8"), (2,))})
    with pytest.raises(InvalidEpisode, match=r"has action float32\[\]; those before it have action float64\[\]"):
        columns.learn({"action": RowSpec(np.dtype("f4"), ())})
    columns.learn({"action": RowSpec(np.dtype("f8"), ())})  # an info may be missing
