from dataclasses import replace

import h5py
import numpy as np

from pipeline.formats.d4rl import D4rlFormat
from pipeline.sources.d4rl import D4rlSource
from tests.conftest import made_episode
from tests.contracts.format import FormatContract, Listed, exported, ingested, place_of
from tests.d4rl_files import every_dataset, transitions
from tests.episodes import Kinds


class TestD4rl(FormatContract):
    kinds = Kinds(nul=False)

    def format(self) -> D4rlFormat:
        return D4rlFormat()


def made(rng):
    """Three episodes: the first terminates, the second is cut off, the third simply stops."""
    ends = [{"terminated": True, "truncated": True, "end_reason": "terminated"}, {"truncated": True}, {}]
    episodes = [made_episode(rng, 2 + number, **end) for number, end in enumerate(ends)]
    steps = dict(episodes[1].steps) | {"info/qpos": np.arange(8.0).reshape(4, 2)}  # the last row holds something
    return [episodes[0], replace(episodes[1], steps=steps), episodes[2]]


def test_offline_rl_code_finds_the_transitions_and_where_they_end(workspace, rng):
    episodes = made(rng)
    ingested(Listed(episodes), workspace)
    data = every_dataset(place_of(exported(D4rlFormat(), workspace)))
    rows = len(data["rewards"])
    assert all(len(array) == rows for name, array in data.items() if "metadata" not in name)
    for name, own in (("observations", "observation"), ("actions", "action"), ("rewards", "reward")):
        np.testing.assert_array_equal(data[name], np.concatenate([e.steps[own][:-1] for e in episodes]))
    after = np.concatenate([e.steps["observation"][1:] for e in episodes])
    np.testing.assert_array_equal(data["next_observations"], after)
    assert np.flatnonzero(data["terminals"]).tolist() == [1]
    assert np.flatnonzero(data["timeouts"]).tolist() == [4, 8]  # also where an episode simply stops
    batch = transitions(data)
    keep = np.array([0, 1, 2, 3, 5, 6, 7])
    np.testing.assert_array_equal(batch["next_observations"][[0, 2]], after[[0, 2]])
    np.testing.assert_array_equal(batch["actions"], data["actions"][keep])
    assert batch["terminals"].tolist() == [False, True, *[False] * 5]


def test_both_flags_reasons_and_what_infos_hold_after_the_end_come_back(workspace, rng):
    episodes = made(rng)
    ingested(Listed(episodes), workspace)
    path = place_of(exported(D4rlFormat(), workspace, strict=True))
    back = list(D4rlSource(str(path)).episodes("toy", "corner"))
    assert [e.digest() for e in back] == [e.digest() for e in episodes]


def test_a_file_that_was_changed_is_read_as_it_says_it_is(workspace, rng):
    ingested(Listed(made(rng)), workspace)
    path = place_of(exported(D4rlFormat("none"), workspace))
    path.chmod(0o644)
    with h5py.File(path, "a") as file:
        file["timeouts"][3] = True
    source = D4rlSource(str(path))
    assert [e.length for e in source.episodes("toy", "corner")] == [2, 2, 1, 4]
    assert "stale_episode_metadata" in [quirk.name for quirk in source.quirks("toy", "corner")]
