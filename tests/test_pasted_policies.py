"""Suggestions about agents and networks that do not fit, each provoked and pasted into a warm shell."""

import shlex

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium import spaces
from stable_baselines3 import PPO
from stable_baselines3.common.vec_env import DummyVecEnv, VecNormalize

from tests.warm_shell import WarmShell

pytestmark = pytest.mark.slow

ONE = ("stage=collect", "episodes=1", "workers=1", "trust=true")
TOY = (*ONE, "domain=toy", "task=corner")
PONG = (*ONE, "domain=atari", "task=pong", "domain.max_steps=5")
PENDULUM = (*ONE, "domain=gym", "domain.env_id=Pendulum-v1", "domain.max_steps=5")
CORNER, TWO_CORNERS = (spaces.Box(-9, 9, (9 * seen,), np.float32) for seen in (1, 2))
SCREEN = spaces.Box(0, 255, (84, 84), np.uint8)


class Still(gym.Env):
    """Shows and takes what it is told, and never moves."""

    def __init__(self, shows, actions):
        self.observation_space, self.action_space = shows, spaces.Discrete(actions)

    def reset(self, seed=None, options=None):
        return np.zeros_like(self.observation_space.sample()), {}


class Fixed(torch.nn.Module):
    """Gives the same row for every observation."""

    def __init__(self, row):
        super().__init__()
        self.row = row

    def forward(self, seen: torch.Tensor) -> torch.Tensor:
        return self.row.unsqueeze(0).repeat_interleave(seen.shape[0], 0)


@pytest.fixture(scope="module")
def filled(tmp_path_factory):
    """A shell beside agents that were made and not trained, and networks that give one row."""
    shell = WarmShell(tmp_path_factory.mktemp("a b"), "policies.sb3.network", "policies.torch_module")
    for name, shows, actions in (("toy", CORNER, 5), ("six", SCREEN, 6), ("all", SCREEN, 18), ("two", TWO_CORNERS, 5)):
        agent = PPO("MlpPolicy", Still(shows, actions), policy_kwargs={"net_arch": [4]}, device="cpu", seed=0)
        (shell.folder / name).mkdir()
        agent.save(shell.folder / name / "agent.zip")
    narrow = Still(spaces.Box(-9, 9, (3,), np.float32), 5)
    VecNormalize(DummyVecEnv([lambda: narrow])).save(str(shell.folder / "narrow.pkl"))
    for name, row in (
        ("number", torch.tensor(1)),
        ("action", torch.tensor(1)),
        ("force", torch.tensor([0.5])),
        ("logits", torch.zeros(5)),
    ):
        torch.jit.script(Fixed(row)).save(str(shell.folder / f"{name}.pt"))
    yield shell
    shell.close()


@pytest.mark.parametrize(
    ("words", "mended"),
    [
        ((*TOY, "policy=sb3", "policy.path=toy", "policy.normalize=gone.pkl"), "policy.normalize=auto"),
        ((*TOY, "policy=sb3", "policy.path=toy", "policy.normalize=narrow.pkl"), "policy.normalize=false"),
        ((*TOY, "policy=sb3", "policy.path=two"), "policy.stack=2"),
        ((*PONG, "policy=sb3", "policy.path=all"), "domain.environment.full_actions=true"),
        (
            (*PONG, "policy=sb3", "policy.path=six", "domain.environment.full_actions=true"),
            "domain.environment.full_actions=false",
        ),
        ((*TOY, "policy=torchscript", "policy.path=number.pt"), "policy.output=actions"),
        ((*PENDULUM, "policy=torchscript", "policy.path=force.pt"), "policy.output=actions"),
        ((*TOY, "policy=torchscript", "policy.path=logits.pt", "policy.output=actions"), "policy.output=logits"),
        ((*TOY, "policy=random", "policy.outputs=true"), "policy=random"),
        (
            (*TOY, "policy=torchscript", "policy.path=action.pt", "policy.output=actions", "policy.outputs=true"),
            "trust=true",
        ),
    ],
    ids=lambda words: words if isinstance(words, str) else " ".join(words[-2:]),
)
def test_what_does_not_fit_is_mended_by_its_suggestion(shell, words, mended, tmp_path):
    (line,) = shell.suggested(*words, f"dataset={tmp_path.name}")
    assert mended in shlex.split(line)
    assert "built" in shell.pasted(line)
