"""JAT rows, REGENT pools and bins, against layouts written out by hand."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import InvalidInput
from pipeline.regent.bins import RowArray, context_indices, row_blocks
from pipeline.regent.pools import choose
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


def test_metaworld_takes_a_thousand_rows_and_a_hundred_demonstrations():
    layout = RowLayout(np.full(16_000, 100), 256)
    chosen = choose(layout, demos=100, states=100_000, unseen=False)
    assert (len(chosen.rows), chosen.queries, chosen.pool, chosen.episodes) == (1000, 100_000, 10_000, 1000)
    held_out = choose(layout, demos=100, states=100_000, unseen=True)
    assert (len(held_out.rows), held_out.queries, held_out.pool, held_out.episodes) == (100, 10_000, 10_000, 100)


def test_queries_may_stop_inside_an_episode():
    layout = RowLayout(np.array([10, 10, 10]), 4)  # rows of 4, 4, 2 steps each episode
    chosen = choose(layout, demos=1, states=12, unseen=False)
    assert (len(chosen.rows), chosen.queries, chosen.episodes) == (4, 14, 2)


def test_the_pool_queries_too_so_that_every_neighbour_stands_in_the_bins():
    layout = RowLayout(np.array([10, 10, 10]), 4)
    chosen = choose(layout, demos=2, states=3, unseen=False)
    assert (len(chosen.rows), chosen.queries, chosen.pool) == (6, 20, 20)


def test_the_own_episode_is_excluded_from_the_pool_only():
    layout = RowLayout(np.array([3, 2, 4]), 8)
    chosen = choose(layout, demos=2, states=100, unseen=False)
    wanted = [[0, 3]] * 3 + [[3, 5]] * 2 + [[5, 5]] * 4
    np.testing.assert_array_equal(chosen.excluded(np.array([3, 5, 9]), np.arange(9)), wanted)


def test_a_single_episode_retrieves_from_the_first_half_of_its_rows_without_itself():
    layout = RowLayout(np.array([10]), 2)  # five rows: the pool is the first two
    chosen = choose(layout, demos=1, states=100, unseen=False)
    assert (chosen.single, chosen.pool, chosen.queries) == (True, 4, 10)
    np.testing.assert_array_equal(chosen.excluded(np.array([10]), np.arange(2, 6)), [[2, 3], [3, 4], [4, 4], [4, 4]])
    with pytest.raises(InvalidInput, match="episodes=2"):
        choose(RowLayout(np.array([10]), 256), demos=1, states=100, unseen=False)


@given(lengths=LENGTHS, width=st.integers(1, 7))
def test_rows_shift_rewards_and_repeat_the_first_step(lengths, width):
    layout = RowLayout(np.array(lengths), width)
    rewards = np.arange(1, sum(lengths) + 1, dtype=np.float32)
    array = RowArray("rewards", (), np.dtype("<f4"), lambda a, b: rewards[a:b], shift=True)
    rows, state = [], 0
    for length in lengths:
        shifted = [0.0, *rewards[state : state + length - 1]]
        for start in range(0, length, width):
            chunk = shifted[start : start + width]
            rows.append(chunk + [chunk[0]] * (width - len(chunk)))
        state += length
    np.testing.assert_array_equal(np.concatenate(list(row_blocks(array, layout, np.arange(layout.rows)))), rows)


def test_indices_end_with_the_state_itself():
    layout = RowLayout(np.array([5, 2]), 3)
    neighbours = np.tile(np.arange(7), 3)[None, :20].repeat(2, axis=0).astype(np.int32)
    indices = context_indices(neighbours, np.arange(5, 5 + len(neighbours)), layout)
    assert indices.shape == (2, 20, 2)
    np.testing.assert_array_equal(indices[:, 19], [[2, 0], [2, 1]])
    np.testing.assert_array_equal(indices[0, 4], [1, 1])
