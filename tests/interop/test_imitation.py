"""imitation loads what we write, and learns from it; older versions of datasets load it, too."""

from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest

from pipeline.episode import Episode, with_last_row
from pipeline.formats.imitation import ImitationFormat
from tests.interop.held import laid
from tests.interop.side import read_by

pytestmark = pytest.mark.interop


def by_imitation(place):
    import numpy as np
    from gymnasium.spaces import Box, Discrete
    from imitation.algorithms.bc import BC
    from imitation.data import rollout, serialize

    episodes = serialize.load_with_rewards(place)
    transitions = rollout.flatten_trajectories_with_rew(list(episodes))
    space = Box(-np.inf, np.inf, transitions.obs.shape[1:], np.float32)
    rng = np.random.default_rng(0)
    learner = BC(observation_space=space, action_space=Discrete(2), rng=rng, demonstrations=transitions)
    learner.train(n_batches=20, progress_bar=False)
    chosen, _ = learner.policy.predict(transitions.obs[:64].astype(np.float32))
    found = {"chosen": chosen, "terminal": np.array([each.terminal for each in episodes])}
    for number, each in enumerate(episodes):
        found |= {f"{number}:obs": each.obs, f"{number}:acts": each.acts, f"{number}:rews": each.rews}
        found[f"{number}:infos"] = np.array([len(info) for info in each.infos])
    return found


def by_datasets(place):
    import datasets

    loaded = datasets.load_from_disk(place)
    return {"version": datasets.__version__, "rows": len(loaded), "obs": loaded[0]["obs"], "acts": loaded[0]["acts"]}


@pytest.fixture
def cartpole() -> list[Episode]:
    """Episodes that lean towards where the pole falls."""
    env, episodes = gym.make("CartPole-v1"), []
    for seed in range(4):
        seen, ended = [env.reset(seed=seed)[0]], False
        actions = []
        while not ended and len(actions) < 60:
            actions.append(int(seen[-1][2] > 0))
            observation, _, ended, _, _ = env.step(actions[-1])
            seen.append(observation)
        steps = {
            "observation": np.stack(seen),
            "action": with_last_row("action", np.array(actions)),
            "reward": with_last_row("reward", np.ones(len(actions))),
            "discount": with_last_row("discount", np.ones(len(actions))),
        }
        if ended:
            steps["discount"][-2] = 0
        episodes.append(Episode(steps, terminated=ended, truncated=not ended))
    return episodes


def test_imitation_learns_from_what_it_loads(cartpole: list[Episode], tmp_path: Path):
    read = read_by("imitation", by_imitation, laid(ImitationFormat(), tmp_path, cartpole))
    assert read["terminal"].tolist() == [episode.terminated for episode in cartpole]
    for number, episode in enumerate(cartpole):
        np.testing.assert_array_equal(read[f"{number}:obs"], episode.steps["observation"])
        np.testing.assert_array_equal(read[f"{number}:acts"], episode.steps["action"][:-1])
        np.testing.assert_array_equal(read[f"{number}:rews"], episode.steps["reward"][:-1])
        assert read[f"{number}:infos"].tolist() == [0] * episode.length
    assert set(read["chosen"].tolist()) <= {0, 1}


@pytest.mark.parametrize("environment", ["datasets36", "imitation"])
def test_versions_of_datasets_load_it(cartpole: list[Episode], tmp_path: Path, environment: str):
    read = read_by(environment, by_datasets, laid(ImitationFormat(), tmp_path, cartpole))
    assert str(read["version"]).startswith("3.6") == (environment == "datasets36")
    assert int(read["rows"]) == len(cartpole)
    np.testing.assert_array_equal(np.float32(read["obs"]), cartpole[0].steps["observation"])
    np.testing.assert_array_equal(read["acts"], cartpole[0].steps["action"][:-1])
