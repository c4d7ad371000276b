"""VecNormalize's statistics: the same numbers, found where its users keep them, and nothing run."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pipeline.errors import InvalidInput
from pipeline.policies.normalize import PLAIN, numbered, read_scalings, statistics_beside
from tests.pipeline.policies.agents import FORCE, Gym, Small


@pytest.mark.parametrize("shows", ["vector", "several", "picture"])
def test_observations_are_scaled_as_vecnormalize_does(tmp_path, shows):
    from stable_baselines3.common.vec_env import DummyVecEnv, VecNormalize

    venv = VecNormalize(DummyVecEnv([lambda: Gym(Small(shows, FORCE))]), clip_obs=2.0)
    venv.reset()
    for _ in range(20):
        venv.step(np.zeros((1, 2), np.float32))
    venv.save(str(tmp_path / "v.pkl"))
    shown = venv.get_original_obs()
    expected, scalings = venv.normalize_obs(shown), read_scalings(tmp_path / "v.pkl")
    if not isinstance(shown, dict):
        shown, expected = {PLAIN: shown}, {PLAIN: expected}
    assert set(scalings) == set(shown)
    for name, scaling in scalings.items():
        ours = scaling(shown[name][0])
        assert ours.dtype == np.float32
        np.testing.assert_array_equal(ours, expected[name][0])


def test_rewards_alone_leave_observations_alone(tmp_path):
    from stable_baselines3.common.vec_env import DummyVecEnv, VecNormalize

    VecNormalize(DummyVecEnv([lambda: Gym(Small())]), norm_obs=False).save(str(tmp_path / "v.pkl"))
    assert read_scalings(tmp_path / "v.pkl") == {}


@pytest.mark.parametrize(
    ("there", "found"),
    [
        ([], None),
        (["vecnormalize.pkl"], "vecnormalize.pkl"),
        (["vec_normalize.pkl"], "vec_normalize.pkl"),
        (["Hopper-v3/vecnormalize.pkl", "replay_buffer.pkl"], "Hopper-v3/vecnormalize.pkl"),
        (
            ["rl_model_vecnormalize_300_steps.pkl", "rl_model_vecnormalize_200_steps.pkl"],
            "rl_model_vecnormalize_300_steps.pkl",
        ),
        (["rl_model_vecnormalize_300_steps.pkl", "vecnormalize.pkl"], "rl_model_vecnormalize_300_steps.pkl"),
        (["rl_model_vecnormalize_200_steps.pkl"], None),
    ],
)
def test_the_usual_places_are_known(tmp_path: Path, there: list[str], found: str | None):
    for name in there:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    expected = None if found is None else tmp_path / found
    assert statistics_beside(tmp_path / "rl_model_300_steps.zip") == expected


def test_several_candidates_are_an_error(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "vecnormalize.pkl").touch()
    with pytest.raises(InvalidInput, match=r"a/vecnormalize\.pkl, b/vecnormalize\.pkl.*policy\.normalize"):
        statistics_beside(tmp_path / "ppo.zip")


@pytest.mark.parametrize("content", [b"", b"text", b"\x80\x04N.", b"\x80\x04}."])
def test_other_files_are_refused(tmp_path, content):
    (tmp_path / "v.pkl").write_bytes(content)
    with pytest.raises(InvalidInput, match=r"v\.pkl holds no statistics"):
        read_scalings(tmp_path / "v.pkl")


def test_numbered_names_are_those_of_checkpointcallback():
    assert numbered("rl_model_800000_steps.zip") == ("rl_model", 800_000)
    assert numbered("my_ppo_5_steps.zip") == ("my_ppo", 5)
    assert numbered("best_model.zip") == ("best_model", None)
    assert numbered("two_steps.zip") == ("two_steps", None)
