"""Any dataset that can be is examined without an error, and what is said of it can be written as JSON."""

import json
import math

from hypothesis import given, settings

from pipeline.doctor.thresholds import Thresholds
from tests.episodes import Kinds, datasets
from tests.pipeline.doctor.planted import examined_made, healthy

STRICT = Thresholds(states=1, episodes=1, dark=0.0, frozen=0.0, still=1, on_bounds=0.0, one_action=0.0, shifted=0.0)


@settings(max_examples=8)
@given(datasets(Kinds(missing_ends=True)))
def test_any_dataset_is_examined(episodes):
    examination = examined_made(episodes, thresholds=STRICT, but=())
    assert examination.episodes == len(episodes)
    assert examination.states == sum(episode.length for episode in episodes)
    assert json.loads(json.dumps(examination.as_json()))["episodes"] == len(episodes)
    wrong = {"reward_sums", "last_row", "rows", "longer_than_limit", "unreadable"}
    assert not wrong & {finding.name for finding in examination.findings}


def test_arrays_without_a_column_are_examined_and_are_no_finding():
    def empty(arrays):
        for name in ("steps/observation", "steps/action"):
            arrays[name] = arrays[name][:, :0]

    assert examined_made(healthy(), empty).findings == []


def test_what_is_found_does_not_depend_on_how_the_episodes_lie_in_blocks():
    def spoil(arrays):
        arrays["steps/reward"][[3, 30]] = math.nan
        arrays["steps/discount"][arrays["episode_ends"][2:5] - 2] = 1.0
        arrays["steps/observation"][17] = math.inf

    expected = examined_made(healthy(), spoil).findings
    assert [each.name for each in expected] == ["terminal_discount", "reward_sums", "not_finite", "not_finite"]
    for each in (1, 3, 100):
        assert examined_made(healthy(), spoil, each=each).findings == expected
