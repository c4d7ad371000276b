"""Every quirk of every source says which rule decided, by settings that there are: read from the code of sources."""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from pipeline.dataset.grow import CHANGED

ROOT = Path(__file__).parents[3]
SOURCES = ROOT / "pipeline" / "sources"
SETTING = re.compile(r"source\.(\w+)")


class Call(NamedTuple):
    """A place of the code that notes or counts a quirk."""

    place: str
    door: str
    name: str
    keywords: dict[str, ast.expr]


def calls() -> Iterator[Call]:
    for path in sorted(SOURCES.rglob("*.py")):
        tree = ast.parse(path.read_text())
        for node in ast.walk(tree):
            if is_quirk(node):
                place = path.relative_to(SOURCES)
                door = place.parts[0].removesuffix(".py").removesuffix("_file")
                keywords = {str(each.arg): each.value for each in node.keywords}
                names = [node.args[0].value] if isinstance(node.args[0], ast.Constant) else names_in_table(tree)
                assert names, f"{place}:{node.lineno}: the name of a quirk is a word, or a key of {TABLE}"
                yield from (Call(f"{place}:{node.lineno}", door, name, keywords) for name in names)


TABLE = "MET"
"""What a module calls the quirks that its reader counts under their names."""


def names_in_table(tree: ast.Module) -> list[str]:
    for node in tree.body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == TABLE and isinstance(node.value, ast.Dict):
            return [ast.literal_eval(key) for key in node.value.keys if key]
    return []


def is_quirk(node: ast.AST) -> bool:
    """Whether this is `quirks.count(...)` or `quirks.note(...)`."""
    return (
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr in ("count", "note")
        and ast.unparse(node.func.value).rpartition(".")[2].lstrip("_") == "quirks"
    )


CALLS = list(calls())


def doors_of(call: Call) -> list[str]:
    """The sources whose settings a place may name: its own, or those that share its code."""
    if (ROOT / "conf" / "source" / f"{call.door}.yaml").exists():
        return [call.door]
    return [path.stem for path in (ROOT / "conf" / "source").glob("*.yaml")]


@pytest.mark.parametrize("call", CALLS, ids=lambda call: f"{call.place} {call.name}")
def test_a_quirk_has_a_rule_whose_settings_there_are(call: Call):
    assert "rule" in call.keywords, "quirks.count(..., rule=...): the setting or rule that decided"
    assert ("dropped" in call.keywords) == ("unit" in call.keywords)
    named = set(SETTING.findall(ast.unparse(call.keywords["rule"])))
    settings = set(re.findall(r"^(\w+):", "\n".join(map(conf, doors_of(call))), re.MULTILINE))
    assert named <= settings


def conf(door: str) -> str:
    return (ROOT / "conf" / "source" / f"{door}.yaml").read_text()


def test_the_page_of_the_sources_lists_the_quirks_of_each():
    """A row of the table for each name: what it means, and the sources in which it is met."""
    found: dict[str, set[str]] = defaultdict(set)
    for call in CALLS:
        found[call.name] |= {call.door} if len(doors_of(call)) == 1 else SHARED[call.door]
    found[CHANGED] = {"d4rl", "kabuki", "lerobot", "lram", "minari", "ogbench", "rlds"}
    page = (ROOT / "docs" / "sources" / "README.md").read_text().partition("| quirk |")[2]
    rows = re.findall(r"^\| `(\w+)` \| .+ \| (.+) \|$", page, re.MULTILINE)
    assert [name for name, _ in rows] == sorted(found), "each quirk has one row, in order"
    assert {name: set(doors.split(", ")) for name, doors in rows} == dict(found)


SHARED = {"hdf5": {"d4rl", "kabuki"}, "episode_table": {"d4rl", "kabuki"}}
"""What uses the code that several sources share."""
