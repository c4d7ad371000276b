"""Embeddings: one vector for each state, the same bytes whatever the batch, the duplicates, the storage or a kill."""

from __future__ import annotations

import dataclasses
import logging
import signal
import subprocess
import sys
from functools import partial

import numpy as np
import pytest
import torch

from pipeline.dataset.reader import EpisodeDataset
from pipeline.dataset.workspace import Workspace
from pipeline.domains.domain import Regent
from pipeline.embedding.artifact import embeddings_spec
from pipeline.embedding.preprocessing import prepare
from pipeline.embedding.settings import WIDTHS
from pipeline.embedding.weights import load
from pipeline.envs.atari.environment import Atari
from pipeline.errors import ArtifactNotFound, DigestMismatch, InvalidInput
from pipeline.policies.random import Random
from pipeline.regent.recipe import Recipe
from pipeline.storage.choice import open_arrays
from stages import embeddings, verify
from tests.conftest import collected
from tests.manifests import edited
from tests.pipeline.embedding.encoders import Mixing, embedding
from tests.pipeline.embedding.pictures import DOMAIN, dataset, noise, stacks
from tests.pipeline.embedding.test_networks import composed, regent

LENGTHS = (7, 1, 20, 13)
DEFAULT = embedding()


@pytest.fixture
def workspace(tmp_path) -> Workspace:
    """One storage; that it changes nothing is a test of its own."""
    return Workspace(str(tmp_path / "outputs"))


@pytest.fixture
def shown():
    """Episodes of pictures of which many are equal."""
    return [np.repeat(np.repeat(each, 9, 1), 8, 2) for each in noise(LENGTHS, (2, 2), values=2)]


def embedded(workspace: Workspace, chosen=DEFAULT, **settings):
    """The vectors of all states through the real stage; `settings` are those of the recipe, and `force`."""
    force = settings.pop("force", False)
    recipe = Recipe(**{"domain": DOMAIN, "task": "pong", "dataset": "made-v1", "embedding": chosen, **settings})
    return embeddings.run(recipe=recipe, all_states=True, workspace=workspace, force=force)


def array(artifact) -> np.ndarray:
    return open_arrays(artifact.arrays)["embeddings"][:]


def wanted(chosen, shown) -> np.ndarray:
    """Every state by itself, without the engine, the hashes and the blocks."""
    module = load(chosen.network, chosen.weights, chosen.seed).eval()
    frames = torch.from_numpy(stacks(shown, chosen.frames, chosen.padding == "zero"))
    with torch.inference_mode():
        return np.concatenate([module(prepare(each[None], chosen.layout, chosen.picture)).numpy() for each in frames])


@pytest.mark.parametrize("padding", ["first", "zero"])
def test_each_state_has_its_vector(workspace, shown, padding):
    dataset(workspace, shown)
    chosen = embedding(padding=padding)
    artifact = embedded(workspace, chosen)
    found = array(artifact)
    assert (found.shape, found.dtype) == ((sum(LENGTHS), 8), np.float32)
    np.testing.assert_allclose(found, wanted(chosen, shown), rtol=0, atol=1e-6)
    assert artifact.manifest.counts == {"episodes": 4, "states": sum(LENGTHS)}
    assert sorted(path.name for path in artifact.path.iterdir()) == ["arrays", "manifest.json"]
    verify.run(domain=None, only=None, workspace=workspace, audit=None, workers=1)


def test_batch_size_storage_and_memory_for_duplicates_change_no_byte(tmp_path, shown, monkeypatch):
    digests = set()
    for number, (batch, storage, memory) in enumerate([(512, "zarr", 2**26), (3, "bin", 2**26), (7, "zarr", 7 * 32)]):
        monkeypatch.setattr("pipeline.embedding.duplicates.MEMORY_BYTES", memory)
        place = Workspace(str(tmp_path / str(number)), storage)
        dataset(place, shown)
        artifact = embedded(place, embedding(batch=batch, frames=1))
        digests.add((artifact.manifest.digest, artifact.manifest.version))
    assert len(digests) == 1


def test_equal_inputs_are_embedded_once(workspace, shown, caplog):
    dataset(workspace, shown)
    with caplog.at_level(logging.INFO, "pipeline.embedding.build"):
        found = array(embedded(workspace, embedding(frames=1)))
    assert f"embedded {len(np.unique(found, axis=0))} different inputs of 41 states" in caplog.text
    assert len(np.unique(found, axis=0)) <= 16


def test_it_is_found_again_and_force_compares(workspace, shown):
    dataset(workspace, shown)
    assert embedded(workspace).built
    assert not embedded(workspace).built
    assert embedded(workspace, force=True).built


def test_force_reports_other_bytes(workspace, shown):
    dataset(workspace, shown)
    artifact = embedded(workspace)
    edited(artifact.path, digest="0" * 64)
    with pytest.raises(DigestMismatch):
        embedded(workspace, force=True)


def test_other_stages_ask_for_it_without_loading_a_network(workspace, shown, monkeypatch):
    found = dataset(workspace, shown)
    reader = EpisodeDataset.of(found)
    spec = embeddings_spec(found, reader, 2, embedding())
    with pytest.raises(ArtifactNotFound, match="stage=embeddings domain=pictures task=pong"):
        workspace.require(spec, "embeddings")
    made = embedded(workspace, episodes=2)
    monkeypatch.setattr("pipeline.embedding.weights.load", None)  # would fail if a network were loaded
    assert workspace.require(spec, "embeddings").path == made.path
    assert embeddings_spec(found, reader, len(reader), embedding()) != spec


def test_rows_of_other_episode_counts_are_taken_over(workspace, shown, monkeypatch, caplog):
    dataset(workspace, shown[:3])
    embedded(workspace)
    dataset(workspace, shown)
    with caplog.at_level(logging.INFO, "pipeline.embedding.build"):
        grown = array(embedded(workspace))
    assert f"inputs of {LENGTHS[3]} states" in caplog.text
    np.testing.assert_allclose(grown, wanted(embedding(), shown), rtol=0, atol=1e-6)
    monkeypatch.setattr("pipeline.embedding.engine.Engine.__init__", None)  # would fail if anything were computed
    np.testing.assert_array_equal(array(embedded(workspace, episodes=2)), grown[: sum(LENGTHS[:2])])


def test_rows_of_another_dataset_or_setting_are_not(workspace, shown):
    dataset(workspace, shown)
    embedded(workspace)
    other = [255 - each for each in shown]
    dataset(workspace, other, name="other-v1")
    np.testing.assert_allclose(
        array(embedded(workspace, dataset="other-v1")), wanted(embedding(), other), rtol=0, atol=1e-6
    )
    np.testing.assert_allclose(
        array(embedded(workspace, embedding(seed=1))), wanted(embedding(seed=1), shown), rtol=0, atol=1e-6
    )


KILLED = """
import os, signal, sys
from pipeline.embedding.spill import Spill
from pipeline.dataset.workspace import Workspace
from tests.pipeline.embedding.encoders import embedding
from tests.stages.test_embeddings import embedded
if __name__ == "__main__":
    save, saved = Spill.save, []
    def counted(*given):
        save(*given)
        saved.append(given)
        if len(saved) == 3:
            os.kill(os.getpid(), signal.SIGKILL)
    Spill.save = counted
    embedded(Workspace(sys.argv[1]), embedding(batch=5))
"""


def test_a_killed_run_goes_on_where_it_was(tmp_path, shown, caplog):
    script = tmp_path / "killed.py"
    script.write_text(KILLED)
    there, undisturbed = Workspace(str(tmp_path / "a")), Workspace(str(tmp_path / "b"))
    for place in (there, undisturbed):
        dataset(place, shown)
    died = subprocess.run([sys.executable, str(script), str(tmp_path / "a")], check=False)
    assert died.returncode == -signal.SIGKILL
    with caplog.at_level(logging.INFO, "pipeline.embedding.build"):
        resumed = embedded(there, embedding(batch=4))
    assert f"inputs of {sum(LENGTHS) - 15} states" in caplog.text
    assert resumed.manifest.digest == embedded(undisturbed).manifest.digest
    np.testing.assert_array_equal(array(resumed), array(embedded(undisturbed)))


def test_a_row_that_is_no_number_is_an_error(workspace, shown, tmp_path):
    dataset(workspace, shown)
    weights = load(embedding().network, "random", 0).state_dict()
    weights["last.bias"][2] = float("nan")
    torch.save(weights, tmp_path / "w.pth")
    with pytest.raises(InvalidInput, match="The vector of state 0 of pictures/pong is not finite"):
        embedded(workspace, embedding(weights=str(tmp_path / "w.pth")))


def test_what_a_reader_should_know_is_in_the_manifest(workspace, shown):
    dataset(workspace, shown)
    assert "one at a time" in embedded(workspace, embedding(Mixing)).manifest.warnings[0]


def test_vectors_need_no_embeddings(toy, workspace):
    collected(toy, workspace, episodes=1)
    for chosen in (embedding(), None):
        with pytest.raises(InvalidInput, match="toy/corner are vectors .* need no embeddings stage"):
            embedded(workspace, chosen, domain=toy, task="corner", dataset="scripted-v1")


def test_which_network_must_be_said(workspace, shown):
    dataset(workspace, shown)
    with pytest.raises(InvalidInput, match="Which network"):
        embedded(workspace, None)


def test_pong_through_regents_network(tmp_path, monkeypatch):
    """A real game through the shipped settings, against a network written from its description."""
    monkeypatch.setitem(WIDTHS, "cpu", 2)
    domain = dataclasses.replace(
        DOMAIN, name="atari", environment=partial(Atari, max_steps=3), regent=Regent(32, 5, 100, 100_000)
    )
    place = Workspace(str(tmp_path))
    made = collected(domain, place, task="pong", episodes=1, policy=Random, dataset="random-v1")
    chosen = composed("embedding=resnet18_regent", "embedding.compile=false")
    found = array(embedded(place, chosen, domain=domain, dataset="random-v1"))
    (episode,) = EpisodeDataset.of(made)
    frames = stacks([episode.steps["observation"]], 4, False)
    assert (frames.shape, frames.dtype) == ((3, 4, 84, 84), np.uint8)
    weights = {name: value.double() for name, value in load(chosen.network, "random", 0).state_dict().items()}
    for vector, stack in zip(found, frames, strict=True):
        np.testing.assert_allclose(vector, regent(stack, weights), rtol=0, atol=1e-4)
