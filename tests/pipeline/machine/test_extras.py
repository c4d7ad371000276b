"""Optional packages: one table says what brings them, and pyproject.toml agrees with it."""

from __future__ import annotations

import re
import sys
import tomllib
from importlib.metadata import PackageNotFoundError, packages_distributions, requires
from pathlib import Path

import pytest

from pipeline.errors import InvalidInput
from pipeline.machine.extras import EXTRAS, extra_versions, import_extra

PYPROJECT = tomllib.loads((Path(__file__).parents[3] / "pyproject.toml").read_text())["project"]
OURS = {"all", "test", "gym"}
"""Extras of which no module is imported through the table."""


def distributions(requirements: list[str]) -> set[str]:
    """`dm-control` of `dm-control>=1.0.28; python_version < '3.13'`."""
    return {re.split(r"[^A-Za-z0-9_.-]", each, maxsplit=1)[0].lower().replace("_", "-") for each in requirements}


def test_the_table_has_every_extra_of_the_project_and_no_other():
    assert set(EXTRAS) == set(PYPROJECT["optional-dependencies"]) - OURS


@pytest.mark.parametrize("extra", EXTRAS)
def test_an_extra_brings_the_modules_that_the_table_names(extra):
    required = distributions(PYPROJECT["optional-dependencies"][extra])
    for each in list(required):
        try:
            required |= distributions(requires(each) or [])
        except PackageNotFoundError:
            pytest.skip(f"{each} is not installed")
    known = packages_distributions()
    for module in EXTRAS[extra]:
        assert required & {each.lower().replace("_", "-") for each in known[module]}, module


def test_a_missing_package_is_refused_with_what_to_install(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "jinja2", None)
    with pytest.raises(InvalidInput, match=r"jinja2 is not installed.*pip install 'repertoire\[report\]'"):
        import_extra("report", "jinja2")


def test_a_package_that_lacks_a_module_of_its_own_raises_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "needs_another.py").write_text("import not_installed_anywhere\n")
    with pytest.raises(ModuleNotFoundError, match="not_installed_anywhere"):
        import_extra("report", "needs_another")


def test_versions_come_from_what_is_installed():
    assert extra_versions("report", "numpy").keys() == {"numpy"}
    with pytest.raises(InvalidInput, match=r"repertoire\[report\]"):
        extra_versions("report", "no-such-distribution")
