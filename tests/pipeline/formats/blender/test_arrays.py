"""Rows of an episode as RLHF-Blender reads them, against episodes that were made by hand."""

from __future__ import annotations

import pickle
import pickletools
from dataclasses import replace

import numpy as np
import pytest

from pipeline.episode import Episode
from pipeline.formats.blender.arrays import episode_arrays, row_actions, row_infos, row_states, row_uncertainty
from pipeline.formats.contract import CannotHold


def walk(**steps: np.ndarray) -> Episode:
    """Three steps from 0 to 3, with the rewards 10, 20 and 30."""
    return Episode(
        steps={
            "observation": np.arange(4, dtype=np.float32)[:, np.newaxis],
            "action": np.array([1, 0, 1, 0]),
            "reward": np.array([10.0, 20.0, 30.0, 0.0]),
            "discount": np.array([1.0, 1.0, 1.0, 0.0]),
            **steps,
        },
        seed=7,
        terminated=True,
        end_reason="terminated",
    )


def test_a_reward_an_end_and_an_info_stand_at_the_row_to_which_their_step_led():
    episode = replace(walk(**{"info/lives": np.array([5, 4, 3, 0])}), reset_info={"lives": np.int64(6)})
    arrays = episode_arrays(episode, "observation", is_random=False)
    assert list(arrays) == [
        *("obs", "rewards", "dones", "actions", "infos", "features", "probs", "episode_rewards", "episode_lengths")
    ]
    assert arrays["obs"].tolist() == [[0], [1], [2], [3]]
    assert arrays["rewards"].tolist() == [0, 10, 20, 30]
    assert arrays["dones"].tolist() == [False, False, False, True]
    assert arrays["actions"].tolist() == [1, 0, 1, 0]
    assert [info["lives"] for info in arrays["infos"]] == [6, 5, 4, 3]
    assert arrays["episode_rewards"].tolist() == [60.0]
    assert arrays["episode_lengths"].tolist() == [3]
    shapes = {name: (array.dtype.name, array.shape) for name, array in arrays.items()}
    assert shapes == {
        "obs": ("float32", (4, 1)),
        "rewards": ("float64", (4,)),
        "dones": ("bool", (4,)),
        "actions": ("int64", (4,)),
        "infos": ("object", (4,)),
        "features": ("float64", (0,)),
        "probs": ("float64", (0,)),
        "episode_rewards": ("float64", (1,)),
        "episode_lengths": ("int64", (1,)),
    }


def test_a_policy_says_value_and_entropy_of_the_row_at_which_it_decides():
    said = {"info/policy_value": np.array([0.5, 0.25, 0.125, 0]), "info/policy_entropy": np.array([3.0, 2.0, 1.0, 0])}
    infos = row_infos(walk(**said), is_random=False)
    assert [info.get("entropy") for info in infos] == [3.0, 2.0, 1.0, None]
    assert [info.get("value") for info in infos] == [0.5, 0.25, 0.125, None]
    assert not any("policy_value" in info for info in infos)
    uncertainty = row_uncertainty(walk(**said))
    assert uncertainty.dtype == np.float32
    assert uncertainty.tolist() == [3.0, 2.0, 1.0, 1.0], "nobody decided at the last row: the last decision's"


def test_a_random_agent_has_value_and_entropy_one_and_no_other_policy_has_any_that_nobody_kept():
    assert [(info["value"], info["entropy"]) for info in row_infos(walk(), is_random=True)] == [(1.0, 1.0)] * 4
    assert not any("value" in info for info in row_infos(walk(), is_random=False))
    assert row_uncertainty(walk()).tolist() == [1.0] * 4
    assert row_uncertainty(walk()).dtype == np.float64
    chances = episode_arrays(walk(), "observation", is_random=True)["probs"]
    assert (chances.dtype, chances.tolist()) == (np.int64, [[0], [0], [0], [0]])


def test_the_first_info_tells_how_it_began_and_the_last_how_it_ended():
    episode = replace(walk(), mission="go", success=1, reset_texts={"level": "one"})
    first, *_, last = row_infos(episode, is_random=False)
    assert first == {"level": "one", "seed": 7, "mission": "go"}
    assert last == {"terminated": True, "TimeLimit.truncated": False, "end_reason": "terminated", "is_success": True}
    cut = replace(walk(), terminated=False, truncated=True, end_reason="budget")
    assert row_infos(cut, is_random=False)[-1]["TimeLimit.truncated"]


def test_what_an_environment_says_is_never_replaced():
    steps = {"info/value": np.array([5, 6, 7, 0]), "info/terminated": np.array([2, 2, 2, 0])}
    episode = replace(walk(**steps), reset_info={"seed": np.int64(99), "entropy": np.int64(3)})
    first, *_, last = row_infos(episode, is_random=True)
    assert first == {"seed": 99, "value": 1.0, "entropy": 3}
    assert (last["value"], last["terminated"], last["entropy"]) == (7, 2, 1.0)


def test_infos_are_plain_values_that_json_has_and_only_where_they_were():
    steps = {
        "info/speed": np.array([[1.5, np.nan], [np.inf, 2.0], [0.0, -np.inf], [0, 0]], np.float32),
        "info/hit": np.array([False, True, False, False]),
        "info_present/hit": np.array([False, True, False, False]),
    }
    infos = row_infos(replace(walk(**steps), info_texts={"door": ["shut", None, "open"]}), is_random=False)
    assert [info.get("speed") for info in infos] == [None, [1.5, "nan"], ["inf", 2.0], [0.0, "-inf"]]
    assert [info.get("hit") for info in infos] == [None, None, True, None]
    assert [info.get("door") for info in infos] == [None, "shut", None, "open"]
    named = {argument for code, argument, _ in pickletools.genops(pickle.dumps(list(infos))) if "GLOBAL" in code.name}
    assert named == set(), "nothing but Python's own values is in them"


@pytest.mark.parametrize(
    ("action", "expected"),
    [
        (np.array([1, 2], np.uint8), np.array([1, 2], np.int64)),
        (np.array([True, False]), np.array([1, 0], np.int64)),
        (np.array([[0.5], [1.0]]), np.array([0.5, 1.0], np.float32)),
        (np.array([[0.5, 0.1], [1.0, 0.0]]), np.array([[0.5, 0.1], [1.0, 0.0]], np.float32)),
        (np.zeros((2, 2, 3), np.float32), np.zeros((2, 6), np.float32)),
        (np.array([[1, 2], [3, 4]], np.int8), np.array([[1, 2], [3, 4]], np.int64)),
    ],
)
def test_actions_are_int64_or_float32_with_one_axis_at_most(action: np.ndarray, expected: np.ndarray):
    found = row_actions(action)
    assert (found.dtype, found.tolist()) == (expected.dtype, expected.tolist())


def test_actions_that_would_be_others_are_refused():
    with pytest.raises(CannotHold, match="float32, which does not hold the float64"):
        row_actions(np.array([[1e300], [0.0]]))
    with pytest.raises(CannotHold, match="int64, which does not hold the uint64"):
        row_actions(np.array([2**63 + 1, 0], np.uint64))


def test_grey_pictures_and_single_numbers_get_an_axis():
    grey = walk(observation=np.zeros((4, 84, 84), np.uint8))
    assert episode_arrays(grey, "observation", is_random=False)["obs"].shape == (4, 84, 84, 1)
    single = walk(observation=np.arange(4))
    assert episode_arrays(single, "observation", is_random=False)["obs"].tolist() == [[0], [1], [2], [3]]


def test_a_simulator_s_state_stands_at_the_row_that_it_was_reported_for():
    assert row_states(walk()) is None
    position = np.array([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0], [0, 0]])
    episode = walk(**{"info/qpos": position, "info/qvel": -position})
    states = row_states(episode)
    assert states.shape == (4, 1)
    assert states[0, 0] == {"state": None, "observation": None, "elapsed_steps": 0}
    assert states[2, 0]["state"]["qpos"].tolist() == [3.0, 4.0]
    assert states[3, 0]["state"]["qvel"].tolist() == [-5.0, -6.0]
    assert states[3, 0]["elapsed_steps"] == 3
    known = replace(episode, reset_info={"qpos": np.zeros(2), "qvel": np.ones(2)})
    assert row_states(known)[0, 0]["state"]["qvel"].tolist() == [1.0, 1.0]
    seen = walk(**{"observation/qpos": position, "observation/qvel": position})
    assert [state["state"]["qpos"][0] for state in row_states(seen)[:, 0]] == [1.0, 3.0, 5.0, 0.0]
