"""REGENT's rules for queries and pools, against plain loops and against the published counts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.errors import InvalidInput
from pipeline.regent.counts import SEEN, SEEN_STATES, TRAINING_ITEMS, UNSEEN, expected
from pipeline.regent.missions import mission_queries
from pipeline.regent.pools import choose
from pipeline.regent.rows import RowLayout
from pipeline.views.contexts import split

CONF = Path(__file__).parents[3] / "conf" / "domain"

# Missions


def go_round(missions: list[str], lengths: list[int], states: int, demos: int, least: int) -> dict[str, Any]:
    """Queries and pools, mission after mission and batch after batch, as one would by hand."""
    left: dict[str, list[int]] = {}
    for episode, mission in enumerate(missions):
        left.setdefault(mission, []).append(episode)
    left = {mission: episodes for mission, episodes in left.items() if len(episodes) >= least}
    first = {mission: episodes[:demos] for mission, episodes in left.items()}
    taken: list[int] = []
    reached: list[str] = []
    total = 0
    while total < states and any(left.values()):
        for mission in left:
            batch, left[mission] = left[mission][:demos], left[mission][demos:]
            taken += batch
            total += sum(lengths[episode] for episode in batch)
            if batch and mission not in reached:
                reached.append(mission)
            if total >= states:
                break
    return {"episodes": sorted(taken), "pools": {mission: first[mission] for mission in reached}}


def chosen(missions: list[str], lengths: list[int], *rest: Any, **more: Any) -> dict[str, Any]:
    choice = mission_queries(missions, np.array(lengths), *rest, **more)
    pools = dict(zip(choice.pool_missions, (pool.tolist() for pool in choice.pools), strict=True))
    return {"episodes": choice.episodes.tolist(), "pools": pools}


def test_missions_take_turns_until_there_are_enough_states():
    missions = ["box", "key", "box", "ball", "key", "box", "key", "box", "ball", "ball"]
    wanted = {"episodes": [0, 1, 2, 3, 4, 5, 7, 8], "pools": {"box": [0, 2], "key": [1, 4], "ball": [3, 8]}}
    assert chosen(missions, [10] * 10, 61, demos=2) == wanted
    assert chosen(missions, [10] * 10, 60, demos=2)["episodes"] == [0, 1, 2, 3, 4, 8]
    reached = chosen(missions, [10] * 10, 21, demos=2)
    assert reached == {"episodes": [0, 1, 2, 4], "pools": {"box": [0, 2], "key": [1, 4]}}  # balls have no turn


def test_the_last_batch_of_a_mission_may_be_short_and_all_may_be_too_few():
    everything = chosen(["a", "b", "a", "a", "b"], [1] * 5, 1000, demos=2)
    assert everything == {"episodes": [0, 1, 2, 3, 4], "pools": {"a": [0, 2], "b": [1, 4]}}


def test_rare_missions_take_no_part_unless_told_otherwise():
    missions = ["rare", *["often"] * 20]
    assert chosen(missions, [5] * 21, 1)["pools"] == {"often": list(range(1, 21))}
    assert chosen(missions, [5] * 21, 1000, least=1)["pools"] == {"rare": [0], "often": list(range(1, 21))}


@settings(max_examples=300)
@given(
    episodes=st.lists(st.tuples(st.sampled_from("abcdefg"), st.integers(1, 30)), min_size=1, max_size=80),
    states=st.integers(1, 900),
    demos=st.integers(1, 7),
    least=st.one_of(st.none(), st.integers(1, 5)),
)
def test_queries_and_pools_are_those_of_a_loop_by_hand(
    episodes: list[tuple[str, int]], states: int, demos: int, least: int | None
):
    missions, lengths = [mission for mission, _ in episodes], [length for _, length in episodes]
    needed = demos if least is None else least
    if max(missions.count(mission) for mission in set(missions)) < needed:
        with pytest.raises(InvalidInput, match=f"No mission has {needed} episodes"):
            mission_queries(missions, np.array(lengths), states, demos, least)
        return
    choice = mission_queries(missions, np.array(lengths), states, demos, least)
    found = chosen(missions, lengths, states, demos, least)
    assert found == go_round(missions, lengths, states, demos, needed)
    assert list(found["pools"]) == list(dict.fromkeys(m for m in missions if m in found["pools"]))
    assert {choice.episodes.dtype, *(pool.dtype for pool in choice.pools)} == {np.dtype(np.int64)}


def test_no_mission_with_enough_episodes_is_refused_with_what_would_do():
    with pytest.raises(
        InvalidInput, match=r"No mission has 20 episodes: .*2 missions in 3 episodes.*retrieval.demos=2"
    ):
        mission_queries(["a", "b", "a"], np.array([1, 1, 1]), 10)
    with pytest.raises(InvalidInput, match="No mission has 20 episodes"):
        mission_queries([], np.zeros(0, np.int64), 10)


def test_missions_and_lengths_must_be_of_the_same_episodes():
    with pytest.raises(InvalidInput, match="2 episodes, 1 missions"):
        mission_queries(["a"], np.array([1, 1]), 10)


# Leading rows

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


# What REGENT made of JAT


def test_tasks_are_those_of_the_domains_and_the_held_out_ones_are_unseen():
    counted = {"atari": (52, 5), "babyai": (39, 0), "metaworld": (45, 5), "mujoco": (9, 2)}
    for domain, (seen, unseen) in counted.items():
        shipped = yaml.safe_load((CONF / f"{domain}.yaml").read_text())
        assert (len(SEEN[domain]), len(UNSEEN[domain])) == (seen, unseen)
        assert set(UNSEEN[domain]) == set(shipped.get("unseen", []))
        assert set(SEEN[domain]) | set(UNSEEN[domain]) <= set(shipped["tasks"])
        assert not set(SEEN[domain]) & set(UNSEEN[domain])
    assert expected("toy", "grid") is None
    assert expected("atari", "airraid") is None


def test_states_of_the_seen_tasks_add_up_to_the_published_total():
    assert sum(SEEN_STATES.values()) == 14_513_480
    for domain in ("babyai", "metaworld", "mujoco"):
        assert sum(counts.states for counts in SEEN[domain].values()) == SEEN_STATES[domain]
    assert sum(counts.rows for counts in SEEN["babyai"].values()) == 342_703


def test_row_counts_are_the_smallest_that_can_hold_100000_states():
    for domain, width in (("atari", 32), ("mujoco", 256), ("metaworld", 256)):
        for task, counts in SEEN[domain].items():
            assert counts.rows * width >= 100_000, task
            assert counts.states is None or 100_000 <= counts.states < 100_000 + width, task
    games = len(SEEN["atari"])
    assert games * 100_000 <= SEEN_STATES["atari"] < games * 100_032
    assert all(counts.states >= 100_000 for counts in SEEN["babyai"].values())


def test_pools_of_held_out_games_are_cut_to_200_rows_a_demonstration_in_total():
    assert max(counts.rows for counts in UNSEEN["atari"].values()) == 5 * 200
    for task in ("spaceinvaders", "stargunner"):
        lengths = np.full(5, 32 * 400)
        choice = choose(RowLayout(lengths, 32), 5, 100_000, unseen=True, rows_per_demo=200)
        assert len(choice.rows) == expected("atari", task).rows


def training(states):
    return len(split(states, unseen=False)[0])


def test_what_is_left_for_training_are_the_steps_of_the_published_checkpoint():
    known = [counts.states for tasks in SEEN.values() for counts in tasks.values() if counts.states is not None]
    assert training(100_000) == training(100_031)  # so it does not matter how many states a game has
    items = sum(map(training, known)) + len(SEEN["atari"]) * training(100_000)
    assert items == TRAINING_ITEMS
    assert divmod(items, 512) == (27_726, 0)
