"""Words for rewards that a source has clipped."""

from __future__ import annotations

import pytest

from pipeline.dataset.rewards import clipping_note, return_words, reward_clipping, reward_words


@pytest.mark.parametrize(
    "parameters", [{}, {"environment": {"id": "x"}}, {"source": {"name": "jat"}}, {"source": {"reward_clipping": None}}]
)
def test_rewards_are_plain_where_no_source_says_that_it_clipped_them(parameters):
    clipping = reward_clipping(parameters)
    assert clipping is None
    assert (reward_words(clipping), return_words(clipping), clipping_note(clipping)) == ("reward", "sum of rewards", "")


def test_bounds_are_told_as_the_manifest_has_them():
    clipping = reward_clipping({"source": {"reward_clipping": [-1, 0.5]}})
    assert clipping == (-1, 0.5)
    assert reward_words(clipping) == "reward clipped to [-1, 0.5]"
    assert return_words(clipping) == "sum of rewards clipped to [-1, 0.5]"
    assert clipping_note(clipping).startswith("A return is the sum of rewards clipped to [-1, 0.5] by the source")
