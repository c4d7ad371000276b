"""Artifacts: an identity that holds what changes bytes, and a manifest that is read as it was written."""

import dataclasses
import json
import shutil

import numpy as np
import pytest

from pipeline.artifacts.artifact import MANIFEST, Artifact, Manifest, Parent, Spec
from pipeline.artifacts.store import ArtifactStore
from pipeline.dataset.reader import EpisodeDataset
from pipeline.errors import DamagedArtifact, InvalidInput
from pipeline.frames.store import Frames
from tests.manifests import as_before

SPEC = Spec("toy", "corner", "notes", 1, {"metric": "l2"}, (Parent("episodes", "x-v1", "00", 3),))


@pytest.mark.parametrize(
    "change",
    [
        {"task": "maze"},
        {"kind": "other"},
        {"format": 2},
        {"parameters": {"metric": "cosine"}},
        {"parents": ()},
        {"parents": (Parent("episodes", "x-v1", "01", 3),)},
        {"parents": (Parent("episodes", "x-v1", "00", 4),)},
    ],
)
def test_every_part_of_the_identity_changes_the_fingerprint(change):
    assert dataclasses.replace(SPEC, **change).fingerprint != SPEC.fingerprint


def test_a_dataset_is_versioned_by_its_name_and_all_else_by_its_fingerprint():
    assert SPEC.version == SPEC.fingerprint
    named = dataclasses.replace(SPEC, name="scripted-v1")
    assert (named.version, named.fingerprint) == ("scripted-v1", SPEC.fingerprint)


def test_a_manifest_is_read_as_it_was_written(tmp_path):
    manifest = Manifest("notes", "toy/corner", "v", "f", "d", 1, counts={"a": 1}, return_={"mean": 0.5})
    manifest.write(tmp_path)
    assert Manifest.read(tmp_path) == manifest
    assert json.loads((tmp_path / MANIFEST).read_text())["return"] == {"mean": 0.5}


def test_a_manifest_of_before_quirks_were_kept_is_read(tmp_path):
    Manifest("notes", "toy/corner", "v", "f", "d", 1).write(tmp_path)
    assert as_before(tmp_path, "quirks").manifest.quirks == []


@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"return": {}, "parts": [{"name": "x"}]}'])
def test_what_is_no_manifest_is_named(tmp_path, text):
    (tmp_path / MANIFEST).write_text(text)
    with pytest.raises(DamagedArtifact, match=MANIFEST):
        Manifest.read(tmp_path)


def test_parents_are_asked_for_by_kind(tmp_path):
    parents = [dataclasses.asdict(SPEC.parents[0])]
    artifact = Artifact(tmp_path, Manifest("notes", "toy/corner", "v", "f", "d", 1, parents=parents))
    assert artifact.parent("episodes") == SPEC.parents[0]
    with pytest.raises(DamagedArtifact, match="names no retrieval among its parents"):
        artifact.parent("retrieval")
    assert artifact.as_parent() == Parent("notes", "v", "d", None)
    assert (artifact.domain, artifact.task) == ("toy", "corner")


@pytest.mark.parametrize("storage", ["zarr", "bin"])
def test_arrays_of_an_artifact_are_opened_by_name(tmp_path, storage):
    def make(draft):
        draft.array("numbers", (3,), np.int64, "1").append(np.arange(3))

    made = ArtifactStore(str(tmp_path), storage).build(SPEC, make)
    assert made.open()["numbers"][1:3].tolist() == [1, 2]


def test_an_artifact_without_arrays_says_how_it_is_read(made):
    _, workspace = made
    with pytest.raises(InvalidInput, match=r"is a dataset\. Read it as one: .*'toy/corner/scripted-v1'"):
        workspace.find("episodes", "toy/corner").open()
    with pytest.raises(InvalidInput, match=r"of the kind parquet, which has no arrays to open\. Its files: .*parquet"):
        workspace.find("parquet", "toy/corner").open()


def test_arrays_that_are_gone_are_damage(made):
    _, workspace = made
    retrieval = workspace.find("retrieval", "toy/corner")
    shutil.rmtree(retrieval.arrays)
    with pytest.raises(DamagedArtifact):
        retrieval.open()


@pytest.mark.parametrize("reader", [EpisodeDataset, Frames])
def test_a_folder_of_something_else_is_told_with_what_is_wanted(made, tmp_path, reader):
    _, workspace = made
    (tmp_path / "empty").mkdir()
    for folder, there in (
        (str(tmp_path / "gone"), "it is not there"),
        (tmp_path / "empty", "it is empty"),
        (workspace.root, "there are toy"),
        (workspace.find("bins", "toy/corner").path, r"(?s)of the kind bins; wanted are .*find\('.*', 'toy/corner'\)"),
    ):
        with pytest.raises(InvalidInput, match=there):
            reader(folder)
    with pytest.raises(InvalidInput, match="of the kind bins; wanted are episodes"):
        EpisodeDataset.of(workspace.find("bins", "toy/corner"))


def test_a_dataset_is_opened_by_its_folder_too(made):
    _, workspace = made
    dataset = EpisodeDataset(str(workspace.find("episodes", "toy/corner").path))
    assert (len(dataset), dataset.name) == (20, "toy/corner/scripted-v1")
