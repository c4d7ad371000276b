"""`format=atlas` against the contract, and its rows against brute force."""

from __future__ import annotations

import io
import logging
import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from pipeline.artifacts.exported import place_in
from pipeline.dataset.prefix import covering
from pipeline.dataset.reader import EpisodeDataset
from pipeline.dataset.workspace import Workspace
from pipeline.episode import Episode
from pipeline.errors import InvalidInput
from pipeline.formats import atlas_pictures, atlas_points
from pipeline.formats.atlas import AtlasFormat
from pipeline.formats.checks import wrong_export
from pipeline.formats.contract import CannotHold
from pipeline.frames.png import encode_png
from pipeline.frames.store import FRAMES, Frames
from pipeline.search.index import ExactIndex
from pipeline.wording import ordinal
from tests.conftest import collected, made_episode, toy_domain
from tests.contracts.format import Listed, exported, ingested
from tests.contracts.one_way import OneWayContract, written

LENGTHS = [5, 1, 9, 4, 12]


class TestAtlas(OneWayContract):
    def format(self) -> AtlasFormat:
        return AtlasFormat()


@pytest.fixture
def episodes(rng: np.random.Generator) -> list[Episode]:
    return [made_episode(rng, length, seed=length, success=length % 2, mission=f"go {length}") for length in LENGTHS]


def rows(format: AtlasFormat, episodes: list[Episode], folder: Path) -> pa.Table:
    workspace = Workspace(str(folder), "bin")
    ingested(Listed(episodes), workspace)
    artifact = exported(format, workspace)
    assert list(wrong_export(artifact, workspace)) == []
    return pq.read_table(place_in(artifact))


def states(episodes: list[Episode], name: str) -> np.ndarray:
    return np.concatenate([episode.steps[name][:-1] for episode in episodes])


def neighbours(table: pa.Table) -> tuple[np.ndarray, np.ndarray]:
    found = table["neighbors"].to_pylist()
    return np.array([each["ids"] for each in found]), np.array([each["distances"] for each in found])


@pytest.mark.parametrize("own_episode", [False, True])
@pytest.mark.parametrize("every", [1, 2])
def test_neighbours_are_row_numbers_of_the_file_and_the_nearest_by_brute_force(tmp_path, episodes, own_episode, every):
    rows_most = 100 if every == 1 else 16
    table = rows(AtlasFormat(rows=rows_most, neighbours=4, own_episode=own_episode), episodes, tmp_path)
    vectors = states(episodes, "observation").astype(np.float32)[::every]
    episode = np.repeat(np.arange(len(LENGTHS)), LENGTHS)[::every]
    ids, distances = neighbours(table)
    assert len(table) == len(vectors)
    for row in range(len(vectors)):
        squares = np.square(vectors.astype(float) - vectors[row].astype(float)).sum(axis=1)
        squares[row if own_episode else episode == episode[row]] = np.inf
        wanted = np.argsort(squares, kind="stable")[:4]
        assert ids[row].tolist() == wanted.tolist()
        np.testing.assert_allclose(distances[row], np.sqrt(squares[wanted]), rtol=1e-6)


def test_neighbours_are_those_of_our_search(tmp_path, episodes):
    table = rows(AtlasFormat(neighbours=6), episodes, tmp_path)
    vectors = states(episodes, "observation").astype(np.float32)
    ends = np.cumsum(LENGTHS)
    ranges = np.repeat(np.stack([ends - LENGTHS, ends], axis=1), LENGTHS, axis=0)
    assert neighbours(table)[0].tolist() == ExactIndex(vectors).search(vectors, 6, ranges).rows.tolist()


def test_each_row_says_which_state_it_is(tmp_path, episodes):
    table = rows(AtlasFormat(), episodes, tmp_path)
    episode = np.repeat(np.arange(len(LENGTHS)), LENGTHS)
    assert table["episode"].to_pylist() == episode.tolist()
    assert table["step"].to_pylist() == [step for length in LENGTHS for step in range(length)]
    assert table["reward"].to_pylist() == states(episodes, "reward").tolist()
    assert table["return"].to_pylist() == [episodes[number].total_reward for number in episode]
    assert table["mission"].to_pylist() == [episodes[number].mission for number in episode]
    assert table["success"].to_pylist() == [episodes[number].success for number in episode]
    assert set(table["environment"].to_pylist()) == {"toy/corner"}
    action = [float(number) for number in table["action"][7].as_py().strip("[]").split(", ")]
    np.testing.assert_allclose(action, states(episodes, "action")[7], rtol=1e-3)
    assert "frame" not in table.column_names


def test_points_lie_along_the_directions_of_all_rows_and_clusters_are_of_them(tmp_path, episodes):
    table = rows(AtlasFormat(), episodes, tmp_path)
    apart = (vectors := states(episodes, "observation").astype(np.float32)).astype(float) - vectors.mean(axis=0)
    axes = np.linalg.svd(apart)[2][:2]
    for name, axis in zip("xy", axes, strict=True):
        found = table[name].to_numpy()
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, apart @ axis * np.sign(axis[np.abs(axis).argmax()]), atol=1e-5)
    assert sorted(set(table["cluster"].to_pylist())) == list(range(len(LENGTHS)))


@pytest.mark.parametrize("most", [3, 10, 31])
def test_of_many_states_every_nth_is_kept_and_that_is_told(tmp_path, episodes, most, caplog):
    with caplog.at_level(logging.WARNING):
        table = rows(AtlasFormat(rows=most, own_episode=True), episodes, tmp_path)
    every = -(-sum(LENGTHS) // most)
    assert len(table) == -(-sum(LENGTHS) // every) <= most
    assert table["reward"].to_pylist() == states(episodes, "reward")[::every].tolist()
    assert (f"every {ordinal(every)} one is a point" in caplog.text) == (every > 1)


def test_rows_are_fewer_where_each_has_many_numbers(tmp_path, episodes, monkeypatch):
    monkeypatch.setattr(atlas_points, "MOST_NUMBERS", 3 * 8)
    monkeypatch.setattr(atlas_points, "BLOCK_BYTES", 50)
    table = rows(AtlasFormat(own_episode=True), episodes, tmp_path)
    assert table["reward"].to_pylist() == states(episodes, "reward")[::4].tolist()


def test_the_pictures_that_were_drawn_are_there(drawn: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    shutil.copytree(drawn, tmp_path / "out")
    workspace = Workspace(str(tmp_path / "out"))
    dataset = workspace.dataset("toy", "corner", "scripted-v1")
    artifact = covering(workspace, dataset, FRAMES)
    assert artifact is not None
    frames = Frames(artifact)
    table = pq.read_table(place_in(written(AtlasFormat(), workspace)))
    assert len(table) == EpisodeDataset.of(dataset).states
    for row in (0, 5, len(table) - 1):
        episode, step = (table[name][row].as_py() for name in ("episode", "step"))
        assert table["frame"][row].as_py() == {"bytes": frames[episode][step], "path": f"{episode}/{step}.png"}
    assert "frame" not in pq.read_schema(place_in(written(AtlasFormat(frames="none"), workspace))).names
    monkeypatch.setattr(atlas_pictures, "LARGEST", 20)
    small = pq.read_table(place_in(written(AtlasFormat(neighbours=3), workspace)))
    sizes = {Image.open(io.BytesIO(frame["bytes"])).size for frame in small["frame"].to_pylist()[::9]}
    assert max(max(size) for size in sizes) == 20


def test_pictures_of_fewer_episodes_than_leave_are_not_taken(drawn: Path, tmp_path: Path):
    shutil.copytree(drawn, tmp_path / "out")
    workspace = Workspace(str(tmp_path / "out"))
    collected(toy_domain(), workspace, episodes=6, randomness=0.25)
    columns = [
        pq.read_schema(place_in(written(AtlasFormat(), workspace, episodes=episodes))).names for episodes in (6, 3)
    ]
    assert ["frame" in names for names in columns] == [False, True]


def test_pictures_that_are_gone_are_not_compared(drawn: Path, tmp_path: Path, caplog):
    shutil.copytree(drawn, tmp_path / "out")
    workspace = Workspace(str(tmp_path / "out"))
    artifact = written(AtlasFormat(), workspace)
    shutil.rmtree(tmp_path / "out" / "artifacts" / "toy" / "corner" / FRAMES)
    with caplog.at_level(logging.INFO):
        assert list(wrong_export(artifact, workspace)) == []
    assert "the frames of corner are gone" in caplog.text


def test_a_picture_is_shrunk_in_its_proportions_and_a_small_one_stays():
    wide = encode_png(np.full((50, 400, 3), 7, np.uint8))
    assert Image.open(io.BytesIO(atlas_pictures.shrunk(wide))).size == (160, 20)
    small = encode_png(np.zeros((160, 10, 3), np.uint8))
    assert atlas_pictures.shrunk(small) is small


def test_what_has_no_neighbours_is_refused(tmp_path, rng):
    with pytest.raises(CannotHold, match=r"one episode.*format\.own_episode=true"):
        rows(AtlasFormat(), [made_episode(rng, 5)], tmp_path / "one")
    plain = made_episode(rng, 5)
    empty = Episode({**plain.steps, "observation": np.zeros((6, 0))})
    with pytest.raises(CannotHold, match="no number"):
        rows(AtlasFormat(), [empty, empty], tmp_path / "empty")
    with pytest.raises(CannotHold, match="one state"):
        rows(AtlasFormat(own_episode=True), [made_episode(rng, 1)], tmp_path / "alone")
    assert len(rows(AtlasFormat(own_episode=True), [made_episode(rng, 5)], tmp_path / "own")) == 5


def test_observations_that_are_not_finite_are_refused(tmp_path, episodes):
    episodes[1].steps["observation"][0, 0] = np.inf
    with pytest.raises(CannotHold, match=r"toy/corner/listed-v1: .*infinite number.* format=d4rl, .*holds it"):
        rows(AtlasFormat(), episodes, tmp_path)


def test_what_the_policy_said_is_a_column(tmp_path, episodes):
    said = [
        Episode({**each.steps, "info/policy_entropy": np.append(np.float32([0.5] * each.length), np.float32(0))})
        for each in episodes
    ]
    assert rows(AtlasFormat(), said, tmp_path)["policy_entropy"].to_pylist() == [0.5] * sum(LENGTHS)


@pytest.mark.parametrize("settings", [{"rows": 1}, {"neighbours": 0}, {"frames": "all"}])
def test_settings_that_cannot_be_are_refused(settings):
    with pytest.raises(InvalidInput, match=f"format.{next(iter(settings))}"):
        AtlasFormat(**settings)
