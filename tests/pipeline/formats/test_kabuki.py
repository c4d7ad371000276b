from dataclasses import replace

import h5py
import numpy as np
import pytest

from pipeline.dataset.workspace import Workspace
from pipeline.errors import InvalidInput
from pipeline.formats.contract import CannotHold
from pipeline.formats.hdf5 import COMPRESSIONS
from pipeline.formats.kabuki import KabukiFormat
from pipeline.sources.kabuki import KabukiSource
from tests.conftest import made_episode
from tests.contracts.format import FormatContract, Listed, exported, ingested, place_of
from tests.episodes import Kinds


class TestKabuki(FormatContract):
    kinds = Kinds(nul=False)

    def format(self) -> KabukiFormat:
        return KabukiFormat()


@pytest.mark.parametrize("compression", COMPRESSIONS)
def test_any_reader_of_hdf5_finds_the_flat_arrays_and_the_place_of_each_episode(workspace, rng, compression):
    ends = [{"terminated": True, "end_reason": "terminated"}, {"truncated": True, "end_reason": "time_limit"}]
    episodes = [made_episode(rng, 3 + number, seed=number, **end) for number, end in enumerate(ends)]
    ingested(Listed(episodes), workspace)
    with h5py.File(place_of(exported(KabukiFormat(compression), workspace))) as file:
        for name in ("observation", "action", "reward", "discount"):
            np.testing.assert_array_equal(file[name], np.concatenate([e.steps[name] for e in episodes]))
        assert np.flatnonzero(file["is_first"]).tolist() == [0, 4]
        assert np.flatnonzero(file["is_last"]).tolist() == [3, 8]
        assert np.flatnonzero(file["is_terminal"]).tolist() == [3]
        assert file["is_first"].dtype == np.bool_
        offset, length = (file[f"episode_metadata/{name}"][1] for name in ("offset", "length"))
        np.testing.assert_array_equal(
            file["observation"][offset : offset + length], episodes[1].steps["observation"][:-1]
        )
        assert file["episode_metadata/seed"][:].tolist() == [0, 1]
        assert file["episode_metadata/return"][1] == episodes[1].total_reward
        assert file["episode_metadata/end_reason"].asstr()[:].tolist() == ["terminated", "time_limit"]
        assert dict(file.attrs).items() >= {"format": "kabuki-hdf5", "alignment": "SAR", "num_transitions": 7}.items()


def test_a_text_that_hdf5_would_cut_is_refused(workspace, rng):
    ingested(Listed([made_episode(rng, 2, mission="go\0on")]), workspace)
    with pytest.raises(CannotHold, match="mission of episode 0 .*NUL"):
        exported(KabukiFormat(), workspace)


def test_one_changed_reward_is_told_where_the_file_comes_in(workspace, rng):
    ingested(Listed([made_episode(rng, 3), made_episode(rng, 4)]), workspace)
    path = place_of(exported(KabukiFormat(), workspace))
    path.chmod(0o644)
    with h5py.File(path, "a") as file:
        file["reward"][5] = 3
    manifest = ingested(KabukiSource(str(path)), workspace, "again-v1").manifest
    assert "changed_since_export" in [quirk["name"] for quirk in manifest.quirks]
    assert any("these 2 episodes are not the 2 of toy/corner/listed-v1" in each for each in manifest.warnings)


def test_a_file_that_was_changed_is_read_as_it_says_it_is(workspace, rng):
    ingested(Listed([made_episode(rng, 3, seed=number, terminated=True) for number in range(2)]), workspace)
    path = place_of(exported(KabukiFormat("none"), workspace))
    path.chmod(0o644)
    with h5py.File(path, "a") as file:
        file["is_terminal"][3] = False
    source = KabukiSource(str(path))
    first, second = source.episodes("toy", "corner")
    assert (first.terminated, first.truncated, first.seed) == (False, True, 0)
    assert second.terminated
    with h5py.File(path, "a") as file:
        file["is_last"][1] = file["is_first"][2] = True
    assert [e.length for e in source.episodes("toy", "corner")] == [1, 1, 3]
    assert "stale_episode_metadata" in [quirk.name for quirk in source.quirks("toy", "corner")]


@pytest.mark.parametrize(
    "text",
    [
        *("{", "[]", '{"steps": 5, "reset": {}}', '{"steps": {"door": [[1, "shut"]]}, "reset": {}}'),
        '{"steps": {"door": [[0, 5]]}, "reset": {}}',
        '{"steps": {"door": [[0, "shut"], [99999999999, "open"]]}, "reset": {}}',
    ],
)
def test_texts_of_infos_that_nobody_wrote_are_refused(tmp_path, rng, text):
    workspace = Workspace(str(tmp_path), "bin")
    ingested(Listed([made_episode(rng, 3, info_texts={"door": ["shut"] * 3})]), workspace)
    path = place_of(exported(KabukiFormat(), workspace))
    path.chmod(0o644)
    with h5py.File(path, "a") as file:
        file["episode_metadata/info_texts"][0] = text
    with pytest.raises(InvalidInput, match="episode 0 .*texts of its infos are damaged"):
        list(KabukiSource(str(path)).episodes("toy", "corner"))


def test_a_mask_without_its_info_is_left_out(tmp_path, rng):
    workspace = Workspace(str(tmp_path), "bin")
    plain, other = made_episode(rng, 3, seed=4), made_episode(rng, 3)
    steps = dict(other.steps) | {"info/a": np.array([1, 2, 3, 0])}
    ingested(Listed([plain, replace(other, steps=steps)]), workspace)
    path = place_of(exported(KabukiFormat(), workspace))
    path.chmod(0o644)
    with h5py.File(path, "a") as file:
        del file["step_metadata/a"]
    assert [e.digest() for e in KabukiSource(str(path)).episodes("toy", "corner")] == [plain.digest(), other.digest()]
