"""An index says what the parts say, of one manifest alone, and is made again where it is not right."""

from __future__ import annotations

import dataclasses
import pickle
from pathlib import Path

import numpy as np
import pytest

from pipeline.artifacts.artifact import Artifact
from pipeline.artifacts.beside import INDEX, hidden_beside, private_place
from pipeline.dataset import indexing, open_parts
from pipeline.dataset.index import ONCE, DatasetIndex
from pipeline.dataset.indexing import kept_index, manifest_identity, mend_index, opened_index
from pipeline.dataset.reader import EpisodeDataset
from pipeline.dataset.references import References, derive, derived_spec
from pipeline.dataset.workspace import Workspace
from pipeline.errors import DamagedArtifact
from tests.conftest import collected
from tests.damage import flip_bit
from tests.manifests import as_before


@pytest.fixture
def own(made) -> Artifact:
    return artifact_of(made[1], "toy/corner/scripted-v1")


def artifact_of(workspace: Workspace, name: str) -> Artifact:
    artifact = workspace[name].artifact
    assert artifact is not None
    return artifact


def says_what_the_parts_say(index: DatasetIndex, plain: EpisodeDataset) -> None:
    """`plain` was opened part by part."""
    np.testing.assert_array_equal(index.lengths, plain.lengths)
    for name in ONCE:
        np.testing.assert_array_equal(index.once(name), plain.per_episode(name))
    assert index.digest(len(plain)) == plain.digest()
    assert index.digest(3) == plain.digest(3)
    assert index.specs == plain.rows()
    owner, first = index.places(np.arange(len(plain)))
    for number in range(len(plain)):
        of = index.owners[int(owner[number])]
        part = int(of.part_of(first[number : number + 1])[0])
        row = int(first[number] - of.arrays["part_rows"][part])
        stored = EpisodeDataset(of.folder, [of.part(part)])
        rows = np.concatenate([episode.steps["reward"] for episode in stored])
        np.testing.assert_array_equal(rows[row : row + index.lengths[number] + 1], plain[number].steps["reward"])


def part_by_part(artifact: Artifact) -> EpisodeDataset:
    return EpisodeDataset(artifact.path, artifact.manifest.parts)


def test_an_index_says_what_the_parts_say(made, own):
    assert kept_index(own.path) is not None  # it was made with the dataset
    says_what_the_parts_say(opened_index(own.path), part_by_part(own))
    collected(*made, episodes=22)
    grown = artifact_of(made[1], "toy/corner/scripted-v1")
    assert len(opened_index(own.path)) == 22
    says_what_the_parts_say(opened_index(own.path), part_by_part(grown))


def test_an_index_of_what_was_derived_names_the_owners(made, own):
    workspace = made[1]
    parent = workspace["toy/corner/scripted-v1"]
    numbers = np.array([7, 8, 3, 19, 0])
    child = derive(workspace, derived_spec("some-v1", "select", {}, [parent]), [parent], References.of_one(numbers))
    dataset = EpisodeDataset.of(child)
    twice = derived_spec("twice-v1", "stitch", {}, [dataset, parent])
    both = derive(workspace, twice, [dataset, parent], References(np.array([0, 1, 0]), np.array([4, 2, 1])))
    for artifact in (child, both):
        kept, plain = kept_index(artifact.path), EpisodeDataset.of(artifact)
        assert kept is not None
        assert [each.folder for each in kept.owners] == [own.path]
        says_what_the_parts_say(kept, plain)
    collected(*made, episodes=22)
    assert kept_index(both.path) is None  # the parent is another one: whether it begins with the same is to be checked
    says_what_the_parts_say(opened_index(both.path), EpisodeDataset.of(both))
    assert kept_index(both.path) is not None


def test_a_damaged_or_stale_index_is_made_again(own):
    path = hidden_beside(own.path, INDEX)
    whole = path.read_bytes()
    wanted = opened_index(own.path).lengths.copy()
    for place in (0.0, 0.01, 0.1, 0.3, 0.6, 0.99):
        flip_bit(path, place)
        np.testing.assert_array_equal(opened_index(own.path).lengths, wanted)
        path.write_bytes(whole)
    for torn in (b"", whole[:40], whole[:-1], whole + b"\0"):
        path.write_bytes(torn)
        assert kept_index(own.path) is None
        np.testing.assert_array_equal(opened_index(own.path).lengths, wanted)
    path.unlink()
    older = as_before(own.path)  # its manifest has no checksum
    assert manifest_identity(own.path).startswith("file ")
    np.testing.assert_array_equal(opened_index(own.path).lengths, wanted)
    assert path.is_file()
    assert not mend_index(older)


def test_an_index_that_names_other_files_is_made_again(own):
    place, names = hidden_beside(own.path, INDEX), opened_index(own.path).arrays["file_names"].tobytes()
    data = bytearray(place.read_bytes())
    data[data.index(names)] ^= 1
    place.write_bytes(data)
    assert kept_index(own.path) is None  # otherwise a part may seem to lack an info


def test_an_index_that_says_other_things_than_the_parts_is_mended(own):
    kept = opened_index(own.path)
    wanted = kept.lengths.copy()
    wrong = dataclasses.replace(kept, arrays=kept.arrays | {"ends": kept.arrays["ends"][::-1].copy()})
    indexing._keep(wrong)
    assert (opened_index(own.path).lengths != wanted).any()
    assert mend_index(own)
    np.testing.assert_array_equal(opened_index(own.path).lengths, wanted)


def test_an_open_dataset_of_many_parts_is_checked_part_by_part_and_keeps_its_prefix(made, own, monkeypatch):
    workspace = made[1]
    wanted = workspace["toy/corner/scripted-v1"]
    episode, digest = wanted[4], wanted.digest()
    monkeypatch.setattr(open_parts, "MANY_PARTS", 0)
    monkeypatch.setattr("pipeline.dataset.workspace.MANY_PARTS", 0)
    dataset = workspace["toy/corner/scripted-v1"]
    assert dataset._artifact is None  # no manifest was read
    np.testing.assert_array_equal(dataset[4].steps["reward"], episode.steps["reward"])
    first = workspace.opened("toy/corner/scripted-v1", 5)
    sent = pickle.dumps((dataset, first))
    collected(*made, episodes=22)
    for each in (dataset, *pickle.loads(sent)):
        assert each.digest(5) == wanted.digest(5)
    again = pickle.loads(sent)[0]
    assert (len(again), again.digest()) == (20, digest)
    files = [path for path in (own.path / "parts").rglob("*") if path.is_file() and "reward" in str(path)]
    flip_bit(max(files, key=lambda path: path.stat().st_size))
    for file in files:
        file.write_bytes(b"")
    with pytest.raises(DamagedArtifact, match="is damaged: parts/"):
        workspace["toy/corner/scripted-v1"][4]
    with pytest.raises(DamagedArtifact, match="is damaged: parts/"):
        EpisodeDataset.of(dataclasses.replace(own))[4]


def test_an_index_of_another_content_is_not_taken_for_the_one_that_was_sent(made, own):
    index = opened_index(own.path)
    assert len(pickle.loads(pickle.dumps(index))) == 20
    other = collected(*made, dataset="other-v1", seed=7)
    own.path.rename(own.path.with_name("away"))
    sent = pickle.dumps(index)
    other.path.rename(own.path)
    with pytest.raises(DamagedArtifact):
        pickle.loads(sent)


def test_where_a_folder_can_only_be_read_the_index_is_private(own, monkeypatch, tmp_path):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    hidden_beside(own.path, INDEX).unlink()
    hidden_beside(own.path, INDEX).mkdir()  # nothing can be written there, whoever asks
    says_what_the_parts_say(opened_index(own.path), part_by_part(own))
    place = private_place(own.path, INDEX)
    assert place is not None
    assert place.is_file()
    assert kept_index(own.path) is not None
    place.parent.chmod(0o777)  # somebody else could have written it
    assert private_place(own.path, INDEX) is None
    assert kept_index(own.path) is None


def test_gc_removes_what_was_remembered_of_a_dataset_that_is_gone(made, own, caplog):
    from stages import gc

    own.path.rename(Path(str(own.path) + "-away"))
    own.path.with_name(own.path.name + "-away").rename(made[1].root.parent / "away")
    gc.run(domain=made[0], only=None, workspace=made[1], delete=True)
    assert not hidden_beside(own.path, INDEX).exists()
