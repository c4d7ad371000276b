"""The pages of the forms: each form has one, whose code reads an export without this project.

The code of a page runs where `path` is what the export wrote: a file or a folder. A page of several forms says in the
first line of a block which one is meant: `# format=npz`. The others are for the first form that the page is of.
"""

from __future__ import annotations

import ast
import importlib.util
import re
import shutil
from pathlib import Path

import numpy as np
import pytest

from pipeline.dataset.workspace import Workspace
from tests.conftest import made_episode
from tests.contracts.format import Listed, exported, ingested, place_of
from tests.contracts.one_way import written
from tests.matrix import ROOT, all_form_names, default_form, page_of

DOCS = ROOT / "docs" / "formats"


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """A store with three episodes of `toy/corner`."""
    workspace = Workspace(str(tmp_path_factory.mktemp("forms") / "outputs"), "bin")
    rng = np.random.default_rng(7)
    episodes = [made_episode(rng, length, truncated=True, end_reason="time_limit", seed=length) for length in (4, 2, 5)]
    ingested(Listed(episodes), workspace, "example-v1")
    return workspace


def blocks(page: Path) -> list[str]:
    return re.findall(r"```python\n(.*?)```", page.read_text(), re.DOTALL)


def is_here(code: str) -> bool:
    """Whether all that the code imports is installed beside this project."""
    imports = [node for node in ast.walk(ast.parse(code)) if isinstance(node, ast.Import | ast.ImportFrom)]
    names = [
        name
        for n in imports
        for name in ([n.module or ""] if isinstance(n, ast.ImportFrom) else [a.name for a in n.names])
    ]
    assert "pipeline" not in {name.split(".")[0] for name in names}, "a page reads without this project"
    return all(importlib.util.find_spec(name.split(".")[0]) for name in names)


@pytest.mark.parametrize("page", sorted({page_of(name) for name in all_form_names()}))
def test_the_code_of_a_page_reads_an_export(page: str, workspace: Workspace, drawn: Path, tmp_path: Path):
    shutil.copytree(drawn, tmp_path / "drawn")
    forms = [name for name in all_form_names() if page_of(name) == page]
    ran = 0
    for code in blocks(DOCS / page):
        named = re.match(r"# format=(\w+)", code)
        if is_here(code):
            form = default_form(named[1] if named else forms[0])
            if form.source(Path("nowhere")) is None:
                artifact = written(form, Workspace(str(tmp_path / "drawn")))
            else:
                artifact = exported(form, workspace, dataset="example-v1")
            exec(compile(code, str(DOCS / page), "exec"), {"path": str(place_of(artifact))})
            ran += 1
    assert ran, "no block of the page runs with what is installed here"


def test_every_page_is_of_a_form_and_every_form_and_its_door_has_a_page():
    pages = {path.name for path in DOCS.glob("*.md")} - {"README.md"}
    assert pages == {page_of(name) for name in all_form_names()}
    for name in all_form_names():
        text = (DOCS / page_of(name)).read_text()
        assert f"format={name}" in text, name
        if (door := default_form(name).source(Path("nowhere"))) is None:
            continue
        source = door.name
        assert f"source={source}" in text, name
        assert (ROOT / "conf" / "source" / f"{source}.yaml").exists(), name


@pytest.mark.parametrize("name", all_form_names())
def test_every_form_has_a_suite(name: str):
    """Its own file below tests/pipeline/formats inherits the contract."""
    room = type(default_form(name)).__module__.split(".")[2]
    folder = ROOT / "tests" / "pipeline" / "formats"
    files = [*folder.glob(f"test_{room}.py"), *(folder / room).glob("test_*.py")]
    assert any(re.search(r"\((FormatContract|OneWayContract)\)", file.read_text()) for file in files), room
