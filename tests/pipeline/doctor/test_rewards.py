"""Faults of rewards, planted and found."""

import numpy as np
import pytest

from pipeline.dataset.origin import MADE_FROM
from pipeline.episode import with_last_row
from tests.pipeline.doctor.planted import examined_made, found_in, healthy, walked

LENGTH = 8


def rewarded(rewards, **infos):
    """Six episodes with these rewards, T numbers or what gives them for a generator; infos have T+1 rows."""
    rng = np.random.default_rng(1)
    episodes = []
    for number in range(6):
        reward = np.asarray(rewards(rng) if callable(rewards) else rewards, np.float64)
        steps = {f"info/{name}": info(with_last_row("reward", reward)) for name, info in infos.items()}
        episodes.append(walked(rng, LENGTH, steps={"reward": with_last_row("reward", reward), **steps}, seed=number))
    return episodes


def test_a_stored_return_that_is_not_the_sum_of_the_rewards_is_an_error():
    def change(arrays):
        arrays["steps/reward"][0] += 0.01

    finding = found_in(healthy(), change)["reward_sums"]
    assert (finding.severity, finding.count, finding.examples) == ("error", 1, ("episode 0",))
    assert "stage=verify" in finding.command


def test_sums_of_large_and_small_rewards_round_and_are_no_finding():
    assert found_in(rewarded(lambda rng: rng.normal(size=LENGTH) * 10.0 ** rng.integers(-12, 12, LENGTH))) == {}


def drawn(rng):
    return rng.normal(size=LENGTH)


def rolled(by):
    return lambda reward: np.roll(reward, by)


@pytest.mark.parametrize(("by", "row"), [(1, "after"), (-1, "before")])
def test_rewards_that_equal_an_info_of_the_next_row_or_the_last_are_shifted(by, row):
    finding = found_in(rewarded(drawn, reward=rolled(by)))["rewards_shifted"]
    assert finding.severity == "error"
    assert f"of the row {row}" in finding.what


def test_infos_that_sum_up_to_the_reward_of_their_row_are_no_finding():
    def parts(by):
        return {
            "reward_ctrl": lambda reward: np.roll(reward / 4, by),
            "reward_forward": lambda reward: np.roll(reward * 3 / 4, by),
        }

    assert found_in(rewarded(drawn, **parts(0))) == {}
    shifted = found_in(rewarded(drawn, **parts(1)))["rewards_shifted"]
    assert "the sum of reward_ctrl, reward_forward" in shifted.what


def test_clipped_rewards_beside_larger_raw_ones_are_a_warning():
    def signs(rng):
        return rng.integers(-1, 2, LENGTH)

    assert found_in(rewarded(signs)) == {}
    found = found_in(rewarded(signs, raw_reward=lambda reward: reward * 7))
    assert {name: each.severity for name, each in found.items()} == {"rewards_clipped": "warning"}


def test_clipping_that_the_source_states_is_a_note():
    found = found_in(healthy(), parameters={"source": {"source": "dqn_replay", "reward_clipping": [-1, 1]}})
    assert {name: each.severity for name, each in found.items()} == {"rewards_clipped": "note"}


def test_rewards_that_are_all_zero_are_a_warning_or_a_note_where_the_source_has_none():
    zeros = rewarded(np.zeros(LENGTH))
    assert {name: each.severity for name, each in found_in(zeros).items()} == {"rewards_zero": "warning"}
    without = {"source": {"source": "frames", "has_rewards": False}}
    for parameters in (without, {"source": {"source": "minari", MADE_FROM: {"parameters": without}}}):
        found = found_in(zeros, parameters=parameters)
        assert {name: each.severity for name, each in found.items()} == {"no_rewards": "note"}


def test_lost_last_rewards_are_a_warning():
    found = found_in(healthy(has_final_reward=False))
    assert {name: each.severity for name, each in found.items()} == {"final_rewards_lost": "warning"}


def test_a_first_reward_that_is_always_zero_among_dense_ones_is_a_warning():
    found = found_in(rewarded(lambda rng: np.concatenate([[0], rng.normal(size=LENGTH - 1)])))
    assert {name: each.severity for name, each in found.items()} == {"first_rewards_zero": "warning"}
    assert found_in(rewarded(lambda rng: np.concatenate([[0, 0], rng.normal(size=LENGTH - 2)]))) == {}


def test_rewards_that_are_no_numbers_are_not_the_least_or_the_most():
    def spoilt(arrays):
        arrays["steps/reward"][:3] = (np.nan, np.inf, -np.inf)

    facts = examined_made(healthy(), spoilt).facts["rewards"]
    assert -5 < facts["least"] < facts["most"] < 5

    def none(arrays):
        arrays["steps/reward"][:] = np.nan

    assert examined_made(healthy(), none).facts["rewards"] | {"nonzero_share": 1} == {
        "least": None,
        "most": None,
        "nonzero_share": 1,
    }
