"""D4RL's own loaders and d3rlpy give out what we hold."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pipeline.formats.d4rl import D4rlFormat
from tests.interop.held import after, at_ends, held_episodes, laid, transitions
from tests.interop.side import read_by

pytestmark = pytest.mark.interop


def by_d4rl(path: str) -> dict[str, object]:
    import os

    os.environ["D4RL_SUPPRESS_IMPORT_ERROR"] = "1"
    import d4rl
    import numpy as np
    from d4rl.offline_env import OfflineEnv
    from gym.spaces import Box

    environment = OfflineEnv()
    environment.observation_space = Box(-np.inf, np.inf, (5,))
    environment.action_space = Box(-np.inf, np.inf, (2,))
    raw = environment.get_dataset(h5path=path)
    found = {f"raw/{name}": raw[name] for name in ("observations", "actions", "rewards", "terminals", "timeouts")}
    found["raw/next_observations"] = raw["next_observations"]
    kept = {name: array for name, array in raw.items() if len(array) == len(raw["rewards"])}
    for number, each in enumerate(d4rl.sequence_dataset(environment, kept)):
        found |= {f"sequence/{number}/{name}": array for name, array in each.items()}
    for ends in (False, True):
        learned = d4rl.qlearning_dataset(environment, kept, terminate_on_end=ends)
        found |= {f"q{int(ends)}/{name}": array for name, array in learned.items()}
    return found


def by_d3rlpy(path: str, pictures: bool) -> dict[str, object]:
    import h5py
    import numpy as np
    from d3rlpy.dataset import MDPDataset

    with h5py.File(path) as file:
        names = ("observations", "actions", "rewards", "terminals", "timeouts")
        arrays = {name: file[name][:] for name in names}
    if pictures:
        arrays["observations"] = arrays["observations"][:, None]
    dataset = MDPDataset(**arrays)
    found: dict[str, object] = {}
    for number, episode in enumerate(dataset.episodes):
        for name in ("observations", "actions", "rewards", "terminated"):
            found[f"{number}/{name}"] = np.asarray(getattr(episode, name))
    batch = dataset.sample_transition_batch(64)
    sampled = ("observations", "actions", "rewards", "next_observations", "terminals")
    return found | {f"batch/{name}": np.asarray(getattr(batch, name)) for name in sampled}


def test_d4rl_gives_the_rows_the_episodes_and_the_transitions(tmp_path: Path):
    episodes = held_episodes()
    read = read_by("d4rl", by_d4rl, laid(D4rlFormat(), tmp_path, episodes))
    ours = {"observations": "observation", "actions": "action", "rewards": "reward"}
    for theirs, name in ours.items():
        np.testing.assert_array_equal(read[f"raw/{theirs}"], transitions(episodes, name))
    np.testing.assert_array_equal(read["raw/next_observations"], after(episodes, "observation"))
    np.testing.assert_array_equal(read["raw/terminals"].astype(bool), at_ends(episodes, "terminated"))
    np.testing.assert_array_equal(read["raw/timeouts"].astype(bool), at_ends(episodes, "truncated"))
    for number, episode in enumerate(episodes):
        for theirs, name in ours.items():
            np.testing.assert_array_equal(read[f"sequence/{number}/{theirs}"], episode.steps[name][:-1])
    assert f"sequence/{len(episodes)}/rewards" not in read
    cut = at_ends(episodes, "truncated")[:-1]  # it leaves the last row of all out, having no row after it
    np.testing.assert_array_equal(read["q0/rewards"], transitions(episodes, "reward")[:-1][~cut].astype(np.float32))
    inner = ~at_ends(episodes)[:-1][~cut]
    wanted = after(episodes, "observation")[:-1][~cut]
    np.testing.assert_array_equal(read["q0/next_observations"][inner], wanted[inner])
    np.testing.assert_array_equal(read["q1/terminals"], at_ends(episodes, "terminated")[:-1])


@pytest.mark.parametrize("picture", [False, True], ids=["vectors", "screens"])
def test_d3rlpy_gives_the_same_episodes_and_transitions(tmp_path: Path, picture: bool):
    episodes = held_episodes(picture, discrete=picture)
    read = read_by("d4rl", by_d3rlpy, laid(D4rlFormat(), tmp_path, episodes), picture)
    episodes = [episode for episode in episodes if episode.length > 1]  # d3rlpy leaves those of a single step out
    for number, episode in enumerate(episodes):
        observations = episode.steps["observation"][:-1]
        np.testing.assert_array_equal(read[f"{number}/observations"].reshape(observations.shape), observations)
        actions = episode.steps["action"][:-1]
        np.testing.assert_array_equal(read[f"{number}/actions"].reshape(actions.shape), actions)
        np.testing.assert_array_equal(read[f"{number}/rewards"].ravel(), episode.steps["reward"][:-1])
        assert bool(read[f"{number}/terminated"]) == episode.terminated
    place = {reward: index for index, reward in enumerate(transitions(episodes, "reward").tolist())}
    at = [place[reward] for reward in read["batch/rewards"].ravel().tolist()]
    wanted = transitions(episodes, "observation")[at]
    np.testing.assert_array_equal(read["batch/observations"].reshape(wanted.shape), wanted)
    inner = ~at_ends(episodes)[at]  # d3rlpy knows no observation after the last action of an episode
    wanted = after(episodes, "observation")[at]
    np.testing.assert_array_equal(read["batch/next_observations"].reshape(wanted.shape)[inner], wanted[inner])
