"""Sync: what is copied between two stores is the same, bit by bit, whole or not to be seen, and copied once."""

from __future__ import annotations

import logging
import os
import shutil
import signal
import subprocess
import threading
from pathlib import Path

import pytest

from pipeline.artifacts.artifact import Spec
from pipeline.artifacts.claim import lease_of
from pipeline.dataset.amount import Amount
from pipeline.dataset.grow import Noticed, grow
from pipeline.dataset.workspace import Workspace
from pipeline.dataset.writer import DatasetWriter
from pipeline.errors import InvalidInput, UnknownName
from pipeline.machine.lease import held
from pipeline.remote import download
from pipeline.sync import receive
from stages import select as select_stage
from stages import sync, verify
from tests.conftest import toy_domain
from tests.damage import flip_bit
from tests.pipeline.dataset.made import made
from tests.test_disks import mounted

EPISODES = "toy/corner/episodes/scripted-v1"


@pytest.fixture
def home(drawn: Path, tmp_path: Path) -> Workspace:
    """Episodes of two tasks and their pictures."""
    shutil.copytree(drawn, tmp_path / "home")
    return Workspace(str(tmp_path / "home"))


@pytest.fixture
def there(tmp_path: Path) -> Workspace:
    return Workspace(str(tmp_path / "there"))


def filled(store: Workspace, episodes: int, **parameters: object) -> None:
    """The dataset of `EPISODES` with so many made episodes; it grows where it is there."""

    def fill(writer: DatasetWriter, amount: Amount) -> Noticed:
        for episode in made(episodes)[writer.count :]:
            writer.append(episode)
        return Noticed()

    spec = Spec("toy", "corner", "episodes", 1, {"policy": {"name": "made"}} | parameters, name="scripted-v1")
    grow(store, spec, Amount(episodes=episodes), fill)


def run(home: Workspace, **settings: object) -> None:
    unset = {"domain": None, "only": None, "names": None, "parents": True, "replace": False, "dry_run": False}
    sync.run(workspace=home, **(unset | {"from": None, "to": None} | settings))  # type: ignore[arg-type]


def sent(home: Workspace, there: Workspace, **settings: object) -> None:
    run(home, to=str(there.root.parent), **settings)


def contents(store: Workspace) -> dict[str, bytes]:
    """All files of finished artifacts; what is remembered beside them is no part of these."""
    files = (path for path in store.root.glob("*/*/*/[!.]*/**/*") if path.is_file())
    return {path.relative_to(store.root).as_posix(): path.read_bytes() for path in files}


def kinds(store: Workspace) -> list[str]:
    return sorted({path.parts[-2] for path in store.root.glob("*/*/*/[!.]*")})


def whole(store: Workspace) -> None:
    verify.run(domain=None, only=None, workspace=store, audit=None, workers=1)


def test_a_store_is_copied_file_by_file_and_a_second_time_nothing_is(home, there, caplog):
    caplog.set_level(logging.INFO)
    sent(home, there)
    assert contents(there) == contents(home)
    assert "sync: copied 4 artifacts (" in caplog.text
    whole(there)
    before = {path: path.stat().st_mtime_ns for path in there.root.rglob("*") if path.is_file()}
    caplog.clear()
    run(there, **{"from": str(home.root.parent)})
    assert f"sync {EPISODES} there already" in caplog.messages
    assert "copied 0 artifacts (0 files, 0 B)" in caplog.messages[-1]
    assert "there already: 4" in caplog.messages[-1]
    assert {path: path.stat().st_mtime_ns for path in before} == before


def test_the_named_artifacts_are_copied_with_or_without_what_they_were_made_from(home, there):
    sent(home, there, domain=toy_domain(), only="corner", names=["frames"], parents=False)
    assert kinds(there) == ["frames"]
    sent(home, there, domain=toy_domain(), only="corner", names=["frames"])
    assert kinds(there) == ["episodes", "frames"]
    assert [path.name for path in (there.root / "toy").iterdir()] == ["corner"]
    with pytest.raises(UnknownName, match="no artifact named frame. Known: episodes, frames"):
        sent(home, there, names=["frame"])
    with pytest.raises(InvalidInput, match="No artifact to copy .* of domain=toy task=key"):
        sent(home, there, domain=toy_domain(), only="key")


def test_a_dry_run_lists_and_writes_nothing(home, there, capsys):
    sent(home, there, dry_run=True)
    shown = [line for line in capsys.readouterr().out.splitlines() if EPISODES in line]
    assert shown[0].endswith("to copy")
    assert not there.root.parent.exists()


def test_a_dataset_that_has_grown_grows_there_by_its_new_parts_and_never_shrinks(tmp_path, there, caplog):
    caplog.set_level(logging.INFO)
    home = Workspace(str(tmp_path / "small"))
    filled(home, 4)
    sent(home, there)
    filled(home, 6)
    sent(home, there)
    assert there["toy/corner/scripted-v1"].digest() == home["toy/corner/scripted-v1"].digest()
    whole(there)
    filled(there, 7)
    sent(home, there)
    assert f"sync {EPISODES} there already, with 1 episode more" in caplog.messages
    assert len(there["toy/corner/scripted-v1"]) == 7


def test_another_dataset_of_that_name_is_left_with_what_was_made_from_this_one_until_it_is_replaced(home, there):
    own = home.dataset("toy", "corner", "scripted-v1").manifest.parameters
    filled(there, 3, **own | {"policy": own["policy"] | {"randomness": 0.5}})
    before = contents(there)
    with pytest.raises(InvalidInput, match="Not copied: 2 of 4 artifacts") as caught:
        sent(home, there)
    message = str(caught.value)
    assert "policy.randomness: 0.5 there, 0.25 to be copied" in message
    for word in ("task=corner", "'stage.sync.names=[episodes/scripted-v1]'", "stage.sync.replace=true"):
        assert word in message
    assert f"It was made from {EPISODES}, which was not copied." in message
    assert {name: each for name, each in contents(there).items() if "/corner/" in name} == before
    sent(home, there, names=["episodes/scripted-v1"], replace=True)
    sent(home, there)
    assert contents(there) == contents(home)
    assert not list(there.root.rglob(".stale-*"))


def test_a_derived_dataset_is_copied_with_the_one_that_it_refers_to(home, there):
    select = {"of": "scripted-v1", "where": "length > 0", "dataset": "some-v1", "episodes": None, "force": False}
    select_stage.run(domain=toy_domain(), task="corner", workspace=home, **select)
    sent(home, there, names=["episodes/some-v1"])
    assert len(Workspace(str(there.root.parent))["toy/corner/some-v1"]) == 4
    shutil.rmtree(home.root / EPISODES)
    with pytest.raises(InvalidInput, match="refers to the first 4 episodes of scripted-v1, which are not beside it"):
        sent(home, Workspace(str(there.root.parent / "other")), names=["episodes/some-v1"])


def test_a_killed_copy_shows_no_half_and_goes_on_where_it_was(home, there, monkeypatch):
    read: list[str] = []
    one = download._Download._one
    if not (child := os.fork()):
        monkeypatch.setattr(download._Download, "_one", _killed_after(20))
        sent(home, there, names=["episodes"], only="corner")
        os._exit(0)
    assert os.WTERMSIG(os.waitpid(child, 0)[1]) == signal.SIGKILL
    assert contents(there) == {}
    (draft,) = there.root.glob("toy/corner/episodes/.draft-*")
    have = {path.relative_to(draft).as_posix() for path in draft.rglob("*") if path.is_file()}
    monkeypatch.setattr(download._Download, "_one", lambda self, file: (read.append(file.local.name), one(self, file)))
    sent(home, there, names=["episodes"], only="corner")
    count = sum(path.is_file() for path in (home.root / EPISODES).rglob("*")) - 1
    assert len(read) <= count - len([name for name in have if not Path(name).name.startswith(".")]) + 1
    assert len(read) < count
    whole(there)


def _killed_after(files: int):
    one, left = download._Download._one, [files]

    def killed(self, file):
        if not left[0]:
            os.kill(os.getpid(), signal.SIGKILL)
        left[0] -= 1
        one(self, file)

    return killed


def test_a_file_that_a_power_cut_tore_is_copied_again(home, there, monkeypatch):
    monkeypatch.setattr(receive, "_replace", lambda *_: (_ for _ in ()).throw(RuntimeError("power cut")))
    with pytest.raises(RuntimeError):
        sent(home, there, names=["episodes"], only="corner")
    monkeypatch.undo()
    (draft,) = there.root.glob("toy/corner/episodes/.draft-*")
    torn = next(path for path in draft.rglob("zarr.json") if path.stat().st_size)
    torn.write_bytes(bytes(torn.stat().st_size))
    sent(home, there, names=["episodes"], only="corner")
    whole(there)


def test_damage_is_not_copied_and_says_how_to_mend_it(home, there):
    flip_bit(next((home.root / EPISODES / "parts").glob("*/steps/observation/c*")))
    with pytest.raises(InvalidInput, match="Not copied: 2 of 4 artifacts") as caught:
        sent(home, there)
    assert f"{home.root / EPISODES} is damaged" in str(caught.value)
    assert "Remove it and make it again: rm -r" in str(caught.value)
    assert not (there.root / EPISODES).exists()


def test_a_disk_that_is_too_small_is_noticed_before_the_first_byte(home, there, monkeypatch):
    usage = shutil.disk_usage(there.root.parent.parent)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=10))
    with pytest.raises(InvalidInput, match=r"that disk has 10 B free\. Nothing was written.*stage\.sync\.to=FOLDER"):
        sent(home, there)
    assert not list(there.root.glob("*/*/*/.draft-*"))


def test_a_disk_that_fills_up_shows_no_half_and_the_same_command_goes_on(home, tmp_path):
    with mounted(tmp_path / "small", "-t", "tmpfs", "-o", "size=120k", "tmpfs") as small:
        there = Workspace(str(small))
        with pytest.raises(OSError, match="No space left"):
            sent(home, there, names=["episodes"], only="corner")
        assert contents(there) == {}
        subprocess.run(["mount", "-o", "remount,size=1m", str(small)], check=True)
        sent(home, there, names=["episodes"], only="corner")
        whole(there)


def test_what_another_process_is_making_there_is_waited_for(home, there, caplog):
    caplog.set_level(logging.INFO)
    final = there.root / EPISODES
    final.parent.mkdir(parents=True)
    with held(lease_of(final), "writing it"):
        thread = threading.Thread(target=sent, args=(home, there), kwargs={"names": ["episodes"], "only": "corner"})
        thread.start()
        while not any("waiting for another process" in each for each in caplog.messages):
            thread.join(0.02)
        shutil.copytree(home.root / EPISODES, final)
    thread.join()
    assert f"sync {EPISODES} there already" in caplog.messages


def test_one_other_end_is_asked_for(home):
    with pytest.raises(InvalidInput, match="stage.sync.to=FOLDER"):
        run(home)
    with pytest.raises(InvalidInput, match="Both"):
        run(home, **{"from": "a", "to": "b"})
    with pytest.raises(InvalidInput, match="is this store"):
        run(home, to=str(home.root.parent))
    with pytest.raises(InvalidInput, match="a plain web server lists no files"):
        run(home, to="https://example.org/outputs")
