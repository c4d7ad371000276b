"""Train an agent with Stable-Baselines3 on one of the domains, for policy=sb3 to collect with.

python examples/train_agent.py                                          half a minute: toy, task corner
python examples/train_agent.py domain=mujoco task=pendulum              half a minute
python examples/train_agent.py domain=atari task=pong --steps 4000000   some hours; better with a GPU

Further words are settings as run.py takes them. Writes rl_model_<steps>_steps.zip into outputs/agents/<domain>-<task>.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import torch
from gymnasium import spaces
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate
from stable_baselines3 import PPO
from stable_baselines3.common.callbacks import CheckpointCallback
from stable_baselines3.common.vec_env import DummyVecEnv, VecFrameStack, VecMonitor

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from pipeline.interfaces import ArraySpec, Environment  # noqa: E402

COPIES = 16


class AsGymnasium(gymnasium.Env[np.ndarray, np.ndarray]):
    """An environment of the project as Gymnasium wants it; grey pictures get a last axis, to be stacked along."""

    def __init__(self, environment: Environment) -> None:
        self._environment = environment
        self.observation_space = _shown(self._seen(environment.reset(0)))
        self.action_space = _taken(environment.action_spec)

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[np.ndarray, dict[str, Any]]:
        """Every episode has a seed of its own, drawn from the first one."""
        super().reset(seed=seed)
        return self._seen(self._environment.reset(int(self.np_random.integers(2**31)))), {}

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        """One step; the info tells success, where the environment knows it."""
        after = self._environment.step(np.asarray(action))
        return (
            self._seen(after.observation),
            after.reward,
            after.terminated,
            after.truncated,
            {"success": after.success},
        )

    def _seen(self, observation: Any) -> np.ndarray:
        array = np.asarray(observation)
        return array[..., None] if array.ndim == 2 else array


def _shown(first: np.ndarray) -> spaces.Box:
    low, high = (0, 255) if first.dtype == np.uint8 else (-np.inf, np.inf)
    return spaces.Box(low, high, first.shape, first.dtype.type)


def _taken(spec: ArraySpec) -> spaces.Space[Any]:
    if spec.dtype.kind in "iu":
        return spaces.Discrete(int(np.asarray(spec.high)) + 1)
    return spaces.Box(np.asarray(spec.low), np.asarray(spec.high), spec.shape, np.float32)


def train(make: Callable[[], Environment], steps: int, out: Path, checkpoints: int = 3, seed: int = 0) -> float:
    """Train PPO and keep so many of its moments. Returns the mean score of its last 100 episodes."""
    venv: Any = VecMonitor(DummyVecEnv([lambda: AsGymnasium(make())] * COPIES))
    pictures = len(venv.observation_space.shape) == 3
    if pictures:
        venv = VecFrameStack(venv, 4)
        settings = {"n_steps": 128, "n_epochs": 3, "clip_range": 0.1, "learning_rate": 5e-4, "device": "auto"}
    else:
        torch.set_num_threads(1)  # such small networks lose more by handing work to threads than they gain
        settings = {"n_steps": 128, "n_epochs": 6, "clip_range": 0.2, "learning_rate": 1e-3, "device": "cpu"}
    agent = PPO("CnnPolicy" if pictures else "MlpPolicy", venv, batch_size=256, ent_coef=0.01, seed=seed, **settings)
    agent.learn(steps, CheckpointCallback(max(1, steps // checkpoints // COPIES), str(out)))
    scores = [episode["r"] for episode in agent.ep_info_buffer or []]
    return float(np.mean(scores)) if scores else float("nan")


def main() -> None:
    """Compose the domain as run.py does, train, and say how to collect with what came out."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("settings", nargs="*", help="as for run.py: domain=mujoco task=pendulum domain.version=v5")
    parser.add_argument("--steps", type=int, default=150_000)
    parser.add_argument("--checkpoints", type=int, default=3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path)
    options = parser.parse_intermixed_args()
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        cfg = compose("config", ["domain=toy", *options.settings])
    domain = instantiate(cfg.domain, _convert_="object")
    task = domain.task(cfg.task or domain.tasks[0])
    out = options.out or ROOT / "outputs" / "agents" / f"{domain.name}-{task}"
    start = time.perf_counter()
    score = train(lambda: domain.environment(task=task), options.steps, out, options.checkpoints, options.seed)
    print(f"{domain.name}/{task}: {options.steps:,} steps, {time.perf_counter() - start:.0f} s, mean score {score:.2f}")
    words = " ".join(word for word in options.settings if not word.startswith(("domain=", "task=")))
    print(f"python run.py stage=collect domain={domain.name} task={task} {words}".rstrip(), end=" ")
    print(f"policy=sb3 policy.path={out} policy.checkpoints=all trust=true")


if __name__ == "__main__":
    main()
