"""Files are what a manifest lists: whatever changes one is noticed, and what is known is not read again."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.artifacts import whole
from pipeline.artifacts.artifact import Artifact, Spec
from pipeline.artifacts.store import ArtifactStore
from pipeline.artifacts.whole import memory_of
from pipeline.errors import DamagedArtifact
from tests.damage import flip_bit
from tests.manifests import as_before

SPEC = Spec("toy", "corner", "notes", 1, {})


@pytest.fixture
def store(tmp_path: Path) -> ArtifactStore:
    return ArtifactStore(str(tmp_path), "bin")


@pytest.fixture
def notes(store: ArtifactStore) -> Artifact:
    """An artifact of ten numbers that this process has not read yet."""
    artifact = store.build(SPEC, fill)
    settle(artifact)
    return artifact


def fill(draft: Any) -> None:
    draft.array("numbers", (10,), np.int64, "1").append(np.arange(10))


def settle(artifact: Artifact) -> None:
    """As if some time had gone since it was written."""
    whole._read_here.clear()
    artifact.require_whole()
    while not memory_of(artifact.path).exists():  # the clock of the file system ticks
        artifact.require_whole()


def replaced(path: Path) -> None:
    copy = path.with_name("copy")
    copy.write_bytes(bytes(path.stat().st_size))
    copy.replace(path)


def flipped_at_the_same_time(path: Path) -> None:
    status = path.stat()
    flip_bit(path)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


@pytest.mark.parametrize(
    ("harm", "message"),
    [
        (Path.unlink, "numbers.bin is missing"),
        (lambda path: path.write_bytes(b""), "has 0 bytes, the manifest says 80"),
        (lambda path: path.write_bytes(bytes(81)), "has 81 bytes, the manifest says 80"),
        (flip_bit, "has other bytes than when it was made"),
        (replaced, "has other bytes than when it was made"),
        (flipped_at_the_same_time, "has other bytes than when it was made"),
    ],
)
def test_every_harm_is_noticed_at_every_door(store, notes, harm, message):
    harm(notes.arrays / "numbers.bin")
    child = Spec("toy", "corner", "summary", 1, {}, (notes.as_parent(),))
    doors = [
        notes.open,
        lambda: store.build(SPEC, fill),
        lambda: store.build(SPEC, fill, force=True),
        lambda: store.require(SPEC, "notes"),
        lambda: store.find("notes", "toy/corner"),
        lambda: store.build(child, lambda draft: pytest.fail("made of what is damaged")),
    ]
    for door in doors:
        with pytest.raises(DamagedArtifact, match=message) as error:
            door()
        assert f"rm -r {notes.path} && python run.py stage=notes" in str(error.value)


def test_a_parent_that_is_changed_while_it_is_read_makes_no_child(store, notes):
    def make(draft: Any) -> None:
        fill(draft)
        flip_bit(notes.arrays / "numbers.bin")

    child = Spec("toy", "corner", "summary", 1, {}, (notes.as_parent(),))
    with pytest.raises(DamagedArtifact, match="has other bytes"):
        store.build(child, make)
    assert store.get(child) is None


def test_bytes_are_read_once_and_again_when_a_child_is_made_by_another_process(store, notes, monkeypatch):
    read: list[Path] = []
    digest = whole.digest_file
    monkeypatch.setattr(whole, "digest_file", lambda path: read.append(path) or digest(path))
    notes.require_whole()
    assert read == []
    whole._read_here.clear()  # another process
    notes.require_whole()
    assert read == []
    store.build(Spec("toy", "corner", "summary", 1, {}, (notes.as_parent(),)), fill)
    assert {path.name for path in read} == {"numbers.bin", "shapes.json"}
    os.utime(notes.arrays / "numbers.bin")
    notes.require_whole()
    assert len(read) > 2


@pytest.mark.parametrize("garbage", ["", "[]", "{", '{"": 3}', "[" * 100_000])
def test_what_is_remembered_is_no_more_than_that(notes, garbage):
    memory_of(notes.path).write_text(garbage)
    whole._read_here.clear()
    notes.require_whole()
    flip_bit(notes.arrays / "numbers.bin")
    with pytest.raises(DamagedArtifact):
        notes.require_whole()


def test_a_change_within_the_same_tick_of_the_clock_is_noticed(store):
    artifact = store.build(SPEC, fill)
    for _ in range(20):
        artifact.require_whole()
        status = (artifact.arrays / "numbers.bin").stat()
        flip_bit(artifact.arrays / "numbers.bin")
        with pytest.raises(DamagedArtifact):
            artifact.require_whole()
        flip_bit(artifact.arrays / "numbers.bin")
        assert status.st_size == 80


def test_a_child_keeps_which_files_it_read_and_none_of_that_is_in_its_identity(store, notes):
    spec = Spec("toy", "corner", "summary", 1, {}, (notes.as_parent(),))
    child = store.build(spec, fill)
    (entry,) = child.manifest.parents
    assert entry["read"] == notes.files_digest()
    assert as_before(child.path, parents=[{key: entry[key] for key in entry if key != "read"}]).parents == [
        notes.as_parent()
    ]
    assert spec.fingerprint == child.manifest.fingerprint
    assert "read" not in json.dumps(spec.parents[0].identity())


def test_what_was_checked_one_by_one_is_remembered_when_its_reader_is_gone(notes):
    memory_of(notes.path).unlink(missing_ok=True)
    whole._read_here.clear()
    reader = whole.OneByOne(notes.path)
    assert reader.damage("", lambda: notes.manifest.files) == []
    assert not memory_of(notes.path).exists()
    del reader
    assert json.loads(memory_of(notes.path).read_text()).keys() == {""}
