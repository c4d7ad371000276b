"""What each setting of LRAM's form puts into the files, and what is refused."""

from __future__ import annotations

import json
import pickle
import time
from dataclasses import replace
from pathlib import Path

import cv2
import h5py
import numpy as np
import pytest

from pipeline.artifacts.artifact import Artifact
from pipeline.dataset.reader import EpisodeDataset
from pipeline.dataset.workspace import Workspace
from pipeline.domains.domain import Domain, Regent
from pipeline.episode import Episode, with_last_row
from pipeline.errors import InvalidInput, UnknownName
from pipeline.formats.aspects import Aspect, lost_words
from pipeline.formats.contract import CannotHold, Outgoing
from pipeline.formats.lram.format import LramFormat
from pipeline.formats.lram.writing import COMPRESSIONS, PlainHdf5, writer_of
from pipeline.formats.pictures import scaled
from pipeline.formats.provenance import provenance
from pipeline.sources.dqn_replay.source import DqnReplaySource
from pipeline.sources.lram.source import LramSource
from stages import ingest
from tests.contracts.format import Listed
from tests.dqn_replay_files import FULL_ACTIONS, played_run


@pytest.fixture(scope="module")
def pong(tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    """Logged episodes of Pong."""
    folder = tmp_path_factory.mktemp("pong")
    played_run(200, [30, 44, 70, 25, 80, 33]).write_bucket(folder / "dqn")
    return stored(folder / "store", DqnReplaySource(root=str(folder / "dqn")), "atari", "pong")


def stored(folder: Path, source: object, domain: str, task: str) -> Artifact:
    artifact = ingest.run(
        domain=Domain(domain, None, 5, dict, [task], Regent(32, 5, 20, 100)), task=task, source=source,
        workspace=Workspace(str(folder), "bin"), dataset="made-v1", episodes=None, states=None, workers=1, force=False,
    )  # fmt: skip
    assert artifact is not None
    return artifact


def outgoing(artifact: Artifact) -> Outgoing:
    dataset = EpisodeDataset.of(artifact)
    settings = {"format": "hdf5", "full_actions": True}
    return Outgoing(artifact.domain, artifact.task, dataset, provenance(artifact, dataset, settings))


def listed(tmp_path: Path, *episodes: Episode, domain: str = "toy", task: str = "corner") -> Outgoing:
    return outgoing(stored(tmp_path / "store", Listed(episodes), domain, task))


def written(data: Outgoing, folder: Path, *settings: object, **more: object) -> Path:
    form = LramFormat(*settings, **more)  # type: ignore[arg-type]
    form.require([data])
    folder.mkdir(parents=True, exist_ok=True)
    form.write([data], folder)
    return folder / form.place([data])


def is_read_back_as_declared(data: Outgoing, form: LramFormat, place: Path) -> bool:
    held = form.held(data)
    back = form.source(place).episodes(data.domain, data.task)
    return all(held(e).digest() == b.digest() for e, b in zip(data.dataset, back, strict=True))


def plain(observations: np.ndarray, actions: np.ndarray, **facts: object) -> Episode:
    length = len(actions)
    steps = {"observation": observations, "action": with_last_row("action", actions)}
    steps |= {
        "reward": with_last_row("reward", np.ones(length)),
        "discount": with_last_row("discount", np.ones(length)),
    }
    return Episode(steps=steps, **facts)  # type: ignore[arg-type]


def test_a_file_holds_the_arrays_of_lram(pong, tmp_path):
    data = outgoing(pong)
    place = written(data, tmp_path, "hdf5", returns_to_go=True)
    assert place == tmp_path / "pong"
    for number, episode in enumerate(data.dataset):
        length = episode.length
        with h5py.File(place / f"{number:09}.hdf5") as file:
            described = {name: (each.dtype.name, each.shape) for name, each in file.items()}
            assert described == {
                "states": ("uint8", (length, 1, 84, 84)),
                "actions": ("int32", (length,)),
                "rewards": ("float32", (length,)),
                "returns_to_go": ("float32", (length,)),
                "dones": ("float32", ()),
            }
            assert file["states"].chunks == (min(length, 64), 1, 84, 84)
            assert file["states"].compression is None
            assert file["dones"][()] == 1.0
            np.testing.assert_array_equal(file["states"][:, 0], episode.steps["observation"][:-1])
            np.testing.assert_array_equal(file["rewards"], episode.steps["reward"][:-1])
            wanted = [sum(episode.steps["reward"][step:-1].tolist()) for step in range(length)]
            np.testing.assert_array_equal(file["returns_to_go"], wanted)


def test_figures_lie_beside_the_files(pong, tmp_path):
    data = outgoing(pong)
    place = written(data, tmp_path)
    lengths, returns = (json.loads((place / f"episode_{name}.json").read_text()) for name in ("lengths", "returns"))
    assert list(lengths) == list(returns) == [f"{number:09}" for number in range(len(data))]
    assert list(lengths.values()) == data.dataset.lengths.tolist()
    assert list(returns.values()) == [episode.total_reward for episode in data.dataset]
    stats = json.loads((place / "stats.json").read_text())
    assert stats["mean_episode_len"] == round(float(np.mean(list(lengths.values()))), 4)
    assert stats["min_episode_return"] == min(returns.values())
    assert {name: stats[name] for name in ("episodes", "run", "reward_clipping", "padding_stripped")} == {
        "episodes": len(data), "run": 1, "reward_clipping": [-1.0, 1.0], "padding_stripped": 3 * len(data),
    }  # fmt: skip
    assert stats["slices"] == len(stats["checkpoints"])


@pytest.mark.parametrize("file", ["npz", "npzc", "pkl"])
def test_other_files_hold_the_same_arrays(pong, tmp_path, file):
    data = outgoing(pong)
    first, second = (written(data, tmp_path / each, each, returns_to_go=True) for each in ("hdf5", file))
    for path in sorted(first.glob("*.hdf5")):
        other = second / f"{path.stem}{'.pkl' if file == 'pkl' else '.npz'}"
        arrays = pickle.loads(other.read_bytes()) if file == "pkl" else dict(np.load(other))
        with h5py.File(path) as wanted:
            assert sorted(wanted) == sorted(arrays)
            for name in wanted:
                assert arrays[name].dtype == wanted[name].dtype
                np.testing.assert_array_equal(arrays[name], wanted[name][()])
    form = LramFormat(file, returns_to_go=True)
    assert is_read_back_as_declared(data, form, second)


def test_a_pickle_names_what_numpy_1_has(tmp_path):
    writer_of("pkl", "none")(tmp_path / "x.pkl", {"states": np.zeros((2, 3)), "dones": np.asarray(1, np.float32)})
    assert b"numpy._core" not in (tmp_path / "x.pkl").read_bytes()
    assert pickle.loads((tmp_path / "x.pkl").read_bytes())["states"].shape == (2, 3)


@pytest.mark.parametrize("compression", ["gzip", "lzf"])
def test_hdf5_is_compressed_by_h5pys_own_codecs(pong, tmp_path, compression):
    data = outgoing(pong)
    form = LramFormat("hdf5", compression, returns_to_go=True)
    place = written(data, tmp_path, "hdf5", compression, returns_to_go=True)
    with h5py.File(place / "000000002.hdf5") as file:
        assert file["states"].compression == file["rewards"].compression == compression
        assert file["dones"].compression is None
        np.testing.assert_array_equal(file["states"][:, 0], data.dataset[2].steps["observation"][:-1])
    assert is_read_back_as_declared(data, form, place)


def test_an_hdf5_file_does_not_know_when_it_was_written(tmp_path, rng):
    arrays = {"states": rng.normal(size=(70, 3)), "actions": np.arange(70), "dones": np.asarray(1, np.float32)}
    for turn in ("now", "later"):
        for compression in COMPRESSIONS:
            writer_of("hdf5", compression)(tmp_path / f"{compression}-{turn}", arrays)
        time.sleep(1.1 if turn == "now" else 0)  # HDF5 counts seconds
    for compression in COMPRESSIONS:
        assert (tmp_path / f"{compression}-now").read_bytes() == (tmp_path / f"{compression}-later").read_bytes()
        with h5py.File(tmp_path / f"{compression}-now") as file:
            assert all(np.array_equal(file[name], array) for name, array in arrays.items())


def test_a_small_file_is_the_one_that_h5py_makes(tmp_path):
    rng = np.random.default_rng(0)
    copies = PlainHdf5()
    for number in range(3):
        arrays = {
            "states": rng.normal(size=(100, 5)),
            "actions": rng.normal(size=(100, 2)).astype(np.float32),
            "rewards": rng.normal(size=100).astype(np.float32),
            "dones": np.asarray(number, np.float32),
        }
        copies(tmp_path / "copy", arrays)
        PlainHdf5()(tmp_path / "made", arrays)
        assert (tmp_path / "copy").read_bytes() == (tmp_path / "made").read_bytes()
        with h5py.File(tmp_path / "copy") as file:
            for name, array in arrays.items():
                np.testing.assert_array_equal(file[name][()], array)


def test_full_actions_are_places_among_all_and_are_not_mapped_twice(pong, tmp_path):
    data, form = outgoing(pong), LramFormat(full_actions=True)
    assert Aspect.ACTIONS in form.lost(data)
    place = written(data, tmp_path / "one", full_actions=True)
    table = np.array(FULL_ACTIONS["Pong"])
    with h5py.File(place / "000000000.hdf5") as file:
        assert file["actions"].dtype == np.int64
        np.testing.assert_array_equal(file["actions"], table[data.dataset[0].steps["action"][:-1]])
    assert is_read_back_as_declared(data, form, place)
    again = outgoing(stored(tmp_path / "store", LramSource(str(place)), "atari", "pong"))
    assert Aspect.ACTIONS not in form.lost(again)
    second = written(again, tmp_path / "two", full_actions=True)
    with h5py.File(place / "000000000.hdf5") as a, h5py.File(second / "000000000.hdf5") as b:
        np.testing.assert_array_equal(a["actions"][:], b["actions"][:])


def test_full_actions_of_another_game_or_domain_are_refused(tmp_path):
    frames, actions = np.zeros((4, 84, 84), np.uint8), np.array([0, 6, 1])
    data = listed(tmp_path / "a", plain(frames, actions), domain="atari", task="pong")
    with pytest.raises(CannotHold, match="pong has 6 actions, 0 to 5, and the dataset holds 6"):
        LramFormat(full_actions=True).require([data])
    with pytest.raises(CannotHold, match=r"toy/corner.*domain=atari"):
        LramFormat(full_actions=True).require([listed(tmp_path / "b", plain(frames, actions))])


@pytest.mark.parametrize("side", [64, 42, 1])
def test_pictures_are_scaled_by_area_as_opencv_does(rng, side):
    smooth = np.cumsum(rng.integers(-9, 10, (3, 84, 84)), axis=2).clip(0, 255).astype(np.uint8)
    for pictures in (smooth, rng.integers(0, 256, (300, 84, 84), dtype=np.uint8)):
        made = scaled(pictures, side, side).astype(int)
        for picture, wanted in zip(made, pictures, strict=True):
            assert np.abs(picture - cv2.resize(wanted, (side, side), interpolation=cv2.INTER_AREA)).max() <= 1


def test_size_and_colours_change_the_pictures_and_are_declared(pong, tmp_path):
    data, form = outgoing(pong), LramFormat(size=64, rgb=True)
    words = lost_words(form.lost(data), form.becomes())
    assert "observations: scaled to 64 x 64, the grey channel three times" in words
    place = written(data, tmp_path, size=64, rgb=True)
    with h5py.File(place / "000000001.hdf5") as file:
        assert file["states"].shape == (data.dataset.lengths[1], 3, 64, 64)
        for channel in range(3):
            wanted = scaled(data.dataset[1].steps["observation"][:-1], 64, 64)
            np.testing.assert_array_equal(file["states"][:, channel], wanted)
    assert is_read_back_as_declared(data, form, place)
    assert is_read_back_as_declared(data, LramFormat(size=64), written(data, tmp_path / "grey", size=64))


def test_the_folder_of_the_family_is_put_between(pong, tmp_path):
    assert written(outgoing(pong), tmp_path, family=True) == tmp_path / "atari" / "pong"


def test_a_game_has_the_name_of_its_rom():
    dataset = EpisodeDataset.__new__(EpisodeDataset)
    assert str(LramFormat().place([Outgoing("atari", "bankheist", dataset, {})])) == "bank-heist"


def test_vectors_keep_their_own_type_and_whole_numbers_that_int32_does_not_hold(tmp_path, rng):
    vectors = plain(rng.normal(size=(4, 3)).astype(np.float16), rng.normal(size=(3, 2)).astype(np.float32))
    place = written(listed(tmp_path / "a", vectors), tmp_path / "a")
    with h5py.File(place / "000000000.hdf5") as file:
        assert (file["states"].dtype, file["states"].shape) == (np.float16, (3, 3))
        assert (file["actions"].dtype, file["actions"].shape) == (np.float32, (3, 2))
        assert file["dones"][()] == 0.0
    long = plain(rng.normal(size=(4, 3)), np.array([1, 2**40, 3]))
    with h5py.File(written(listed(tmp_path / "b", long), tmp_path / "b") / "000000000.hdf5") as file:
        assert file["actions"][:].tolist() == [1, 2**40, 3]


def test_an_end_by_time_is_done_and_is_still_known(tmp_path, rng):
    cut = plain(rng.normal(size=(4, 3)), np.zeros(3, np.int64), truncated=True, end_reason="time_limit")
    place = written(listed(tmp_path, cut), tmp_path)
    with h5py.File(place / "000000000.hdf5") as file:
        assert file["dones"][()] == 1.0
    (back,) = LramFormat().source(place).episodes("toy", "corner")
    assert (back.terminated, back.truncated, back.end_reason) == (False, True, "time_limit")


def test_rewards_are_float32_and_only_those_that_are_none_are_declared(tmp_path, rng):
    exact = plain(rng.normal(size=(4, 3)), np.zeros(3, np.int64))
    assert Aspect.REWARDS not in LramFormat().lost(listed(tmp_path / "a", exact))
    tenth = replace(exact, steps={**exact.steps, "reward": np.array([0.1, 0, 0, 0])})
    assert Aspect.REWARDS in LramFormat().lost(listed(tmp_path / "b", tenth))
    huge = replace(exact, steps={**exact.steps, "reward": np.array([1e200, 0, 0, 0])})
    with pytest.raises(CannotHold, match=r"1e\+200"):
        LramFormat().require([listed(tmp_path / "c", huge)])


def test_nested_observations_are_refused_with_the_forms_that_hold_them(tmp_path, rng):
    flat = plain(rng.normal(size=(4, 3)), np.zeros(3, np.int64))
    steps = {**flat.steps, "observation/a": flat.steps["observation"], "observation/b": np.zeros((4, 2))}
    del steps["observation"]
    with pytest.raises(CannotHold, match=r"observation/a, observation/b\. format=d4rl, kabuki"):
        LramFormat().require([listed(tmp_path, replace(flat, steps=steps))])


def test_returns_to_go_of_a_fragment_are_not_known(tmp_path, rng):
    torn = plain(rng.normal(size=(4, 3)), np.zeros(3, np.int64), end_reason="fragment")
    data = listed(tmp_path, torn)
    LramFormat().require([data])
    with pytest.raises(CannotHold, match=r"the end of 1 episode.*source\.edges"):
        LramFormat(returns_to_go=True).require([data])


@pytest.mark.parametrize(
    ("settings", "message"), [({"size": 64}, "format.size=64"), ({"rgb": True}, "format.rgb=true")]
)
def test_what_is_for_pictures_alone_is_refused_elsewhere(tmp_path, rng, settings, message):
    data = listed(tmp_path, plain(rng.normal(size=(4, 3)), np.zeros(3, np.int64)))
    with pytest.raises(CannotHold, match=message):
        LramFormat(**settings).require([data])


def test_pictures_are_not_made_larger(pong):
    with pytest.raises(CannotHold, match="larger than the pictures"):
        LramFormat(size=128).require([outgoing(pong)])


def test_settings_that_are_none_are_refused():
    with pytest.raises(UnknownName, match="hdf"):
        LramFormat("hdf")
    with pytest.raises(UnknownName, match="gzip"):
        LramFormat(compression="gzipp")
    with pytest.raises(InvalidInput, match="format.size=0"):
        LramFormat(size=0)
