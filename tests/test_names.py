"""One meaning a name: a public class or function is defined once, and no name needs guessing."""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
FOLDERS = ("pipeline", "stages")

SAME_WORD = {"run", "foresee", "reads"}
"""What stages offer under the same name, because run.py and `StageFacts` call it so."""

UNCLEAR = {"told", "said", "hushed", "hire", "standing", "lane", "twin", "crew"}
"""Words that a newcomer has to guess the meaning of; a name has none of them between its underscores."""

STILL_SHARED: set[str] = {
    # one line each: a name of two things, to be renamed; this set only shrinks
}
STILL_UNCLEAR: set[str] = set()


def modules() -> Iterator[tuple[str, ast.Module]]:
    for folder in FOLDERS:
        for path in sorted((ROOT / folder).rglob("*.py")):
            yield str(path.relative_to(ROOT)), ast.parse(path.read_text())


def public_definitions(module: ast.Module) -> Iterator[str]:
    """Classes, functions and aliases of types. Constants are read beside their module's name, so they may recur."""
    for node in module.body:
        names: list[str] = []
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            names = [node.name]
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            names = [each.id for each in targets if isinstance(each, ast.Name) and is_type_name(each.id)]
        yield from (name for name in names if not name.startswith("_"))


def is_type_name(name: str) -> bool:
    return name[:1].isupper() and not name.isupper()


def assigned_names(module: ast.Module) -> Iterator[str]:
    for node in ast.walk(module):
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            yield node.name
        elif isinstance(node, ast.arg):
            yield node.arg
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            yield node.attr


def test_a_public_name_is_defined_once():
    places: dict[str, list[str]] = defaultdict(list)
    for path, module in modules():
        for name in public_definitions(module):
            places[name].append(path)
    shared = {name: where for name, where in places.items() if len(where) > 1 and name not in SAME_WORD}
    assert {name: where for name, where in shared.items() if name not in STILL_SHARED} == {}
    gone = STILL_SHARED - shared.keys()
    assert not gone, "these are defined once now: take them out of STILL_SHARED"


def test_a_name_has_no_word_that_needs_guessing():
    unclear = defaultdict(set)
    for path, module in modules():
        for name in assigned_names(module):
            if UNCLEAR & set(name.lower().split("_")) or name == "rows_of_nothing":
                unclear[name].add(path)
    assert {name: where for name, where in unclear.items() if name not in STILL_UNCLEAR} == {}
    gone = STILL_UNCLEAR - unclear.keys()
    assert not gone, "these are gone: take them out of STILL_UNCLEAR"
