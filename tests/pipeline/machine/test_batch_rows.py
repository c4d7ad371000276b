"""Networks that round a row by its place or by the others in the batch are found out."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.machine.batch_rows import rows_stand_alone

ROWS = {"x": np.arange(1, 9, dtype=np.float32).reshape(4, 2)}
REVERSED = [(3, 2, 1, 0)]


def by_row(rows):
    return [rows["x"] * 2]


def by_place(rows):
    return [rows["x"] + np.arange(4, dtype=np.float32)[:, None]]


def by_others(rows):
    return [rows["x"] - rows["x"].mean(0)]


@pytest.mark.parametrize(("run", "alone"), [(by_row, True), (by_place, False), (by_others, False)])
def test_a_row_stands_alone_where_neither_its_place_nor_the_others_change_it(run, alone):
    assert rows_stand_alone(run, ROWS, REVERSED) is alone


def test_results_that_are_known_are_not_computed_again():
    batches = []

    def run(rows):
        batches.append(rows["x"].tolist())
        return by_row(rows)

    assert rows_stand_alone(run, ROWS, REVERSED, by_row(ROWS))
    assert batches == [[[7, 8], [5, 6], [3, 4], [1, 2]], [[1, 2], [0, 0], [5, 6], [0, 0]]]
