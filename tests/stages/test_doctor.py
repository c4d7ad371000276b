"""The doctor as a stage: which datasets it takes, what it prints and writes, and when it fails."""

import json
import shutil
import tempfile
from dataclasses import dataclass

import numpy as np
import pytest

from pipeline.command import Typed, user_typed
from pipeline.dataset.bulk import StoredPart
from pipeline.dataset.parts import pack, save_part
from pipeline.dataset.workspace import Workspace
from pipeline.doctor.thresholds import Thresholds
from pipeline.episode import Episode, with_last_row
from pipeline.errors import InvalidInput, UnknownName
from pipeline.formats.kabuki import KabukiFormat
from pipeline.sources.contract import BulkSource
from pipeline.sources.kabuki import KabukiSource
from pipeline.sources.minari.source import MinariSource
from stages import doctor
from stages import split as splitting
from tests.conftest import toy_domain
from tests.contracts.format import Listed, exported, ingested, place_of
from tests.minari_files import arrays, write_hdf5
from tests.pipeline.doctor.planted import healthy

FEW = Thresholds(states=20, episodes=3)


def examine(workspace, **settings):
    """The stage with its settings as conf/stage/doctor.yaml has them."""
    defaults = {
        "domain": toy_domain(),
        **dict.fromkeys(("only_tasks", "datasets", "episodes", "source", "only", "skip", "json", "workers")),
        "dataset": "scripted-v1",
        "thresholds": FEW,
    }
    return doctor.run(workspace=workspace, **(defaults | settings))


@pytest.fixture
def toys(drawn):
    """A store of two tasks, which is only read."""
    return Workspace(str(drawn))


def test_clean_datasets_say_so_in_a_line_each_and_write_json(toys, tmp_path, capsys):
    examine(toys, only_tasks=["corner", "maze"], json=str(tmp_path / "found.json"))
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(" (")[0] for line in lines] == [
        f"toy/{task}/scripted-v1: nothing found" for task in ("corner", "maze")
    ]
    assert "checked: ends, returns, rewards" in lines[0]
    found = json.loads((tmp_path / "found.json").read_text())
    assert found["counts"] == {"error": 0, "warning": 0, "note": 0}
    assert [each["where"] for each in found["datasets"]] == ["toy/corner/scripted-v1", "toy/maze/scripted-v1"]
    assert found["datasets"][0]["facts"]["success"] == {"known": 4, "successes": 4}


def broken():
    """Six episodes, of which the last two terminate without a discount of 0."""
    ones = {"discount": with_last_row("discount", np.ones(8))}
    return Listed([*healthy(6)[:4], *healthy(6, steps=ones)[4:]])


def test_an_error_fails_the_run_and_a_command_leaves_the_episodes_out(tmp_path, capsys):
    workspace = Workspace(str(tmp_path))
    ingested(broken(), workspace, "made-v1")
    with (
        user_typed(Typed(("stage=doctor", "domain=toy", "stage.doctor.json=a.json"))),
        pytest.raises(doctor.FaultyData, match=r"1 error in toy/corner/made-v1"),
    ):
        examine(workspace, dataset="made-v1")
    lines = capsys.readouterr().out.splitlines()
    assert lines[:4] == [
        "error    terminal_discount",
        "         A value function goes on beyond the end: targets of the last state hold the value of nothing.",
        "         toy/corner/made-v1: 2 episodes terminated, and their last discount is not 0. (episode 4; episode 5)",
        "         python run.py stage=select domain=toy task=corner dataset=made-v1-selected "
        "stage.select.of=made-v1 'stage.select.where=\"episode != 4 and episode != 5\"'",
    ]


def test_a_fault_of_several_datasets_is_explained_once(tmp_path, capsys):
    workspace = Workspace(str(tmp_path))
    for task in ("corner", "maze"):
        ingested(Listed(healthy(terminated=False)), workspace, "made-v1", task)
    examine(workspace, dataset="made-v1", only=["ends"])
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "note     unknown_ends (2 datasets)"
    assert [line.split()[0] for line in lines if "made-v1: 6 episodes" in line] == [
        "toy/corner/made-v1:",
        "toy/maze/made-v1:",
    ]
    assert lines[-1] == "2 datasets: 2 notes"


def test_notes_and_warnings_do_not_fail_it(tmp_path, capsys):
    workspace = Workspace(str(tmp_path))
    ingested(Listed(healthy(terminated=False)), workspace, "made-v1")
    examine(workspace, dataset="made-v1")
    assert "unknown_ends" in capsys.readouterr().out


def test_only_and_skip_choose_checks_and_a_misspelt_one_is_named(toys, capsys):
    examine(toys, only=["ends", "actions"], skip=["actions"], only_tasks="corner")
    assert "checked: ends)" in capsys.readouterr().out
    with pytest.raises(UnknownName, match="Known: |Nearest: rewards"):
        examine(toys, only=["reward"])
    with pytest.raises(InvalidInput, match="leave no check"):
        examine(toys, only=["ends"], skip=["ends"])


def test_a_name_that_no_task_has_says_what_there_is(toys):
    with (
        user_typed(Typed(("stage=doctor", "domain=toy", "dataset=random-v1"))),
        pytest.raises(InvalidInput, match=r"There are scripted-v1\.\nExamine them all: python run\.py .*=all"),
    ):
        examine(toys, dataset="random-v1")
    with pytest.raises(InvalidInput, match="Make one first: "):
        examine(toys, only_tasks="key")
    with pytest.raises(InvalidInput, match="needs a domain"):
        examine(toys, domain=None)


def test_a_damaged_dataset_is_a_finding_and_the_others_are_examined(tmp_path, capsys):
    workspace = Workspace(str(tmp_path))
    for task in ("corner", "maze", "key"):
        ingested(Listed(healthy()), workspace, "made-v1", task)
    damaged = workspace.dataset("toy", "maze", "made-v1").path
    (one,) = [path for path in damaged.glob("parts/*/steps/reward/*") if path.name != "zarr.json"]
    one.write_bytes(one.read_bytes() + b"x")
    with pytest.raises(doctor.FaultyData, match=r"1 error in toy/maze/made-v1"):
        examine(workspace, dataset="made-v1", json=str(tmp_path / "found.json"))
    found = {each["where"]: each for each in json.loads((tmp_path / "found.json").read_text())["datasets"]}
    (finding,) = found["toy/maze/made-v1"]["findings"]
    assert finding["name"] == "unreadable"
    assert finding["command"].startswith(f"rm -r {damaged} && python run.py stage=ingest ")
    assert "bytes, the manifest says" in finding["what"]
    assert [found[f"toy/{task}/made-v1"]["episodes"] for task in ("corner", "maze", "key")] == [6, 0, 6]


def test_what_refers_to_a_dataset_that_is_gone_says_what_makes_that_again(tmp_path, capsys):
    workspace = Workspace(str(tmp_path))
    ingested(Listed(healthy()), workspace, "made-v1")
    split = {"parts": {"train": 0.5, "test": 0.5}, "by": "episode", "seed": 0, "dataset": None, "episodes": None}
    splitting.run(domain=toy_domain(), task="corner", workspace=workspace, of="made-v1", force=False, **split)
    shutil.rmtree(workspace.dataset("toy", "corner", "made-v1").path)
    with pytest.raises(doctor.FaultyData):
        examine(workspace, only_tasks="corner", dataset="made-v1-train")
    commands = [line.strip() for line in capsys.readouterr().out.splitlines() if "python run.py" in line]
    assert [line.split(" dataset=made-v1")[0] for line in commands] == [
        "python run.py stage=collect domain=toy task=corner"
    ]


def test_a_damaged_dataset_that_another_is_compared_with_hides_nothing_of_that(tmp_path, capsys):
    workspace = Workspace(str(tmp_path))
    ingested(broken(), workspace, "made-train")
    ingested(Listed(healthy(3, length=5)), workspace, "made-test")
    (one,) = workspace.dataset("toy", "corner", "made-test").path.glob("parts/*/steps/action/c*")
    one.write_bytes(b"")
    with pytest.raises(doctor.FaultyData):
        examine(workspace, dataset="made-train", only=["ends", "leaks"])
    text = capsys.readouterr().out
    assert "terminal_discount" in text
    assert "unreadable" in text


def test_a_file_that_cannot_be_written_is_refused_before_anything_is_read(toys, tmp_path, capsys):
    for place, words in ((tmp_path, "is a folder"), (tmp_path / "none" / "a.json", "there is no folder")):
        with pytest.raises(InvalidInput, match=words):
            examine(toys, json=str(place))
    assert capsys.readouterr().out == ""


def test_a_name_among_others_that_no_task_has_is_refused_before_anything_is_read(toys, capsys):
    with pytest.raises(InvalidInput, match="has the dataset scriptd-v1 under"):
        examine(toys, only_tasks="corner", datasets=["scripted-v1", "scriptd-v1"])
    with pytest.raises(InvalidInput, match="has a dataset under"):
        examine(toys, datasets=[])
    assert capsys.readouterr().out == ""


def test_foreign_data_are_read_by_their_door_without_a_domain_and_nothing_is_stored(tmp_path, capsys):
    write_hdf5(tmp_path / "set", [arrays(6, seed) for seed in range(4)])
    workspace = Workspace(str(tmp_path / "none"))
    examine(workspace, domain=None, source=MinariSource(str(tmp_path / "set")), dataset="minari-v1")
    line = capsys.readouterr().out.splitlines()[-1]
    assert line.startswith("minari: found 1 note (4 episodes, 24 states; checked: ")
    assert "not stated" in line
    assert not (tmp_path / "none").exists()


def test_faults_of_foreign_data_are_found_and_unreadable_ones_are_a_finding(tmp_path, capsys):
    episodes = [arrays(6, seed) for seed in range(4)]
    for episode in episodes[2:]:
        episode["rewards"][3] = np.nan
    write_hdf5(tmp_path / "set", episodes)
    with pytest.raises(doctor.FaultyData):
        examine(Workspace(str(tmp_path)), domain=None, source=MinariSource(str(tmp_path / "set")), dataset="minari-v1")
    text = " ".join(capsys.readouterr().out.split())
    assert "unreadable" in text
    assert "NaN" in text
    assert "After 2 episodes" in text
    assert "(2 episodes, 12 states;" in text


def test_every_task_of_a_folder_is_examined_without_being_named(tmp_path, capsys):
    workspace = Workspace(str(tmp_path / "store"))
    ingested(Listed(healthy()), workspace)
    log = place_of(exported(KabukiFormat(), workspace))
    (tmp_path / "logs").mkdir()
    for task in ("corner", "other"):
        shutil.copy(log, tmp_path / "logs" / f"{task}.hdf5")
    source = KabukiSource(str(tmp_path / "logs"))
    for domain, label in ((None, ""), (toy_domain(), "toy/")):
        examine(workspace, domain=domain, source=source, dataset="kabuki-v1")
        lines = capsys.readouterr().out.splitlines()
        assert [line.split(" (")[0] for line in lines] == [
            f"kabuki {label}{task}: nothing found" for task in ("corner", "other")
        ]
    with pytest.raises(UnknownName, match="Known: corner, other"):
        examine(workspace, source=source, only_tasks="maze", dataset="kabuki-v1")


@dataclass
class Chunked(BulkSource):
    """Episodes that come as finished parts."""

    listed: list[Episode]
    name = "chunked"
    download_only = False

    def identity(self, domain, task):
        return {"source": self.name}

    def parts(self, domain, task, scratch, storage, start, wanted, workers):
        for first in range(0, len(self.listed), 2):
            folder, packed = scratch / f"part-{first}", pack(self.listed[first : first + 2])
            files = save_part(storage, folder, packed)
            yield StoredPart(folder, files, np.diff(packed["episode_ends"], prepend=0) - 1)
            assert not folder.exists()


def test_parts_that_a_source_writes_lie_in_a_temporary_folder_that_is_removed(tmp_path, monkeypatch, capsys):
    (tmp_path / "scratch").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "scratch"))
    with pytest.raises(doctor.FaultyData):
        examine(Workspace(str(tmp_path / "none")), domain=None, source=Chunked(broken().listed), dataset="chunked-v1")
    assert "(episode 4; episode 5)" in capsys.readouterr().out
    examine(Workspace(str(tmp_path / "none")), domain=None, source=Chunked(healthy()), dataset="x-v1", episodes=3)
    assert "chunked: nothing found (3 episodes" in capsys.readouterr().out
    assert sorted(each.name for each in tmp_path.iterdir()) == ["scratch"]
    assert list((tmp_path / "scratch").iterdir()) == []
