"""An export is sent to a bucket once, whole, and over nothing; a kill or a broken line costs what was under way."""

from __future__ import annotations

import json
from pathlib import Path, PurePosixPath

import fsspec
import numpy as np
import pytest

from pipeline.artifacts.artifact import Artifact
from pipeline.artifacts.exported import DATA, place_in
from pipeline.dataset.workspace import Workspace
from pipeline.errors import DamagedArtifact, InvalidInput, Unreachable
from pipeline.formats.choice import FORMS
from pipeline.formats.laying import place_out
from tests.conftest import made_episode
from tests.contracts.format import Listed, exported, ingested
from tests.gcs_server import BUCKET, Gcs
from tests.pipeline.formats.test_contract import ArraysFormat
from tests.pipeline.formats.test_laying import SignpostedFormat

OUT = f"gs://{BUCKET}/runs"
NAMES = ["0.npz", "1.npz", "2.npz", "provenance.json"]


@pytest.fixture(autouse=True)
def known(monkeypatch):
    monkeypatch.setitem(FORMS, "arrays", "tests.pipeline.formats.test_contract.ArraysFormat")


@pytest.fixture
def home(tmp_path: Path) -> Workspace:
    home = Workspace(str(tmp_path / "outputs"))
    rng = np.random.default_rng(3)
    ingested(Listed([made_episode(rng, 2 + number) for number in range(3)]), home)
    return home


def sent(home: Workspace, **settings: object) -> Artifact:
    return exported(ArraysFormat(), home, **{"out": OUT, **settings})


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_a_bucket_holds_what_the_store_holds_and_a_note_that_all_of_it_is_there(home: Workspace, gcs: Gcs):
    artifact = sent(home)
    there = contents(gcs.folder / "runs" / "corner")
    note = json.loads(there.pop(".upload.json"))
    assert there == contents(place_in(artifact))
    assert note["finished"] is True
    assert sorted(note["files"]) == NAMES
    assert artifact.laid == f"{OUT}/corner"
    gcs.log.clear()
    assert not sent(home).built
    assert not gcs.requests("PUT")


def test_a_large_file_goes_in_pieces(home: Workspace, gcs: Gcs, tmp_path: Path):
    content = np.random.default_rng(0).bytes(6 * 2**20)
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "a.hdf5").write_bytes(content)
    place = place_out(f"gs://{BUCKET}/a.hdf5", PurePosixPath("a.hdf5"), (".hdf5",), False)
    files = {"a.hdf5": {"size": len(content), "blake3": "1"}}
    assert place.is_free(files)
    place.lay(tmp_path / "data", files, "toy")
    assert (gcs.folder / "a.hdf5").read_bytes() == content
    assert not place.is_free(files)
    with pytest.raises(InvalidInput, match=r"it holds a\.hdf5"):
        place.is_free({"a.hdf5": {"size": len(content), "blake3": "2"}})


def test_what_fails_for_a_moment_is_sent_again(home: Workspace, gcs: Gcs):
    gcs.fail("PUT runs/corner/1", status=503, times=2)
    artifact = sent(home)
    assert contents(gcs.folder / "runs" / "corner").items() >= contents(place_in(artifact)).items()


def test_after_a_broken_line_the_same_command_sends_the_rest(home: Workspace, gcs: Gcs):
    fault = gcs.fail("PUT runs/corner/2", status=503, times=100)
    with pytest.raises(Unreachable, match=r"(?s)Sending 2\.npz.*503.*the same command"):
        sent(home)
    fault.times = 0
    assert json.loads((gcs.folder / "runs/corner/.upload.json").read_text())["finished"] is False
    gcs.log.clear()
    (gcs.folder / "runs/corner/0.npz").write_bytes(b"cut")
    sent(home)
    assert {text.rpartition("/")[2] for text in gcs.requests("PUT")} >= {"0.npz", "2.npz", ".upload.json"}
    assert not gcs.requests("PUT runs/corner/1.npz")


def test_other_files_in_the_place_are_named_and_left_alone(home: Workspace, gcs: Gcs):
    (gcs.folder / "runs" / "corner").mkdir(parents=True)
    (gcs.folder / "runs" / "corner" / "own").write_text("mine")
    with pytest.raises(InvalidInput, match=r"(?s)it holds own\..*format.out=.*runs-2"):
        sent(home)
    assert not gcs.requests("PUT")
    assert not list(home.of_kind("toy", "corner", "export"))
    sent(home, out=f"{OUT}-2")
    with pytest.raises(InvalidInput, match="is not this export"):
        sent(home, out=f"{OUT}-2", episodes=2)


def test_an_export_that_does_not_hold_its_dataset_is_not_sent(home: Workspace, gcs: Gcs):
    class Forgetful(ArraysFormat):
        def write(self, data, folder: Path) -> None:
            super().write(data, folder)
            (folder / self.place(data) / "2.npz").unlink()

    with pytest.raises(DamagedArtifact, match="is not sent: episode 2 is missing"):
        exported(Forgetful(), home, out=OUT)
    assert not gcs.requests("PUT")


def test_a_bucket_that_refuses_is_not_asked_again(home: Workspace, gcs: Gcs):
    gcs.fail("PUT", status=403, times=100)
    with pytest.raises(Unreachable, match=r"(?s)Writing \.upload\.json.*once.*gcloud auth application-default login"):
        sent(home)
    assert len(gcs.requests("PUT")) == 1


def test_any_file_system_that_fsspec_knows_takes_an_export(home: Workspace):
    artifact = sent(home, out="memory://runs/deep")
    memory = fsspec.filesystem("memory")
    assert memory.cat_file("/runs/deep/corner/1.npz") == (place_in(artifact) / "1.npz").read_bytes()
    assert sent(home, out="memory://runs/deep").laid == "memory://runs/deep/corner"
    files = {name.removeprefix(f"{DATA}/"): record for name, record in artifact.manifest.files.items()}
    place = place_out("memory://runs/a.npz", PurePosixPath("corner/1.npz"), (".npz",), False)
    assert place.lay(artifact.path / DATA, files, "toy")
    assert memory.cat_file("/runs/a.npz") == memory.cat_file("/runs/deep/corner/1.npz")
    folder = place_out("memory://runs/all", PurePosixPath("corner/1.npz"), (".npz",), False)
    assert folder.lay(artifact.path / DATA, files, "toy")
    assert sorted(memory.find("/runs/all")) == ["/runs/all/corner/.1.npz.upload.json", "/runs/all/corner/1.npz"]
    memory.rm("/runs", recursive=True)


def test_an_address_that_cannot_be_used_is_refused_before_anything_is_made(home: Workspace):
    refused = {"nothing://x": "cannot be opened", "ftp://anna:hushed@127.0.0.1:1/x": "password", "gs://": "no bucket"}
    for out, message in refused.items():
        with pytest.raises(InvalidInput, match=message):
            sent(home, out=out)
    with pytest.raises(InvalidInput, match="no place of this machine"):
        sent(home, out="memory://runs", link=True)
    assert not list(home.of_kind("toy", "corner", "export"))


def test_signposts_are_sent_and_others_replace_them(home: Workspace, gcs: Gcs, monkeypatch):
    monkeypatch.setitem(FORMS, "signposted", "tests.pipeline.formats.test_laying.SignpostedFormat")
    there = gcs.folder / "runs" / "corner"
    exported(SignpostedFormat(), home, out=OUT)
    assert (there / "where.txt").read_text() == f"{OUT}/corner"
    gcs.log.clear()
    exported(SignpostedFormat(), home, out=OUT)
    assert not gcs.requests("PUT")
    exported(SignpostedFormat("g" + f"{OUT}/corner"[1:]), home, out=OUT)
    assert not gcs.requests("PUT")
    exported(SignpostedFormat("x" + f"{OUT}/corner"[1:]), home, out=OUT)  # as many bytes
    assert (there / "where.txt").read_text()[0] == "x"
    assert not [text for text in gcs.requests("PUT") if text.endswith(".npz")]
