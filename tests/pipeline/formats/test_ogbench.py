"""OGBench's files: what `load_dataset` reads of them, and that all else comes back."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from pipeline.dataset.workspace import Workspace
from pipeline.errors import InvalidInput
from pipeline.formats.contract import CannotHold
from pipeline.formats.ogbench import OgbenchFormat, is_validation
from tests.conftest import made_episode
from tests.contracts.format import FormatContract, Listed, exported, ingested, place_of
from tests.episodes import Kinds
from tests.everything import LAYOUTS, everything


class TestOgbench(FormatContract):
    kinds = Kinds(nested=False)

    def format(self) -> OgbenchFormat:
        return OgbenchFormat()


@pytest.fixture
def workspace(tmp_path):
    return Workspace(str(tmp_path), "bin")


def files(artifact):
    """The arrays of each file by its name."""
    return {path.name: dict(np.load(path)) for path in sorted(place_of(artifact).iterdir())}


def test_the_rows_of_each_file_are_those_of_its_episodes_and_their_last_rows_are_marked(workspace, rng):
    ingested(Listed([made_episode(rng, 1 + number) for number in range(11)]), workspace)
    found = files(exported(OgbenchFormat(), workspace))
    assert list(found) == ["toy-corner-listed-v1-val.npz", "toy-corner-listed-v1.npz"]
    (validation, train) = found.values()
    chosen = validation["episodes/number"]
    assert sorted([*chosen, *train["episodes/number"]]) == list(range(11))
    assert (np.flatnonzero(validation["terminals"]) + 1).tolist() == np.cumsum(chosen + 2).tolist()
    assert len(train["observations"]) == len(train["actions"]) == len(train["terminals"])
    assert train["observations"].dtype == np.float64


def test_a_tenth_of_the_episodes_is_for_validation_and_more_of_them_move_none():
    few, many = is_validation(100, 0.1), is_validation(1_000, 0.1)
    assert few.sum() == 10
    assert many.sum() == 100
    assert (few == many[:100]).all()
    assert not is_validation(1, 0.1).any()
    assert all(
        0 < is_validation(count, share).sum() < count for count in range(2, 30) for share in (0.05, 0.1, 0.5, 0.95)
    )
    assert not is_validation(50, 0).any()


def test_files_that_are_not_compressed_hold_the_same(workspace):
    ingested(Listed(everything()), workspace)
    settings = {"final_observation": "repeat"}
    small, large = (exported(OgbenchFormat(each), workspace, **settings) for each in ("deflate", "none"))
    one, two = files(small), files(large)
    for name, arrays in one.items():
        assert arrays.keys() == two[name].keys()
        for key in arrays.keys() - {"provenance.json"}:
            np.testing.assert_array_equal(arrays[key], two[name][key])


def test_states_of_a_simulator_have_the_names_by_which_ogbench_asks_for_them(workspace, rng):
    episode = made_episode(rng, 3)
    states = {"info/qpos": np.arange(8.0).reshape(4, 2), "info/other": np.arange(4)}
    ingested(Listed([replace(episode, steps={**episode.steps, **states})]), workspace)
    (arrays,) = files(exported(OgbenchFormat(), workspace)).values()
    np.testing.assert_array_equal(arrays["qpos"], states["info/qpos"])
    np.testing.assert_array_equal(arrays["info/other"], states["info/other"])


def test_of_nested_observations_one_is_read_and_the_others_are_kept(workspace):
    listed = LAYOUTS["pictures beside vectors"]()
    ingested(Listed(listed), workspace)
    with pytest.raises(CannotHold, match=r"(?s)has image, state.*observation=image"):
        exported(OgbenchFormat(), workspace)
    with pytest.raises(InvalidInput, match="no array of the observation named stat"):
        exported(OgbenchFormat(observation="stat"), workspace)
    form = OgbenchFormat(observation="state")
    artifact = exported(form, workspace)
    assert files(artifact)["toy-corner-listed-v1.npz"]["observations"].dtype == np.float64
    back = form.source(place_of(artifact)).episodes("toy", "corner")
    assert [episode.digest() for episode in back] == [episode.digest() for episode in listed]


@pytest.mark.parametrize("settings", [{"compression": "zip"}, {"validation": 1.0}, {"validation": -0.1}])
def test_settings_that_mean_nothing_are_refused(settings):
    with pytest.raises(InvalidInput):
        OgbenchFormat(**settings)
