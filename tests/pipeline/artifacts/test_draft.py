"""A draft: what a stage fills becomes an artifact in one step, and is taken up again where it was killed."""

import numpy as np
import pytest

from pipeline.artifacts.artifact import Spec
from pipeline.artifacts.store import ArtifactStore
from pipeline.digest import combine, digest_arrays

NOTES = Spec("toy", "corner", "notes", 1, {})
NUMBERS = np.arange(12.0).reshape(6, 2)


@pytest.fixture(params=["zarr", "bin"])
def store(tmp_path, request):
    return ArtifactStore(str(tmp_path), request.param)


def array_digest(name, array):
    return digest_arrays({name: array})


def test_the_digest_is_of_the_arrays_and_of_the_content_that_is_said(store):
    def make(draft):
        draft.array("b", NUMBERS.shape, NUMBERS.dtype, "1").append(NUMBERS)
        draft.array("a", (2,), np.int32, "1", content=False).append(np.ones(2, np.int32))
        draft.content("c", b"said")

    manifest = store.build(NOTES, make).manifest
    assert manifest.digest == combine([array_digest("b", NUMBERS), b"said"])
    assert [(each["name"], each["shape"]) for each in manifest.arrays] == [("b", [6, 2]), ("a", [2])]


def test_counts_warnings_and_described_arrays_are_in_the_manifest(store):
    def make(draft):
        draft.counts["rows"] = 6
        draft.warnings.append("few rows")
        draft.listed("table", (6, 2), np.float32, "m")

    manifest = store.build(NOTES, make).manifest
    assert (manifest.counts, manifest.warnings) == ({"rows": 6}, ["few rows"])
    assert manifest.arrays == [{"name": "table", "shape": [6, 2], "dtype": "float32", "unit": "m"}]


def test_nothing_is_there_until_all_is_there_and_a_failed_run_goes_on(store):
    done = []

    def make(draft):
        writer = draft.array("numbers", NUMBERS.shape, NUMBERS.dtype, "1")
        done.append(writer.done)
        folder = draft.folder("files")
        assert list(folder.iterdir()) == []  # what the killed run left is removed
        (folder / "note").write_text("x")
        if len(done) == 1:
            raise RuntimeError
        writer.append(NUMBERS[writer.done :])

    with pytest.raises(RuntimeError):
        store.build(NOTES, make)
    assert store.get(NOTES) is None
    made = store.build(NOTES, make)
    np.testing.assert_array_equal(made.open()["numbers"][:], NUMBERS)
    assert "files/note" in made.manifest.files
    assert not [name for name in made.manifest.files if name.startswith((".", "identity", "progress"))]
