"""JAT's rows, against layouts written out by hand."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from pipeline.regent.rows import RowLayout

LENGTHS = st.lists(st.integers(1, 20), min_size=1, max_size=12)


def test_rows_of_two_episodes_by_hand():
    layout = RowLayout(np.array([5, 2]), 3)  # states 0-4 and 5-6
    np.testing.assert_array_equal(layout.first_states, [0, 3, 5])
    np.testing.assert_array_equal(layout.row_lengths, [3, 2, 2])
    np.testing.assert_array_equal(layout.gather(np.arange(3)), [[0, 1, 2], [3, 4, 3], [5, 6, 5]])
    np.testing.assert_array_equal(layout.locate(np.array([0, 4, 5])), [[0, 0], [1, 1], [2, 0]])
    assert [layout.leading_rows(n) for n in (1, 3, 4, 5, 6, 7, 8)] == [1, 1, 2, 2, 3, 3, 3]


@given(lengths=LENGTHS, width=st.integers(1, 7))
def test_every_state_is_where_a_plain_loop_puts_it(lengths, width):
    layout = RowLayout(np.array(lengths), width)
    rows, state = [], 0
    for length in lengths:
        for start in range(0, length, width):
            rows.append([state + start + i for i in range(min(width, length - start))])
        state += length
    assert layout.rows == len(rows)
    np.testing.assert_array_equal(layout.row_lengths, [len(row) for row in rows])
    for row, states in enumerate(rows):
        for column, flat in enumerate(states):
            np.testing.assert_array_equal(layout.locate(np.array(flat)), [row, column])
