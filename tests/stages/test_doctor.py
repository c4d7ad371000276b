"""The doctor as a stage: which datasets it takes, what it prints and writes, and when it fails."""

import json

import numpy as np
import pytest

from pipeline.command import Typed, user_typed
from pipeline.dataset.workspace import Workspace
from pipeline.doctor.thresholds import Thresholds
from pipeline.episode import with_last_row
from pipeline.errors import InvalidInput, UnknownName
from pipeline.sources.kabuki import KabukiSource
from pipeline.sources.minari.source import MinariSource
from stages import doctor
from tests.conftest import toy_domain
from tests.contracts.format import Listed, ingested
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
    text = capsys.readouterr().out
    assert "terminal_discount: 2 episodes terminated" in " ".join(text.split())
    assert "episode 4; episode 5" in text
    line = next(line for line in text.splitlines() if line.startswith("terminal_discount: "))
    assert line == (
        "terminal_discount: python run.py stage=select domain=toy task=corner dataset=made-v1-selected "
        "stage.select.of=made-v1 'stage.select.where=\"episode != 4 and episode != 5\"'"
    )


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


def test_a_folder_of_several_tasks_says_that_one_must_be_named(tmp_path, drawn):
    (tmp_path / "logs").mkdir()
    for name in ("corner", "maze"):
        (tmp_path / "logs" / f"{name}.hdf5").write_bytes(b"")
    with pytest.raises(InvalidInput, match=r"say which: task=NAME(.|\n)*corner, maze"):
        examine(Workspace(str(tmp_path)), domain=None, source=KabukiSource(str(tmp_path / "logs")), dataset="kabuki-v1")
