"""Finding what an entry point names; each failure says what to change."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from pipeline.command import Typed, user_typed
from pipeline.envs.entry_point import check_arguments, entry_point_facts, load_entry_point
from pipeline.errors import InvalidInput, UnknownName

CODE = """
import math

class Catch:
    def __init__(self, rows, seed=0):
        self.rows = rows

    @staticmethod
    def small(seed):
        return Catch(3, seed)

TABLE = {}
"""


@pytest.fixture
def modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A folder on the path, into which a test writes modules that are forgotten after it."""
    known = set(sys.modules)
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "my_catch.py").write_text(CODE)
    (tmp_path / "my_broken.py").write_text("raise OSError('no display')")
    (tmp_path / "my_needy.py").write_text("import a_package_of_theirs")
    (tmp_path / "my_front.py").write_text("from my_catch import Catch")
    yield tmp_path
    for name in set(sys.modules) - known:
        del sys.modules[name]


def test_a_class_a_function_and_a_method_are_found(modules):
    assert load_entry_point("my_catch:Catch")(4).rows == 4
    assert load_entry_point("my_catch:Catch.small")(1).rows == 3
    assert load_entry_point("my_front:Catch").__name__ == "Catch"


@pytest.mark.parametrize(
    ("entry_point", "message"),
    [
        ("my_catch", "names nothing. Write module:Class"),
        (":Catch", "names nothing"),
        ("my_catch.Catch", "names nothing"),
        ("my_elsewhere:Catch", "there is no module my_elsewhere.*PYTHONPATH=FOLDER python run.py"),
        ("my_elsewhere.envs:Catch", "there is no module my_elsewhere. Install its package"),
        ("my_catch.envs:Catch", "my_catch.envs"),
        ("my_needy:Catch", "the module my_needy needs a_package_of_theirs, which is not there. Install it"),
        ("my_broken:Catch", "my_broken cannot be imported: OSError: no display"),
        ("my_catch:TABLE", "is of type dict"),
    ],
)
def test_what_cannot_be_used_is_refused(modules, entry_point, message):
    with pytest.raises(InvalidInput, match=message):
        load_entry_point(entry_point)


def test_a_name_that_is_not_there_lists_those_that_are(modules):
    typed = Typed(("stage=collect", "domain.entry_point=my_catch:Cach"))
    with user_typed(typed), pytest.raises(UnknownName) as wrong:
        load_entry_point("my_catch:Cach")
    assert str(wrong.value).splitlines() == [
        "There is no entry point named my_catch:Cach. Known: my_catch:Catch.",
        "If you meant my_catch:Catch: python run.py stage=collect domain.entry_point=my_catch:Catch",
    ]
    with pytest.raises(UnknownName, match=r"named my_catch:Catch\.smal\. Known: my_catch:Catch\.small\."):
        load_entry_point("my_catch:Catch.smal")
    with pytest.raises(UnknownName, match=r"named my_front:Cat\. Known: none"):
        load_entry_point("my_front:Cat.small")


def test_arguments_are_held_against_the_signature(modules):
    check_arguments("my_catch:Catch", {"rows": 3, "seed": 1})
    with pytest.raises(InvalidInput, match=r"unexpected keyword argument 'row'.*Catch\(rows, seed=0\)"):
        check_arguments("my_catch:Catch", {"rows": 3, "row": 3})
    with pytest.raises(InvalidInput, match="missing a required argument: 'rows'"):
        check_arguments("my_catch:Catch", {})


def test_the_facts_follow_the_file_that_defines_it(modules):
    facts = entry_point_facts("my_catch:Catch")
    assert facts["versions"] == {}
    assert entry_point_facts("my_front:Catch")["source"] == facts["source"]
    (modules / "my_catch.py").write_text(CODE + "\n")
    assert entry_point_facts("my_catch:Catch")["source"] != facts["source"]
    assert "numpy" in entry_point_facts("numpy:zeros")["versions"]
