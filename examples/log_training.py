"""Train a Stable-Baselines3 PPO agent and keep every episode that it sees on its way.

python examples/log_training.py [--env CartPole-v1] [--steps 40000] [--checkpoints FOLDER]

Run it again with the same settings, also after a kill: it trains another agent, and the dataset goes on.
"""

from __future__ import annotations

import argparse
import logging
import sys
from pathlib import Path

import gymnasium as gym
import numpy as np
import torch
from stable_baselines3 import PPO
from stable_baselines3.common.callbacks import CheckpointCallback

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from pipeline import EpisodeDataset, EpisodeLog, RecordEpisodes, environment_facts  # noqa: E402
from pipeline.artifacts.artifact import Artifact  # noqa: E402

ROWS, WIDTH = 12, 40


def train(options: argparse.Namespace) -> Artifact | None:
    """Train with the recorder closest to the simulator; returns the dataset of all sessions so far."""
    env = gym.make(options.env)
    facts = {"agent": "sb3-ppo", "environment": environment_facts(env), "seed": options.seed, "steps": options.steps}
    torch.set_num_threads(1)  # the network is small: threads would mostly wait for each other
    with EpisodeLog(options.root, domain="gym", task=task_of(options.env), dataset=options.dataset, facts=facts) as log:
        seed = options.seed + len(log)  # another session shall not play the same episodes again
        agent = PPO("MlpPolicy", RecordEpisodes(env, log), n_steps=512, seed=seed, device="cpu")
        agent.learn(options.steps, CheckpointCallback(options.steps // options.count, options.checkpoints, "rl_model"))
        return log.close()


def task_of(env_id: str) -> str:
    """`cartpole-v1` for `CartPole-v1`, `pong-v5` for `ALE/Pong-v5`."""
    return env_id.rpartition("/")[2].lower()


def curve(returns: np.ndarray) -> str:
    """The mean return of some equal stretches of the episodes, as bars."""
    stretches = [each for each in np.array_split(np.arange(len(returns)), ROWS) if len(each)]
    means = [float(returns[each].mean()) for each in stretches]
    low, high = min(*means, 0.0), max(*means, 1e-9)
    lines = []
    for each, mean in zip(stretches, means, strict=True):
        bar = "#" * round(WIDTH * (mean - low) / (high - low))
        lines.append(f"episodes {each[0]:>5} to {each[-1]:>5}  mean return {mean:>9.1f}  {bar}")
    return "\n".join(lines)


def main() -> None:
    """Train, then say what was stored and how the returns grew."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--env", default="CartPole-v1", help="a Gymnasium id (default: %(default)s)")
    parser.add_argument("--steps", type=int, default=40_000, help="steps to train (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--root", default=str(ROOT / "outputs"), help="holds the dataset (default: %(default)s)")
    parser.add_argument("--dataset", default="ppo-online-v1", help="its name (default: %(default)s)")
    parser.add_argument("--checkpoints", default=str(ROOT / "outputs" / "agents" / "ppo-online"))
    parser.add_argument("--count", type=int, default=4, help="how many checkpoints (default: %(default)s)")
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    artifact = train(options)
    if artifact is None:
        print(f"No episode was finished in {options.steps} steps.")
        return
    dataset = EpisodeDataset.of(artifact)
    print(curve(dataset.per_episode("return")))
    print(
        f"{len(dataset)} episodes, {dataset.states} states: {artifact.path}\nthe last one: {dataset[len(dataset) - 1]}"
    )
    print(f"checkpoints: {', '.join(sorted(path.name for path in Path(options.checkpoints).glob('rl_model_*.zip')))}")
    print(f"in {options.checkpoints}; episodes of them alone: python run.py stage=collect domain=... \\")
    print(f"  policy=sb3 policy.path={options.checkpoints} trust=true")


if __name__ == "__main__":
    main()
