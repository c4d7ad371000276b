"""Row groups follow from the rows alone."""

from __future__ import annotations

import itertools

import numpy as np
import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.formats.image_text.rows import row_groups


def cut(sizes: list[int], ends: list[int], rows: int, most: int) -> list[list[int]]:
    """The groups of rows of these sizes, which come in tables that end there."""
    places = [0, *sorted({end % (len(sizes) + 1) for end in ends}), len(sizes)]
    spans = [(a, b) for a, b in itertools.pairwise(places) if a < b]
    tables = [(pa.table({"row": np.arange(a, b)}), np.array(sizes[a:b], np.int64)) for a, b in spans]
    return [group["row"].to_pylist() for group in row_groups(tables, rows, most)]


def plain(sizes: list[int], rows: int, most: int) -> list[list[int]]:
    """The same, a row after the other."""
    groups: list[list[int]] = []
    for row, size in enumerate(sizes):
        full = groups and (len(groups[-1]) == rows or sum(sizes[n] for n in groups[-1]) + size > most)
        if not groups or full:
            groups.append([])
        groups[-1].append(row)
    return groups


@settings(max_examples=60)
@given(
    st.lists(st.integers(0, 9), max_size=30), st.lists(st.integers(0, 30), max_size=6), st.integers(1, 5), st.just(12)
)
def test_groups_do_not_depend_on_how_the_rows_came(sizes: list[int], ends: list[int], rows: int, most: int):
    assert cut(sizes, ends, rows, most) == plain(sizes, rows, most)
