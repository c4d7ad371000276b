"""The registry as a file: what it holds, who may write, and what is refused."""

import errno
import sqlite3

import numpy as np
import pytest

from pipeline.errors import InUse, InvalidInput
from pipeline.formats.blender import registry as registries
from pipeline.formats.blender.registry import ENVIRONMENTS, EXPERIMENTS, PROJECTS, changing_registry, reading_registry
from pipeline.sources.rlhf_blender.literals import literal_value
from pipeline.sources.rlhf_blender.names import DATABASE
from tests.blender_tree import table


def test_a_new_registry_has_the_tables_of_the_server_and_its_defaults(tmp_path):
    with changing_registry(tmp_path) as registry:
        for name in (PROJECTS, EXPERIMENTS, ENVIRONMENTS):
            assert registry.insert(name) == 1
    assert [path.name for path in tmp_path.iterdir()] == [DATABASE]
    (project,), (experiment,), (environment,) = (
        table(tmp_path, name) for name in (PROJECTS, EXPERIMENTS, ENVIRONMENTS)
    )
    assert project["project_experiments"] == experiment["checkpoint_list"] == environment["tags"] == []
    assert experiment["hyperparams"] == {}
    assert experiment["wandb_tracking"] is False
    assert (experiment["device"], experiment["pid"], experiment["seed"]) == ("auto", -1, 0)
    assert environment["action_space_info"] == ""


def test_values_with_quotes_and_other_letters_come_back(tmp_path):
    value = {"it's": 'a "word"', "ö": [1, 2.5, (3,)], "none": None, "true": True}
    with changing_registry(tmp_path) as registry:
        number = registry.insert(EXPERIMENTS, exp_name="'; DROP TABLE Project; --", environment_config=value)
        registry.change(EXPERIMENTS, number, checkpoint_list=["-1", "0"])
    (row,) = table(tmp_path, EXPERIMENTS)
    assert row["environment_config"] == value
    assert row["checkpoint_list"] == ["-1", "0"]
    with reading_registry(tmp_path) as registry:
        assert registry.find(EXPERIMENTS, exp_name="'; DROP TABLE Project; --").mapping("environment_config") == value


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (
            "{'shape': (np.int64(2),), 'low': [np.float32(-1.5)], 't': np.True_}",
            {"shape": (2,), "low": [-1.5], "t": True},
        ),
        ("np.bool_(False)", False),
        ("[numpy.int64(3)]", [3]),
    ],
)
def test_numbers_of_numpy_are_read_as_numbers(text, value):
    assert literal_value(text) == value == eval(text.replace("numpy", "np"), {"np": np})


@pytest.mark.parametrize(
    "text",
    ["__import__('os').getcwd()", "np.zeros(3)", "[nan]", "np.load('x', 'y')", "open", "(" * 5000, "1 +", "{'a'"],
)
def test_what_is_no_literal_is_refused_and_never_run(text, tmp_path):
    with pytest.raises(ValueError):
        literal_value(text)
    with changing_registry(tmp_path) as registry:
        registry.insert(EXPERIMENTS, exp_name="odd", checkpoint_list=text)
    with reading_registry(tmp_path) as registry, pytest.raises(InvalidInput, match="checkpoint_list of row 1"):
        registry.find(EXPERIMENTS, exp_name="odd").listed("checkpoint_list")


def test_a_column_of_another_kind_is_refused_and_an_empty_one_is_empty(tmp_path):
    with changing_registry(tmp_path) as registry:
        registry.insert(EXPERIMENTS, exp_name="odd", checkpoint_list={"0": 1}, environment_config=[1])
        registry.insert(EXPERIMENTS, exp_name="empty", checkpoint_list="", environment_config="")
    with reading_registry(tmp_path) as registry:
        odd, empty = registry.rows(EXPERIMENTS)
        assert (empty.listed("checkpoint_list"), empty.mapping("environment_config")) == ([], {})
        with pytest.raises(InvalidInput, match="should be a plain list .a dict"):
            odd.listed("checkpoint_list")
        with pytest.raises(InvalidInput, match="should be a plain dict .a list"):
            odd.mapping("environment_config")


def test_a_registry_of_another_version_is_refused_with_what_it_lacks(tmp_path):
    with sqlite3.connect(tmp_path / DATABASE) as connection:
        connection.execute("CREATE TABLE Environment (id INTEGER PRIMARY KEY AUTOINCREMENT, env_name TEXT, tags TEXT)")
    for opened in (reading_registry, changing_registry):
        with pytest.raises(InvalidInput, match=r"another version.*Environment lacks registered, registration_id"):
            opened(tmp_path).__enter__()
    with sqlite3.connect(tmp_path / DATABASE) as connection:
        assert connection.execute("SELECT name FROM sqlite_master WHERE name = 'Project'").fetchall() == []


def test_columns_and_tables_that_are_more_stay(tmp_path):
    with changing_registry(tmp_path) as registry:
        registry.insert(PROJECTS, project_name="P")
    with sqlite3.connect(tmp_path / DATABASE) as connection:
        connection.execute("ALTER TABLE Project ADD COLUMN newer TEXT")
        connection.execute("CREATE TABLE TrackingItem (id INTEGER)")
        connection.execute("UPDATE Project SET newer = 'x'")
    with changing_registry(tmp_path) as registry:
        registry.change(PROJECTS, 1, project_tags=["t"])
    with sqlite3.connect(tmp_path / DATABASE) as connection:
        assert connection.execute("SELECT newer, project_tags FROM Project").fetchall() == [("x", "['t']")]


def test_a_file_that_is_no_database_is_refused(tmp_path):
    (tmp_path / DATABASE).write_text("not a database, but longer than its header would be" * 10)
    for opened in (reading_registry, changing_registry):
        with pytest.raises(InvalidInput, match="is no registry"):
            opened(tmp_path).__enter__()


def test_an_error_in_the_middle_changes_nothing(tmp_path):
    with pytest.raises(KeyError), changing_registry(tmp_path) as registry:
        registry.insert(PROJECTS, project_name="P")
        raise KeyError
    with reading_registry(tmp_path) as registry:
        assert registry is None


def test_a_full_disk_is_called_that_and_changes_nothing(tmp_path):
    with changing_registry(tmp_path) as registry:
        registry.insert(PROJECTS, project_name="There")
    with pytest.raises(OSError, match=DATABASE) as error, changing_registry(tmp_path) as registry:
        registry._connection.execute("PRAGMA max_page_count = 1")  # as if the disk ended here
        registry.insert(PROJECTS, project_name="New", project_description="x" * 10**5)
    assert error.value.errno == errno.ENOSPC
    with changing_registry(tmp_path) as registry:
        assert [row.text("project_name") for row in registry.rows(PROJECTS)] == ["There"]


def test_another_program_that_writes_for_long_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(registries, "BUSY_SECONDS", 0.05)
    with changing_registry(tmp_path) as registry:
        registry.insert(PROJECTS, project_name="P")
        with pytest.raises(InUse, match="Another program writes"), changing_registry(tmp_path):
            pass
