"""Queries and pools of leading rows, against loops by hand and against what REGENT made of JAT's own episodes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.errors import InvalidInput
from pipeline.regent.counts import expected
from pipeline.regent.pools import choose, choose_by_mission
from pipeline.regent.rows import RowLayout

OTHER_LENGTHS = {
    "ant": {22: 504, 27: 212, 28: 172, 102: 502},
    "doublependulum": {90: 16},
    "humanoid": {
        **{1: 565, 3: 279, 11: 444, 14: 845, 20: 904, 29: 626, 32: 400, 35: 440, 36: 974, 39: 615, 41: 871, 44: 785},
        **{48: 800, 49: 226, 54: 698, 55: 898, 56: 204, 61: 151, 62: 967, 75: 774, 80: 540, 88: 803, 91: 646, 93: 199},
        **{96: 809, 99: 612, 102: 264, 104: 589, 109: 411, 110: 174},
    },
    "walker": {
        **{16: 557, 19: 420, 25: 129, 28: 252, 29: 205, 34: 836, 41: 640, 47: 242, 48: 497, 50: 959, 60: 663, 61: 685},
        **{64: 603, 77: 465, 85: 976, 89: 511, 92: 222, 95: 949, 104: 869, 105: 526, 107: 818},
    },
}
"""Steps of JAT's first 115 episodes (REGENT's `ep_lens.json`) that are not 1,000."""


def rows_by_hand(lengths: list[int], width: int) -> list[tuple[int, int]]:
    """(episode, real steps) of each row."""
    return [
        (episode, min(width, length - start))
        for episode, length in enumerate(lengths)
        for start in range(0, length, width)
    ]


@pytest.mark.parametrize("task", sorted(OTHER_LENGTHS))
def test_jats_own_episodes_give_upstreams_rows_and_states(task: str):
    lengths = np.array([OTHER_LENGTHS[task].get(episode, 1000) for episode in range(115)])
    choice = choose(RowLayout(lengths, 256), demos=100, states=100_000, unseen=False)
    assert (len(choice.rows), choice.queries) == expected("mujoco", task)[:2]


@settings(max_examples=200)
@given(
    lengths=st.lists(st.integers(1, 40), min_size=2, max_size=20),
    width=st.integers(1, 9),
    demos=st.integers(1, 8),
    states=st.integers(1, 400),
    unseen=st.booleans(),
    per_demo=st.one_of(st.none(), st.integers(1, 6)),
)
def test_leading_rows_query_and_leading_episodes_are_the_pool(
    lengths: list[int], width: int, demos: int, states: int, unseen: bool, per_demo: int | None
):
    rows = rows_by_hand(lengths, width)
    pool = [row for row in rows if row[0] < demos]
    if per_demo is not None:
        pool = pool[: per_demo * min(demos, len(lengths))]
    queries = list(pool)  # every neighbour must stand in the bins
    while not unseen and len(queries) < len(rows) and sum(steps for _, steps in queries) < states:
        queries.append(rows[len(queries)])
    if queries[-1][0] == 0:
        return  # one query episode has rules of its own
    choice = choose(RowLayout(np.array(lengths), width), demos, states, unseen, per_demo)
    assert choice.rows.tolist() == list(range(len(queries)))
    assert choice.states.tolist() == list(range(sum(steps for _, steps in queries)))
    assert [each.states.tolist() for each in choice.pools] == [list(range(sum(steps for _, steps in pool)))]


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
    with pytest.raises(InvalidInput, match="there is only 1 row"):
        choose(RowLayout(np.array([10]), 256), demos=1, states=100, unseen=False)


def test_missions_share_no_state_of_their_pools_and_each_query_has_that_of_its_own():
    layout = RowLayout(np.array([2, 3, 1, 2, 4]), 2)
    plan = choose_by_mission(layout, ["key", "box", "key", "box", "rare"], demos=2, states=100, least=None)
    assert plan.by_mission
    assert [(pool.mission, pool.states.tolist()) for pool in plan.pools] == [
        ("key", [0, 1, 5]),
        ("box", [2, 3, 4, 6, 7]),
    ]
    assert plan.states.tolist() == list(range(8))
    assert plan.owner.tolist() == [0, 0, 1, 1, 1, 0, 1, 1]
    assert plan.pooled.tolist() == list(range(8))
    assert plan.rows.tolist() == [0, 1, 2, 3, 4]  # of episodes of 2, 3, 1 and 2 states in rows of 2
    assert {number: which.tolist() for number, which in plan.by_pool(1, 6)} == {0: [1, 5], 1: [2, 3, 4]}
    np.testing.assert_array_equal(plan.excluded(np.cumsum(layout.lengths), np.array([0, 5])), [[0, 2], [2, 3]])
    assert plan.candidates(np.cumsum(layout.lengths)).tolist() == [1, 1, 2, 2, 2, 2, 3, 3]


def test_one_task_has_one_pool_that_is_of_no_mission():
    plan = choose(RowLayout(np.array([3, 2, 4]), 8), demos=2, states=100, unseen=False)
    assert not plan.by_mission
    assert plan.candidates(np.array([3, 5, 9])).tolist() == [2] * 3 + [3] * 2 + [5] * 4
    assert [(number, which.tolist()) for number, which in plan.by_pool(4, 7)] == [(0, [4, 5, 6])]
    assert list(plan.by_pool(4, 4)) == []
