"""docs/stages/doctor.md runs, and lists every finding."""

import ast
import re
from pathlib import Path

from pipeline.dataset.workspace import Workspace
from pipeline.doctor.checks import OF_ONE
from pipeline.doctor.ends import WORDS
from pipeline.doctor.thresholds import Thresholds
from tests.conftest import collected, toy_domain

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs" / "stages" / "doctor.md").read_text()


def named_findings():
    """The names that the code gives to findings."""
    for path in (ROOT / "pipeline" / "doctor").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and node.args:
                called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
                if called in ("Finding", "_finding", "_dark", "_leaked"):
                    yield from (each.value for each in ast.walk(node.args[0]) if isinstance(each, ast.Constant))


def test_the_page_lists_every_check_and_every_finding():
    listed = set(re.findall(r"`([a-z_]+)`", "\n".join(line for line in PAGE.splitlines() if line.startswith("|"))))
    assert {*named_findings(), *WORDS, *OF_ONE} <= listed | {""}


def test_the_code_of_the_page_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    collected(toy_domain(), Workspace("outputs"), episodes=3)
    names = {}
    exec(compile(re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)[0], "doctor.md", "exec"), names)
    assert names["examination"].findings == []
    assert names["examination"].facts["lengths"]["limit"] == 60


def test_the_defaults_of_the_configuration_are_those_of_the_class():
    lines = (ROOT / "conf" / "stage" / "doctor.yaml").read_text().split("thresholds:")[1].splitlines()
    shipped = dict(re.findall(r"  (\w+): ([\d.]+)", "\n".join(lines)))
    assert {name: float(value) for name, value in shipped.items()} == vars(Thresholds())
