"""Garbage: what dead runs, growth and replaced parents leave is listed, and removed only when asked."""

import dataclasses
import os

import pytest

from pipeline.artifacts.artifact import Spec
from pipeline.artifacts.claim import claim, lease_of
from pipeline.artifacts.pieces import making_pieces
from stages import gc, verify
from tests.conftest import collected, derived


def listed(made, caplog, delete=False):
    toy, workspace = made
    caplog.clear()
    with caplog.at_level("INFO"):
        gc.run(domain=toy, only=None, workspace=workspace, delete=delete)
    return [
        record.getMessage()
        for record in caplog.records
        if "remove" in record.getMessage() and "(" in record.getMessage()
    ]


def test_a_clean_workspace_has_none(made, caplog):
    assert listed(made, caplog) == []


def test_a_part_that_grew_is_removed_and_the_dataset_stays_whole(made, caplog):
    toy, workspace = made
    collected(toy, workspace, episodes=22)
    lines = listed(made, caplog)
    assert len(lines) == 1
    assert "000000-000020 (a part that grew" in lines[0]
    listed(made, caplog, delete=True)
    assert listed(made, caplog) == []
    verify.run(domain=toy, only=None, workspace=workspace, audit=None, workers=1)


def test_a_part_that_came_after_the_manifests_were_read_stays(made, caplog, monkeypatch):
    toy, workspace = made
    read_before = [*workspace.all("toy", [])]
    collected(toy, workspace, episodes=22)
    monkeypatch.setattr(type(workspace), "all", lambda *_: iter(read_before))
    (line,) = listed(made, caplog, delete=True)
    assert "000000-000020 (a part that grew" in line
    monkeypatch.undo()
    verify.run(domain=toy, only=None, workspace=workspace, audit=None, workers=1)


def test_no_part_goes_while_another_process_writes_the_dataset(made, caplog):
    toy, workspace = made
    collected(toy, workspace, episodes=22)
    (dataset,) = workspace.of_kind("toy", "corner", "episodes")
    with claim(dataset.path, "a") as draft:
        assert listed(made, caplog, delete=True) == []
        draft.discard()
    assert len(listed(made, caplog)) == 1


def test_a_draft_of_a_dead_run_goes_and_one_of_a_live_run_stays(made, caplog):
    _, workspace = made
    folder = workspace.root / "toy" / "corner" / "retrieval"
    with pytest.raises(RuntimeError), claim(folder / "dead", "a"):
        raise RuntimeError
    with claim(folder / "live", "a") as draft:
        lines = listed(made, caplog, delete=True)
        assert len(lines) == 1
        assert "dead" in lines[0]
        assert draft.path.exists()


def test_children_of_a_parent_that_is_gone_go_with_their_own_children(made, caplog):
    toy, workspace = made
    derived(toy, workspace, neighbours=25)
    retrieval = workspace.of_kind("toy", "corner", "retrieval")[0]
    child = next(
        a
        for a in workspace.of_kind("toy", "corner", "distances")
        if a.parent("retrieval").version == retrieval.manifest.version
    )
    moved = dataclasses.replace(retrieval.manifest, digest="0" * 64)
    moved.write(retrieval.path)
    lines = listed(made, caplog)
    assert len(lines) == 3  # distances, bins, parquet of that retrieval
    assert any(str(child.path) in line for line in lines)
    listed(made, caplog, delete=True)
    assert not child.path.exists()
    assert len(workspace.of_kind("toy", "corner", "distances")) == 1


def test_a_lock_that_names_no_process_goes_with_the_draft_that_it_kept(made, caplog):
    _, workspace = made
    folder = workspace.root / "toy" / "corner" / "retrieval"
    with pytest.raises(RuntimeError), claim(folder / "dead", "a"):
        raise RuntimeError
    (lock := lease_of(folder / "dead")).touch()
    assert listed(made, caplog) == []  # somebody may be writing it
    os.utime(lock, (0, 0))
    lines = listed(made, caplog, delete=True)
    assert [line.split("(")[1].split(",")[0] for line in lines] == [
        "a lock that names no process",
        "an unfinished run; the same command would resume it",
    ]
    assert not lock.exists()
    assert listed(made, caplog) == []


def test_pieces_that_nobody_joined_go_and_those_under_way_stay(made, caplog):
    _, workspace = made
    spec = Spec("toy", "corner", "episodes", 1, {}, name="split-v1")
    with making_pieces(workspace.folder(spec), spec, range(1), "collect", lambda draft: None) as pieces:
        (pieces.spill / "piece").touch()
        assert listed(made, caplog) == []
    (line,) = listed(made, caplog, delete=True)
    assert "(pieces of an artifact; the command that made them would join them without shards" in line
    assert listed(made, caplog) == []


def test_a_draft_is_never_removed_under_a_name_by_which_another_process_would_go_on_with_it(made, caplog, monkeypatch):
    _, workspace = made
    folder = workspace.root / "toy" / "corner" / "retrieval"
    with pytest.raises(RuntimeError), claim(folder / "dead", "a"):
        raise RuntimeError
    names = []
    monkeypatch.setattr(gc.shutil, "rmtree", lambda path: names.append(path.name))
    listed(made, caplog, delete=True)
    (name,) = names
    assert name.startswith(".stale-draft-dead-")
    assert [path.name for path in folder.glob(".*draft*")] == [name]
