"""The tables of docs/formats/README.md are what exports and the way back were measured to keep.

python -m tests.test_format_matrix      writes them anew
"""

from __future__ import annotations

import re
import tempfile
from pathlib import Path

import pytest

from pipeline.formats.choice import FORM_WORDS, FORMS, holders
from pipeline.formats.contract import Refusal
from tests.matrix import ROOT, Column, all_form_names, form_names, stored, table

PAGE = ROOT / "docs" / "formats" / "README.md"
TABLES = re.compile(r"(<!-- tables: .*? -->\n\n).*?(\n\n<!-- end of tables -->)", re.DOTALL)


def measured(folder: Path) -> list[Column]:
    """All forms."""
    whole, layouts = stored(folder / "store")
    return [Column(name, whole, layouts, folder / name) for name in form_names()]


@pytest.fixture(scope="module")
def columns(tmp_path_factory: pytest.TempPathFactory) -> list[Column]:
    return measured(tmp_path_factory.mktemp("matrix"))


def test_the_page_says_what_was_measured(columns):
    assert renewed(PAGE.read_text(), columns) == PAGE.read_text(), "renew it: python -m tests.test_format_matrix"


def test_what_is_lost_is_what_was_declared(columns):
    for column in columns:
        for name, each in {"everything": column.whole, **column.layouts}.items():
            assert each.lost == each.declared, (column.name, name)


def test_what_a_form_refuses_is_what_it_says(columns):
    for column in columns:
        for refusal in set(Refusal) - {Refusal.LONG}:  # as long as that no test is
            assert column.layouts[refusal].refused == (refusal in column.form.refuses), (column.name, refusal)


def test_who_refuses_names_every_form_that_takes_it():
    assert holders(Refusal.NESTED) == "format=d4rl, kabuki, lerobot, minari or rlds"


def test_every_form_has_words_for_who_names_none():
    assert set(FORM_WORDS) == set(FORMS) == set(all_form_names())


def renewed(page: str, columns: list[Column]) -> str:
    """The page with the tables of today."""
    assert TABLES.search(page)
    return TABLES.sub(lambda found: found[1] + table(columns) + found[2], page)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        PAGE.write_text(renewed(PAGE.read_text(), measured(Path(folder))))
