"""Which episodes of each mission query and may be retrieved, against a plain loop."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.errors import InvalidInput
from pipeline.regent.missions import mission_queries


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
        InvalidInput, match=r"No mission has 20 episodes: .*2 missions in 3 episodes[\s\S]*retrieval.demos=2"
    ):
        mission_queries(["a", "b", "a"], np.array([1, 1, 1]), 10)
    with pytest.raises(InvalidInput, match="No mission has 20 episodes"):
        mission_queries([], np.zeros(0, np.int64), 10)


def test_missions_and_lengths_must_be_of_the_same_episodes():
    with pytest.raises(InvalidInput, match="2 episodes, 1 missions"):
        mission_queries(["a"], np.array([1, 1]), 10)
