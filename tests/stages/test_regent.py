"""Retrieval, distances, bins and parquet: the specification's acceptance checks, by independent brute force."""

import json

import datasets
import numpy as np
import pyarrow.parquet as pq
import pytest
import zarr

from pipeline.dataset.reader import EpisodeDataset
from pipeline.dataset.workspace import Workspace
from pipeline.errors import DamagedArtifact, DigestMismatch, InvalidInput
from pipeline.regent import retrieve
from pipeline.regent.chain import bins_name
from pipeline.storage.choice import open_arrays
from stages import catalog, distances, verify
from tests.conftest import collected, derived
from tests.damage import flip_bit


@pytest.fixture
def built(made):
    toy, workspace = made
    return EpisodeDataset.of(workspace.dataset("toy", "corner", "scripted-v1")), derived(toy, workspace)


def read_bins(bins):
    folder = bins.path / bins_name(bins)
    shapes = json.loads((folder / "shapes.json").read_text())
    integer = {"indices", "discrete_actions"}
    return {
        key: np.fromfile(folder / f"{key}.bin", "<i4" if key in integer else "<f4").reshape(shape)
        for key, shape in shapes.items()
    }


def flat(dataset, name):
    return np.concatenate([episode.steps[name][:-1] for episode in dataset])


def test_indices_enumerate_real_steps_and_neighbours_are_of_other_episodes(built):
    dataset, artifacts = built
    indices = read_bins(artifacts["bins"])["indices"]
    row_of, episode_of_row, state = [], [], 0
    for number, length in enumerate(dataset.lengths):
        for start in range(0, length, 8):
            row_of += [[len(episode_of_row), c] for c in range(min(8, length - start))]
            episode_of_row.append(number)
    np.testing.assert_array_equal(indices[:, 19], row_of[: len(indices)])
    episode_of_row = np.array(episode_of_row)
    own = episode_of_row[indices[:, 19, 0]][:, None]
    assert (episode_of_row[indices[:, :19, 0]] != own).all()
    real = {tuple(pair) for pair in row_of}
    assert all(tuple(pair) in real for pair in indices.reshape(-1, 2))
    assert state == 0


def test_every_row_is_in_the_lookup(built):
    _, artifacts = built
    folder = artifacts["bins"].path / bins_name(artifacts["bins"])
    lookup = json.loads((folder / "all_row_idxs_lookup-5demos.json").read_text())
    arrays = read_bins(artifacts["bins"])
    assert lookup == {str(row): row for row in range(len(arrays["rewards"]))}
    assert set(arrays["indices"][..., 0].reshape(-1)) <= set(lookup.values())


def test_brute_force_in_float64_gives_the_same_neighbours_and_distances(built):
    dataset, artifacts = built
    vectors = flat(dataset, "observation").astype(np.float64)
    pool = int(dataset.state_ends[4])
    neighbours = open_arrays(artifacts["retrieval"].arrays)["neighbours"][:]
    measured = open_arrays(artifacts["distances"].arrays)["distances"][:]
    episode = np.searchsorted(dataset.state_ends, np.arange(len(vectors)), "right")
    for query in range(len(neighbours)):
        squared = ((vectors[:pool] - vectors[query]) ** 2).sum(axis=1)
        squared[episode[:pool] == episode[query]] = np.inf
        order = np.argsort(squared, kind="stable")[:20]  # stable: equal distances keep pool order
        np.testing.assert_array_equal(neighbours[query], order)
        first = vectors[order[0]]
        context = vectors[[*order[:19], query]]
        np.testing.assert_allclose(measured[query], np.linalg.norm(context - first, axis=1), rtol=1e-6)
    assert (measured[:, 0] == 0).all()


def test_statistics_are_those_of_all_entries(built):
    _, artifacts = built
    measured = open_arrays(artifacts["distances"].arrays)["distances"][:].astype(np.float64)
    statistics = json.loads((artifacts["distances"].path / "dist_stats.json").read_text())
    assert statistics["p95"] == np.percentile(measured, 95)
    assert statistics["n_states"] == len(measured)
    assert statistics["mean"] == pytest.approx(measured.mean(), rel=1e-12)
    assert artifacts["distances"].manifest.counts["p95"] == statistics["p95"]


def test_rows_hold_the_chunks_padded_with_their_first_step_and_rewards_shifted(built):
    dataset, artifacts = built
    arrays = read_bins(artifacts["bins"])
    observations, actions, rewards = [], [], []
    for episode in dataset:
        shifted = [0.0, *episode.steps["reward"][:-2]]
        for start in range(0, episode.length, 8):
            stop = min(start + 8, episode.length)
            pad = 8 - (stop - start)
            for rows, values in (
                (observations, episode.steps["observation"][:-1]),
                (actions, episode.steps["action"][:-1]),
                (rewards, np.array(shifted)),
            ):
                chunk = list(values[start:stop])
                rows.append(chunk + [chunk[0]] * pad)
    count = len(arrays["rewards"])
    np.testing.assert_array_equal(arrays["continuous_observations"], np.array(observations[:count], np.float32))
    np.testing.assert_array_equal(arrays["discrete_actions"], np.array(actions[:count], np.int32))
    np.testing.assert_array_equal(arrays["rewards"], np.array(rewards[:count], np.float32))


def test_datasets_loads_both_configurations_back_to_the_bytes_of_the_bins(built, tmp_path):
    _, artifacts = built
    folder = artifacts["bins"].path / bins_name(artifacts["bins"])
    data = artifacts["parquet"].path / "data"
    for config, keys in (
        ("toy-corner_subset", ("continuous_observations", "discrete_actions", "rewards")),
        ("toy-corner_newdata", ("distances", "indices")),
    ):
        table = datasets.load_dataset(str(data), config, split="train", cache_dir=str(tmp_path / "cache"))
        assert set(table.column_names) == set(keys)
        for key in keys:
            integer = key in ("indices", "discrete_actions")
            values = np.array(table.with_format("arrow")[:][key].to_pylist(), np.int32 if integer else np.float32)
            assert values.tobytes() == (folder / f"{key}.bin").read_bytes()
    schema = pq.read_schema(next((data / "toy-corner_newdata").iterdir()))
    assert str(schema.field("distances").type) == "list<element: float>"
    assert "list<element: int32" in str(schema.field("indices").type)


def test_a_task_held_out_from_training_queries_its_pool_and_publishes_distances_only(toy, workspace):
    dataset = EpisodeDataset.of(collected(toy, workspace, task="key"))
    artifacts = derived(toy, workspace, task="key")
    assert artifacts["retrieval"].manifest.counts["states"] == int(dataset.state_ends[4])
    configs = [path.name for path in (artifacts["parquet"].path / "data").iterdir() if path.is_dir()]
    assert configs == ["toy-key_newdata"]
    assert pq.read_schema(next((artifacts["parquet"].path / "data" / configs[0]).iterdir())).names == ["distances"]
    card = (artifacts["parquet"].path / "data" / "README.md").read_text()
    assert "held out" in card
    assert "_subset" not in card


def test_both_storages_hold_the_same_content_under_one_digest(toy, tmp_path):
    digests = []
    for storage in ("zarr", "bin"):
        place = Workspace(str(tmp_path), storage)
        collected(toy, place)
        digests.append({kind: artifact.manifest.digest for kind, artifact in derived(toy, place).items()})
    assert digests[0] == digests[1]


def test_zarr_opens_every_zarr_array(toy, tmp_path):
    place = Workspace(str(tmp_path), "zarr")
    collected(toy, place)
    derived(toy, place)
    count = 0
    for path in tmp_path.rglob("zarr.json"):
        if json.loads(path.read_text())["node_type"] == "array":
            assert zarr.open_array(path.parent, mode="r")[...] is not None
            count += 1
    assert count > 15


def test_growth_orphans_nothing(made):
    toy, workspace = made
    before = derived(toy, workspace)
    collected(toy, workspace, episodes=30)
    after = derived(toy, workspace)
    assert {kind: a.path for kind, a in before.items()} == {kind: a.path for kind, a in after.items()}
    assert not any(artifact.built for artifact in after.values())


def test_k_moves_exactly_its_descendants_and_a_second_run_does_nothing(made):
    toy, workspace = made
    first = derived(toy, workspace)
    assert not any(artifact.built for artifact in derived(toy, workspace).values())
    other = derived(toy, workspace, neighbours=25)
    assert all(other[kind].path != first[kind].path for kind in first)
    np.testing.assert_array_equal(
        open_arrays(other["retrieval"].arrays)["neighbours"][:][:, :20],
        open_arrays(first["retrieval"].arrays)["neighbours"][:],
    )


def test_force_rebuilds_and_compares(made):
    toy, workspace = made
    first = derived(toy, workspace)
    again = derived(toy, workspace, force=True)
    assert all(artifact.built for artifact in again.values())
    assert {a.path for a in again.values()} == {a.path for a in first.values()}


def test_a_rebuild_that_differs_is_an_error_and_changes_nothing(made, monkeypatch):
    toy, workspace = made
    derived(toy, workspace)
    before = workspace.of_kind("toy", "corner", "distances")[0].manifest
    monkeypatch.setattr(distances, "context_distances", lambda *given: np.ones((len(given[2]), 20), "f4"))
    with pytest.raises(DigestMismatch, match="left as it is"):
        derived(toy, workspace, force=True)
    assert workspace.of_kind("toy", "corner", "distances")[0].manifest == before


def test_block_size_changes_nothing(made, monkeypatch):
    toy, workspace = made
    first = derived(toy, workspace)
    monkeypatch.setattr(retrieve, "QUERY_BLOCK", 7)
    monkeypatch.setattr(distances, "BLOCK", 7)
    derived(toy, workspace, force=True)  # raises DigestMismatch when the content differs
    assert {kind: a.manifest.digest for kind, a in derived(toy, workspace).items()} == {
        kind: artifact.manifest.digest for kind, artifact in first.items()
    }


def test_a_short_pool_repeats_the_last_candidate_and_is_reported(toy, workspace):
    collected(toy, workspace, episodes=3)
    found = derived(toy, workspace, neighbours=500)["retrieval"]
    neighbours = open_arrays(found.arrays)["neighbours"][:]
    dataset = EpisodeDataset.of(workspace.dataset("toy", "corner", "scripted-v1"))
    assert neighbours[0, -1] == dataset.states - 1  # of other episodes: the very last pool state
    assert neighbours[-1, -1] == dataset.state_ends[1] - 1
    assert found.manifest.counts["short_queries"] == dataset.states
    assert any("fewer than 500 candidates" in warning for warning in found.manifest.warnings)
    assert any("3 episodes, 5 were asked" in warning for warning in found.manifest.warnings)


def test_a_pool_that_is_the_querys_own_episode_is_refused_before_anything_is_built(made):
    toy, workspace = made
    before = workspace.of_kind("toy", "corner", "retrieval")
    with pytest.raises(InvalidInput, match=r"toy/corner: episode 0 is the whole pool[\s\S]*retrieval\.demos=2"):
        derived(toy, workspace, demos=1)
    assert workspace.of_kind("toy", "corner", "retrieval") == before
    assert derived(toy, workspace, demos=2)["retrieval"].built


def test_verify_finds_every_kind_of_damage(made):
    toy, workspace = made
    artifacts = derived(toy, workspace)
    verify.run(domain=toy, only=None, workspace=workspace, audit=None, workers=1)
    for artifact in artifacts.values():
        path = max((p for p in artifact.path.rglob("*") if p.is_file() and p.name != "manifest.json"), key=_size)
        whole = path.read_bytes()
        flip_bit(path)
        with pytest.raises(DamagedArtifact, match="has other bytes"):
            verify.run(domain=toy, only="corner", workspace=workspace, audit=None, workers=1)
        path.write_bytes(whole[:-1])
        with pytest.raises(DamagedArtifact, match="the manifest says"):
            verify.run(domain=toy, only="corner", workspace=workspace, audit=None, workers=1)
        path.unlink()
        with pytest.raises(DamagedArtifact, match="is missing"):
            verify.run(domain=toy, only="corner", workspace=workspace, audit=None, workers=1)
        path.write_bytes(whole)
    verify.run(domain=toy, only=["corner"], workspace=workspace, audit=None, workers=1)


def test_an_unreadable_manifest_is_damage_and_hides_nothing_else(made, capsys):
    toy, workspace = made
    path = workspace.of_kind("toy", "corner", "bins")[0].path / "manifest.json"
    path.write_text(path.read_text()[:100])
    with pytest.raises(DamagedArtifact, match="Found 1 damaged place:[\\s\\S]*cannot be read as JSON"):
        verify.run(domain=toy, only=None, workspace=workspace, audit=None, workers=1)
    catalog.run(domain=toy, only=None, workspace=workspace)
    printed = capsys.readouterr().out
    assert "damaged: " in printed
    assert "scripted-v1" in printed


def _size(path):
    return path.stat().st_size


def test_cosine_ranks_by_the_angle_and_measures_one_minus_its_cosine(made):
    toy, workspace = made
    artifacts = derived(toy, workspace, metric="cosine")
    dataset = EpisodeDataset.of(workspace.dataset("toy", "corner", "scripted-v1"))
    vectors = flat(dataset, "observation").astype(np.float64)
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    unit = np.divide(vectors, norms, out=np.zeros_like(vectors), where=norms > 0)
    pool = int(dataset.state_ends[4])
    neighbours = open_arrays(artifacts["retrieval"].arrays)["neighbours"][:]
    measured = open_arrays(artifacts["distances"].arrays)["distances"][:]
    episode = np.searchsorted(dataset.state_ends, np.arange(len(vectors)), "right")
    for query in range(len(neighbours)):
        cosine = unit[:pool] @ unit[query]
        allowed = np.flatnonzero(episode[:pool] != episode[query])
        best = np.sort(-cosine[allowed])[:20]
        np.testing.assert_allclose(-cosine[neighbours[query]], best, atol=1e-6)  # equal but for rounding
        assert set(neighbours[query]) <= set(allowed)
        context = unit[[*neighbours[query][:19], query]]
        np.testing.assert_allclose(measured[query], np.clip(1 - context @ context[0], 0, 2), atol=1e-6)
    assert json.loads((artifacts["distances"].path / "dist_stats.json").read_text())["metric"] == "cosine"
    assert artifacts["bins"].path != derived(toy, workspace)["bins"].path
