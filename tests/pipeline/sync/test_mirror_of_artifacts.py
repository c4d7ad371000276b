"""Copies to and from an address: a mirror holds whole artifacts, is mended where files are gone, and never trusted."""

from __future__ import annotations

import logging
import re
import shutil
from pathlib import Path

import fsspec
import pytest

from pipeline.artifacts.artifact import MANIFEST
from pipeline.dataset.workspace import Workspace
from pipeline.errors import InvalidInput, Unreachable
from pipeline.remote import retry
from pipeline.sync.run import Copies
from tests.conftest import toy_domain
from tests.stages.test_sync import EPISODES, contents, filled, run, whole

MIRROR = "memory://bucket/outputs"
TOP = "/bucket/outputs/artifacts"


@pytest.fixture
def home(drawn: Path, tmp_path: Path) -> Workspace:
    shutil.copytree(drawn, tmp_path / "home")
    return Workspace(str(tmp_path / "home"))


@pytest.fixture
def there(tmp_path: Path) -> Workspace:
    return Workspace(str(tmp_path / "there"))


@pytest.fixture(autouse=True)
def files(monkeypatch: pytest.MonkeyPatch):
    """The file system of `MIRROR`, empty."""
    monkeypatch.setattr(retry, "PAUSE_SECONDS", 0.001)
    system = fsspec.filesystem("memory")
    system.store.clear()
    return system


def sent(home: Workspace, **settings: object) -> None:
    run(home, to=MIRROR, **settings)


def fetched(there: Workspace, **settings: object) -> None:
    run(there, **{"from": MIRROR}, **settings)


def test_what_goes_to_a_mirror_and_comes_back_is_the_same_and_nothing_goes_twice(home, there, files, caplog):
    caplog.set_level(logging.INFO)
    sent(home)
    assert {path.removeprefix(f"{TOP}/") for path in files.find("/bucket")} == contents(home).keys()
    files.store = {path: each for path, each in files.store.items() if not path.endswith("written")}
    before = {path: id(each) for path, each in files.store.items()}
    sent(home)
    assert {path: id(each) for path, each in files.store.items()} == before
    assert "there already: 4" in caplog.messages[-1]
    fetched(there)
    assert contents(there) == contents(home)
    whole(there)


def test_files_that_a_mirror_has_lost_are_sent_again_and_no_others(home, files, caplog):
    caplog.set_level(logging.INFO)
    sent(home, names=["episodes"])
    lost = [path for path in files.find(TOP) if EPISODES in path and path.endswith("zarr.json")][:2]
    files.rm_file(lost[0])
    files.pipe_file(lost[1], b"torn")
    sent(home, names=["episodes"])
    assert any(each.startswith(f"sync {EPISODES} copied (2 files, ") for each in caplog.messages)
    assert {path: files.cat_file(f"{TOP}/{path}") for path in contents(home) if "episodes" in path} == {
        path: each for path, each in contents(home).items() if "episodes" in path
    }


def test_other_bytes_in_a_mirror_never_arrive_and_are_sent_again_by_what_is_suggested(home, there, files):
    sent(home)
    victim = max((path for path in files.find(f"{TOP}/{EPISODES}/parts")), key=files.size)
    files.pipe_file(victim, bytes(files.size(victim)))
    with pytest.raises(InvalidInput, match="Not copied: 2 of 4 artifacts") as caught:
        fetched(there)
    assert "came twice with other bytes than are listed: BLAKE3" in str(caught.value)
    assert f"stage.sync.to={MIRROR}" in str(caught.value)
    assert not (there.root / EPISODES).exists()
    sent(home, domain=toy_domain(), only="corner", names=["episodes/scripted-v1"], parents=False, replace=True)
    fetched(there)
    assert contents(there) == contents(home)


def test_an_artifact_whose_manifest_did_not_arrive_is_none_and_what_came_is_not_sent_again(home, there, files):
    sent(home, names=["episodes"])
    note = f"{TOP}/{EPISODES}/.upload.json"
    sizes = {path: files.size(path) for path in files.find(f"{TOP}/{EPISODES}")}
    put, seen = type(files).put_file, []

    def broken(self, lpath, rpath, **kwargs):
        if len(seen) == 5:
            raise PermissionError("told to fail")
        seen.append(rpath)
        put(self, lpath, rpath, **kwargs)

    files.store.clear()
    with pytest.MonkeyPatch.context() as patch, pytest.raises(Unreachable):
        patch.setattr(type(files), "put_file", broken)
        sent(home, names=["episodes"], domain=toy_domain(), only="corner")
    assert files.exists(note)
    with pytest.raises(InvalidInput, match="No artifact to copy"):
        fetched(there)
    with pytest.MonkeyPatch.context() as patch:
        seen.clear()
        patch.setattr(
            type(files), "put_file", lambda self, *args, **more: (seen.append(args[1]), put(self, *args, **more))
        )
        sent(home, names=["episodes"], domain=toy_domain(), only="corner")
    assert len(seen) == len(sizes) - 1 - 5
    assert {path: files.size(path) for path in files.find(TOP)} == sizes


def test_a_dataset_grows_in_a_mirror_and_from_one_and_is_never_cut(tmp_path, there, files, caplog):
    caplog.set_level(logging.INFO)
    home = Workspace(str(tmp_path / "small"))
    filled(home, 4)
    sent(home)
    fetched(there)
    filled(home, 6)
    for _ in range(2):
        sent(home)
    assert sum(f"sync {EPISODES} copied" in each for each in caplog.messages) == 3
    names = {path.removeprefix(f"{TOP}/{EPISODES}/") for path in files.find(f"{TOP}/{EPISODES}")}
    assert names == {*home.dataset("toy", "corner", "scripted-v1").manifest.files, MANIFEST}
    fetched(there)
    assert there["toy/corner/scripted-v1"].digest() == home["toy/corner/scripted-v1"].digest()
    whole(there)
    filled(there, 7)
    caplog.clear()
    fetched(there)
    sent(there)
    sent(home)
    assert caplog.messages.count(f"sync {EPISODES} there already, with 1 episode more") == 2


def test_a_manifest_that_was_torn_in_a_mirror_is_named_and_made_good(home, there, files, caplog):
    sent(home, names=["episodes"])
    files.pipe_file(f"{TOP}/{EPISODES}/{MANIFEST}", b'{"kind": ')
    with pytest.raises(InvalidInput, match=r"Not copied: 1 of 2 artifacts\.\nmemory://.*json cannot be read") as caught:
        fetched(there)
    assert re.search(
        r"A store that has it sends it again: .*stage\.sync\.to=memory://bucket/outputs", str(caught.value)
    )
    assert f"left alone: memory://bucket/outputs/artifacts/{EPISODES}/manifest.json cannot be read" in caplog.text
    sent(home, names=["episodes"])
    fetched(there)
    whole(there)


def test_what_somebody_else_has_sent_meanwhile_is_not_written_over(home, there, files, monkeypatch):
    filled(there, 3)
    plan = Copies.plan

    def planned(self, artifacts):
        steps = plan(self, artifacts)
        monkeypatch.undo()
        run(there, to=MIRROR)
        return steps

    monkeypatch.setattr(Copies, "plan", planned)
    with pytest.raises(InvalidInput, match="has changed since it was looked at: run the same command again"):
        sent(home, names=["episodes"], domain=toy_domain(), only="corner")
    with pytest.raises(InvalidInput, match="is something else, and was left as it is"):
        sent(home, names=["episodes"], domain=toy_domain(), only="corner")
