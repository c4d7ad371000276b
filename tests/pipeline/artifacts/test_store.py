"""The store of artifacts: what is there is found by what was asked, what is not there is made once."""

import shutil

import pytest

from pipeline.artifacts.artifact import Parent, Spec
from pipeline.artifacts.store import ArtifactStore
from pipeline.errors import ArtifactNotFound, DamagedArtifact, DigestMismatch, InvalidInput, UnknownName

NOTES = Spec("toy", "corner", "notes", 1, {"metric": "l2", "policy": {"name": "x"}})


def made(store, spec, text="a"):
    return store.build(spec, lambda draft: draft.content("text", text.encode()))


@pytest.fixture
def store(tmp_path):
    return ArtifactStore(str(tmp_path))


@pytest.fixture
def chain(store):
    """Two notes that differ in their metric, and a summary of each that differs in nothing of its own."""
    leading = Parent("episodes", "x-v1", "0", 4)
    both = [made(store, Spec("toy", "corner", "notes", 1, {"metric": metric})) for metric in ("l2", "cosine")]
    return {
        note.manifest.parameters["metric"]: made(
            store,
            Spec("toy", "corner", "summary", 1, {"words": 7}, (leading, note.as_parent())),
        )
        for note in both
    }


def test_what_was_built_is_found_and_not_built_again(store):
    first = made(store, NOTES)
    assert first.built
    assert store.get(NOTES).path == first.path
    assert not store.build(NOTES, lambda draft: pytest.fail("built again")).built


def test_a_rebuild_compares_digests(store):
    made(store, NOTES)
    assert store.build(NOTES, lambda draft: draft.content("text", b"a"), force=True).built
    with pytest.raises(DigestMismatch, match="gave other content"):
        store.build(NOTES, lambda draft: draft.content("text", b"b"), force=True)


def test_a_missing_input_names_the_stage_and_what_else_is_there(store):
    made(store, NOTES)
    with pytest.raises(ArtifactNotFound, match=rf"(?s){store.get(NOTES).path.name}.*stage=notes .*task=corner"):
        store.require(Spec("toy", "corner", "notes", 2, {}), "notes")


def test_an_artifact_is_found_by_a_setting_of_what_it_was_made_from(store, chain):
    for metric, summary in chain.items():
        assert store.find("summary", "toy/corner", metric=metric).path == summary.path
        assert (
            store.find("summary", "toy/corner", metric=metric, words=7, episodes=4, dataset="x-v1").path == summary.path
        )
        assert store.find("summary", "toy/corner", version=summary.manifest.version).path == summary.path


def test_a_nested_setting_is_found_by_its_last_name_and_by_its_whole_name(store):
    path = made(store, NOTES).path
    assert store.find("notes", "toy/corner", name="x").path == path
    assert store.find("notes", "toy/corner", **{"policy.name": "x"}).path == path


def test_several_are_listed_with_the_settings_that_differ(store, chain):
    with pytest.raises(InvalidInput, match="2 summary of toy/corner are made with words=7; say which") as error:
        store.find("summary", "toy/corner", words=7)
    for metric, summary in chain.items():
        assert f"  version={summary.manifest.version} (words=7, metric={metric})" in str(error.value)


def test_its_own_setting_counts_before_that_of_what_it_was_made_from(store):
    made_from = {"export": {"format": "d4rl", "words": "of " * 40}}
    source = made(store, Spec("toy", "corner", "notes", 1, {"format": "d4rl", "source": {"made_from": made_from}}))
    exports = {
        name: made(store, Spec("toy", "corner", "summary", 1, {"format": name}, (source.as_parent(),)))
        for name in ("d4rl", "kabuki")
    }
    for name, export in exports.items():
        assert store.find("summary", "toy/corner", format=name).path == export.path
    with pytest.raises(UnknownName, match="no setting of notes of toy/corner named words"):
        store.find("notes", "toy/corner", words="of " * 40)
    with pytest.raises(InvalidInput, match="say which") as error:
        store.find("summary", "toy/corner")
    for name, export in exports.items():
        assert f"  version={export.manifest.version} (format={name})" in str(error.value)


def test_what_was_made_again_in_a_newer_format_is_found_and_the_older_one_by_its_version(store, chain):
    older = chain["l2"].manifest
    again = Spec("toy", "corner", "summary", 2, older.parameters, tuple(Parent(**each) for each in older.parents))
    newer = made(store, again)
    assert store.find("summary", "toy/corner", metric="l2").path == newer.path
    assert store.find("summary", "toy/corner", version=older.version).path == chain["l2"].path
    with pytest.raises(InvalidInput, match="2 summary"):
        store.find("summary", "toy/corner", words=7)


def test_none_lists_those_that_are_there(store, chain):
    with pytest.raises(UnknownName, match=r"No summary of toy/corner is made with metric=l7") as error:
        store.find("summary", "toy/corner", metric="l7")
    assert str(error.value).count("version=") == 2
    with pytest.raises(UnknownName, match="There are no bins of toy/corner .* there are: notes, summary"):
        store.find("bins", "toy/corner")
    with pytest.raises(UnknownName, match="no task named toy/maze. Known: toy/corner"):
        store.find("bins", "toy/maze")
    with pytest.raises(InvalidInput, match="write domain/task"):
        store.find("bins", "corner")


def test_a_setting_that_none_has_is_named_with_those_that_are_there(store, chain):
    with pytest.raises(UnknownName, match=r"no setting of summary of toy/corner named metrik.*metric") as error:
        store.find("summary", "toy/corner", metrik="l2")
    assert str(error.value).count("version=") == 2


def test_an_artifact_shows_itself_in_a_line(store):
    artifact = made(store, NOTES)
    assert repr(artifact) == f"Artifact(notes of toy/corner, version {artifact.manifest.version}, {artifact.path})"


def test_the_same_artifact_in_both_storages_is_one(tmp_path):
    paths = {name: made(ArtifactStore(str(tmp_path), name), NOTES).path for name in ("zarr", "bin")}
    for name, path in paths.items():
        assert ArtifactStore(str(tmp_path), name).find("notes", "toy/corner", metric="l2").path == path


def test_an_unreadable_manifest_is_named(store):
    path = made(store, NOTES).path / "manifest.json"
    path.write_text("{}")
    with pytest.raises(DamagedArtifact, match="is no manifest of this program"):
        store.get(NOTES)
    damage: list[DamagedArtifact] = []
    assert list(store.all(None, damage)) == []
    assert str(path) in str(damage[0])


def test_a_folder_that_has_lost_its_manifest_is_named_before_anything_is_made_in_its_place(store):
    path = made(store, NOTES).path / "manifest.json"
    path.unlink()
    with pytest.raises(DamagedArtifact, match=f"{path.parent} has no manifest.json[\\s\\S]*rm -r {path.parent} && "):
        store.build(NOTES, lambda draft: pytest.fail("built"))
    damage: list[DamagedArtifact] = []
    assert list(store.all(None, damage)) == []
    assert str(path.parent) in str(damage[0])


def test_an_artifact_that_lies_in_the_place_of_another_is_not_read_as_that_one(store):
    wanted, other = made(store, NOTES), made(store, Spec("toy", "maze", "notes", 1, {"metric": "l2"}), "b")
    shutil.rmtree(wanted.path)
    shutil.copytree(other.path, wanted.path)
    said = f"{wanted.path} holds another artifact: its manifest is of toy/maze/notes/{other.manifest.version}"
    for reads in (
        lambda: store.get(NOTES),
        lambda: store.build(NOTES, lambda draft: pytest.fail("built")),
        lambda: store.require(NOTES, "notes"),
        lambda: store.find("notes", "toy/corner"),
    ):
        with pytest.raises(DamagedArtifact, match=f"{said}[\\s\\S]*rm -r {wanted.path} && "):
            reads()
    damage: list[DamagedArtifact] = []
    assert [each.path for each in store.all(None, damage)] == [other.path]
    assert said in str(damage[0])
