"""How much is asked for, and when it is there."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.dataset.amount import Amount, Size
from pipeline.errors import InvalidInput


@pytest.mark.parametrize("wrong", [{"episodes": 0}, {"states": -1}])
def test_asking_for_nothing_is_refused(wrong):
    with pytest.raises(InvalidInput, match="asks for nothing"):
        Amount(**wrong)


def test_episodes_and_states_exclude_each_other():
    with pytest.raises(InvalidInput, match="not both"):
        Amount(1, 1)


def test_everything_is_never_met_and_always_needed():
    assert Amount().everything
    assert not Amount().met(Size(10**9, 10**9))
    assert Amount().needed(Size(), np.array([3, 4])).all()
    assert Amount().leading(np.array([3, 7])) == 2


@given(
    lengths=st.lists(st.integers(1, 9), min_size=1, max_size=20),
    have=st.integers(0, 10),
    asked=st.integers(1, 60),
    by=st.sampled_from(["episodes", "states"]),
)
def test_needed_are_the_episodes_until_the_amount_is_met(lengths, have, asked, by):
    amount = Amount(**{by: asked})
    size, needed = Size(have, 3 * have), []
    for length in lengths:
        needed.append(not amount.met(size))
        size = Size(size.episodes + 1, size.states + length)
    assert amount.needed(Size(have, 3 * have), np.array(lengths)).tolist() == needed
    if amount.met(Size(len(lengths), sum(lengths))):
        assert amount.leading(np.cumsum(lengths)) == amount.needed(Size(), np.array(lengths)).sum()
