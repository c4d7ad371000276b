"""Which job has made an artifact, by the records of runs."""

import json
import shutil

import pytest

from pipeline.artifacts.artifact import Manifest
from pipeline.artifacts.runs import MadeBy, made_by
from pipeline.command import Typed, user_typed
from pipeline.errors import DamagedArtifact


def ran(root, place, words, path, built, stage="collect"):
    """The record of a job that has made or found an artifact."""
    (folder := root / place).mkdir(parents=True)
    (folder / "job.json").write_text(json.dumps({"words": words}))
    (folder / "artifacts.json").write_text(json.dumps([{"stage": stage, "built": built, "path": str(path)}]))


@pytest.fixture
def folder(tmp_path):
    path = tmp_path / "artifacts" / "toy" / "corner" / "episodes" / "d-v1"
    path.mkdir(parents=True)
    return path


def test_the_last_job_that_made_it_counts_before_those_that_found_it(tmp_path, folder):
    assert made_by(folder) is None
    ran(tmp_path, "runs/2026-01-01/10-00-00", ["stage=collect", "seed=1"], folder, built=True)
    ran(tmp_path, "sweeps/2026-01-02/10-00-00/3", ["stage=collect", "seed=2"], folder, built=True)
    ran(tmp_path, "runs/2026-01-03/10-00-00", ["stage=collect", "seed=3"], folder, built=False)
    ran(tmp_path, "runs/2026-01-04/10-00-00", ["stage=collect", "seed=4"], folder.with_name("other"), built=True)
    assert made_by(folder) == MadeBy("collect", "python run.py stage=collect seed=2")
    ran(tmp_path, "runs/2026-01-05/10-00-00", ["episodes=1", "seed=2", "force=true"], folder, built=True)
    assert made_by(folder) == MadeBy("collect", "python run.py stage=collect seed=2")
    shutil.rmtree(tmp_path / "runs" / "2026-01-05")
    for each in ("runs/2026-01-01", "sweeps/2026-01-02"):
        shutil.rmtree(tmp_path / each)
    assert made_by(folder) == MadeBy("collect", "python run.py stage=collect seed=3")


def test_damaged_records_say_nothing_and_a_root_may_have_been_moved(tmp_path, folder):
    ran(tmp_path, "runs/2026-01-01/10-00-00", ["policy=random"], "/gone/artifacts/toy/corner/episodes/d-v1", built=True)
    for number, (made, job) in enumerate([("[", "{}"), ("3", "{}"), ("[3]", "{}"), ('[{"path": 3}]', "{}")]):
        (other := tmp_path / "runs" / "2026-01-02" / f"10-00-0{number}").mkdir(parents=True)
        (other / "artifacts.json").write_text(made)
        (other / "job.json").write_text(job)
    ran(tmp_path, "runs/2026-01-03/10-00-00", "no list", folder, built=True)
    assert made_by(folder) == MadeBy("collect", "python run.py policy=random")


def test_a_torn_manifest_is_made_again_by_the_recorded_command_or_else_its_error_says_that_none_is_known(
    tmp_path, folder
):
    (folder / "manifest.json").write_text("{")
    with pytest.raises(DamagedArtifact, match="No run below this root says with which settings") as error:
        Manifest.read(folder)
    assert error.value.remake == f"rm -r {folder} && python run.py stage=collect domain=toy task=corner dataset=d-v1"
    words = ["stage=[ingest,report]", "source=jat", "source.path=x", "domain=toy", "task=corner,maze", "seed=3"]
    ran(tmp_path, "runs/2026-01-01/10-00-00", words, folder, built=True, stage="ingest")
    with pytest.raises(DamagedArtifact) as error:
        Manifest.read(folder)
    assert "No run" not in str(error.value)
    assert error.value.remake.endswith("stage=ingest domain=toy task=corner dataset=d-v1 source=jat source.path=x")


def test_a_dataset_that_is_named_by_what_makes_it_is_not_made_by_something_else(tmp_path, folder):
    (random := folder.with_name("random-v1-bin")).mkdir()
    with pytest.raises(DamagedArtifact, match="no command makes again") as error:
        Manifest.read(random)
    line = "python run.py stage=collect domain=toy task=corner dataset=random-v1 policy=random storage=bin"
    assert error.value.remake == f"rm -r {random} && {line}"
    with user_typed(Typed(("stage=verify", "policy=sb3"))), pytest.raises(DamagedArtifact) as error:
        Manifest.read(random)
    assert "policy=random" not in error.value.remake


def test_a_job_that_found_it_for_some_pieces_is_no_reason_to_make_pieces_alone(tmp_path, folder):
    ran(tmp_path, "runs/2026-01-01/10-00-00", ["seed=3", "stage.collect.shards=0-9"], folder, built=False)
    with pytest.raises(DamagedArtifact) as error:
        Manifest.read(folder)
    assert "shards" not in error.value.remake
    assert "seed=3" in error.value.remake
