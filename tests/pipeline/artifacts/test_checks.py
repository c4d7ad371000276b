"""Checks of finished artifacts: every byte that changes is noticed."""

import numpy as np
import pytest

from pipeline.artifacts.artifact import Spec
from pipeline.artifacts.checks import damaged_files, wrong_arrays
from pipeline.artifacts.store import ArtifactStore


@pytest.fixture
def made(tmp_path):
    def make(draft):
        draft.array("numbers", (6, 2), np.float64, "1").append(np.arange(12.0).reshape(6, 2))
        (draft.folder("files") / "note").write_text("abc")

    return ArtifactStore(str(tmp_path), "bin").build(Spec("toy", "corner", "notes", 1, {}), make)


def test_a_whole_artifact_has_nothing_wrong(made):
    assert list(damaged_files(made)) == []
    assert list(wrong_arrays(made)) == []


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "files/note is missing"),
        ("abcd", "files/note has 4 bytes, the manifest says 3"),
        ("abd", "files/note has other bytes than when it was made"),
    ],
)
def test_a_file_that_is_not_as_it_was_is_named(made, text, message):
    path = made.path / "files" / "note"
    path.unlink() if text is None else path.write_text(text)
    assert list(damaged_files(made)) == [message]
    assert list(wrong_arrays(made)) == []


def test_a_file_that_no_one_made_is_named(made):
    (made.path / "files" / "more").write_text("x")
    assert list(damaged_files(made)) == ["files/more is not in the manifest"]


def test_other_numbers_in_an_array_are_noticed_by_its_content(made):
    file = made.arrays / "numbers.bin"
    np.arange(1.0, 13.0).tofile(file)
    assert list(wrong_arrays(made)) == ["the arrays' content does not give the manifest's digest"]
