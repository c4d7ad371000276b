"""Train an agent on an environment of your own, examples/my_package, for policy=sb3 to collect with. About a minute.

python examples/train_my_agent.py
python examples/train_my_agent.py --difficulty easy --steps 50000 --out runs/quick

Writes rl_model_100000_steps.zip and rl_model_200000_steps.zip into runs/my_agent.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import gymnasium
import my_package  # noqa: F401  # its import registers MyEnv-v0; it lies beside this file
import numpy as np
import torch
from stable_baselines3 import PPO
from stable_baselines3.common.callbacks import CheckpointCallback
from stable_baselines3.common.vec_env import DummyVecEnv, VecMonitor

COPIES = 16


def train(steps: int, out: Path, difficulty: str = "hard", checkpoints: int = 2, seed: int = 0) -> float:
    """Train PPO and keep so many of its moments. Returns the mean score of its last 100 episodes."""
    torch.set_num_threads(1)  # such small networks lose more by handing work to threads than they gain
    venv = VecMonitor(DummyVecEnv([lambda: gymnasium.make("MyEnv-v0", difficulty=difficulty)] * COPIES))
    settings = {"n_steps": 128, "batch_size": 512, "n_epochs": 4, "learning_rate": 1e-3, "gamma": 0.97}
    agent = PPO("MultiInputPolicy", venv, **settings, ent_coef=0.01, seed=seed, device="cpu")
    agent.learn(steps, CheckpointCallback(max(1, steps // checkpoints // COPIES), str(out)))
    scores = [episode["r"] for episode in agent.ep_info_buffer or []]
    return float(np.mean(scores)) if scores else float("nan")


def main() -> None:
    """Train, and say how to collect with what came out."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=200_000)
    parser.add_argument("--difficulty", default="hard")
    parser.add_argument("--checkpoints", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("runs/my_agent"))
    options = parser.parse_args()
    start = time.perf_counter()
    score = train(options.steps, options.out, options.difficulty, options.checkpoints, options.seed)
    print(f"MyEnv-v0: {options.steps:,} steps, {time.perf_counter() - start:.0f} s, mean score {score:.2f}")
    print("PYTHONPATH=examples python run.py stage=collect domain=gym domain.env_id=MyEnv-v0", end=" ")
    print(f"'domain.packages=[my_package]' '+domain.env_kwargs={{difficulty: {options.difficulty}}}'", end=" ")
    print(f"policy=sb3 policy.path={options.out} policy.checkpoints=all trust=true")


if __name__ == "__main__":
    main()
