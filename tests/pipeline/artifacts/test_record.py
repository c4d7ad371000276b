"""Manifests: no byte and no key of one is changed without its being noticed, and no garbage gets further."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.artifacts.artifact import MANIFEST, Artifact, Manifest, Parent, Spec
from pipeline.artifacts.checks import wrong_identity
from pipeline.artifacts.record import CHECKSUM, LARGEST
from pipeline.artifacts.store import ArtifactStore
from pipeline.errors import DamagedArtifact
from tests.manifests import as_before

SPEC = Spec("toy", "corner", "notes", 1, {"metric": "l2", "of": {"é": [1, 2.5, None]}}, (Parent("x", "v", "00", 3),))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """The manifest of a small artifact with something under every key."""

    def make(draft: Any) -> None:
        draft.array("numbers", (6, 2), np.float64, "1").append(np.arange(12.0).reshape(6, 2))
        draft.counts |= {"states": 6, "p95": 0.25}
        draft.facts["single"] = False
        draft.warnings.append("Six numbers are few.")

    artifact = ArtifactStore(str(tmp_path), "bin").build(SPEC, make)
    manifest = artifact.manifest
    manifest.return_, manifest.quirks = {"mean": 0.5}, [{"name": "q", "count": 1, "sentence": "s"}]
    manifest.write(artifact.path)
    return artifact.path / MANIFEST


def noticed(path: Path) -> bool:
    """Whether a manifest cannot be read, which the message says of it by its path, or does not fit itself."""
    try:
        return any(wrong_identity(Artifact(path.parent, Manifest.read(path.parent))))
    except DamagedArtifact as error:
        return str(path) in str(error)


def mutations(value: Any) -> Iterator[Any]:
    """The value with one thing in it removed, renamed, or put in the place of another of its own or another type."""
    for other in (None, True, -1, 10**40, 0.5, float("nan"), "", "x", [], [[]], {}, {"x": {}}):
        if repr(other) != repr(value):
            yield other
    if isinstance(value, dict):
        for key, each in value.items():
            rest = {name: value[name] for name in value if name != key}
            yield rest
            yield rest | {f"{key}_": each}
            yield from (value | {key: changed} for changed in mutations(each))
    elif isinstance(value, list):
        yield [*value, *value[:1]] if value else [0]
        for number, each in enumerate(value):
            yield from ([*value[:number], changed, *value[number + 1 :]] for changed in mutations(each))


def test_a_whole_manifest_is_read(path):
    assert not noticed(path)
    assert Manifest.read(path.parent).checksum


@pytest.mark.parametrize("mask", [1, 0x80])
def test_every_changed_byte_is_noticed(path, mask):
    whole = path.read_bytes()
    for place in range(len(whole)):
        changed = bytearray(whole)
        changed[place] ^= mask
        path.write_bytes(bytes(changed))
        assert noticed(path) or json.loads(path.read_text()) == json.loads(whole), (place, whole[place - 9 : place + 9])


def test_a_manifest_that_is_cut_anywhere_is_noticed(path):
    whole = path.read_bytes()
    for length in range(0, len(whole) - 2, 11):  # the last is the newline
        path.write_bytes(whole[:length])
        assert noticed(path)


def test_every_changed_key_and_value_is_noticed(path):
    changes = list(mutations(json.loads(path.read_text())))
    assert len(changes) > 800
    for changed in changes:
        path.write_text(json.dumps(changed))
        assert noticed(path), changed


def test_another_layout_of_the_same_content_is_the_same_manifest(path):
    values = json.loads(path.read_text())
    path.write_text(json.dumps(dict(reversed(values.items())), indent=7, ensure_ascii=True))
    assert not noticed(path)


def test_of_a_manifest_without_a_checksum_all_that_makes_its_identity_is_noticed(path):
    as_before(path.parent)
    assert not noticed(path)
    assert not Manifest.read(path.parent).checksum
    before = path.read_text()
    values = json.loads(before)
    for key in ("kind", "task", "version", "fingerprint", "format", "parents", "parameters"):
        for changed in mutations(values[key]):
            path.write_text(json.dumps(values | {key: changed}))
            assert noticed(path), (key, changed)
    for changed in mutations(values):  # whatever it is, it is read or named
        path.write_text(json.dumps(changed))
        noticed(path)


@pytest.mark.parametrize(
    "garbage",
    [
        *(b"", b"\0" * 100, b"\xff\xfe", b"null", b"NaN", b'"text"', b"[]", b"{}", b"1" * 10_000),
        *(b"[" * 200_000, b'{"a":' * 200_000, b'{"kind": ' + b"[" * 100_000 + b"]" * 100_000 + b"}"),
    ],
    ids=range(12),
)
@pytest.mark.timeout(60)
def test_garbage_is_named_and_takes_no_time_without_end(path, garbage):
    path.write_bytes(garbage)
    assert noticed(path)


def test_a_manifest_larger_than_any_is_not_read(path):
    with path.open("r+b") as file:
        file.truncate(LARGEST + 1)  # takes no room on the disk
    with pytest.raises(DamagedArtifact, match="no manifest is so large"):
        Manifest.read(path.parent)


def test_a_changed_manifest_says_what_makes_it_again(path):
    values = json.loads(path.read_text())
    path.write_text(json.dumps(values | {"seconds": 0}))
    with pytest.raises(DamagedArtifact, match="was changed after it was written") as error:
        Manifest.read(path.parent)
    assert error.value.remake == f"rm -r {path.parent} && python run.py stage=notes domain=toy task=corner storage=bin"
    path.write_text(json.dumps({key: each for key, each in values.items() if key != CHECKSUM}))
    with pytest.raises(DamagedArtifact, match="has lost its checksum"):
        Manifest.read(path.parent)


def test_files_of_other_folders_are_never_looked_at(path):
    for name in ("../x", "/etc/passwd", "a/../../x"):
        with pytest.raises(DamagedArtifact, match="files of other folders"):
            as_before(path.parent, files={name: {"size": 1, "blake3": "0"}})


def test_a_key_that_stands_there_twice_is_damage(path):
    text = path.read_text()
    path.write_text(text.replace("{", '{"digest": "00",', 1))
    with pytest.raises(DamagedArtifact, match="a key stands there twice"):
        Manifest.read(path.parent)
