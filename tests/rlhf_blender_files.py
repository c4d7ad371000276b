"""Trees as RLHF-Blender's recorder leaves them, written from their description: no code of the reader or the writer.

The recorder saves the state after its first reset, plays on through all episodes in one go, and puts each of them back
into that state; the environment resets itself at each end. So it keeps T+1 rows of the first episode, T of the others.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np


@dataclass
class Walk:
    """Walks through numbers: actions are added, the reward is the sum. Episodes end by themselves at their lengths."""

    lengths: list[int]
    shape: tuple[int, ...] = (3,)
    dtype: str = "float32"
    sparse: bool = False
    resets: int = 0
    taken: int = 0
    state: np.ndarray = field(default_factory=lambda: np.zeros(0))

    def reset(self) -> np.ndarray:
        self.state = np.random.default_rng(self.resets).integers(1, 100, self.shape).astype(np.float64)
        self.resets += 1
        self.taken = 0
        return self.seen()

    def seen(self) -> np.ndarray:
        return self.state.astype(self.dtype)

    def restore(self, state: np.ndarray) -> None:
        self.state, self.taken = state.copy(), 0

    def step(self, action: float, episode: int) -> tuple[np.ndarray, float, bool, dict[str, Any]]:
        """As a vectorised environment does: it resets itself, and the last observation is in the info."""
        self.state = self.state + action + 1
        self.taken += 1
        done = self.taken == self.lengths[episode]
        reward = float(self.state.sum()) if done or not self.sparse else 0.0
        info = {"TimeLimit.truncated": False, "lives": 3 - episode % 3, "phase": "end" if done else "way"}
        last = self.seen()
        if done:
            info |= {"terminal_observation": last, "episode": {"r": reward, "l": self.taken, "t": 0.25}}
            self.reset()
        return self.seen() if done else last, reward, done, info


@dataclass
class RecordedRun:
    """What the recorder keeps of a run, row by row, and where it splits; what really happened, episode by episode."""

    rows: list[dict[str, Any]]
    true: list[dict[str, list[Any]]]

    def episodes(self) -> list[list[dict[str, Any]]]:
        found: list[list[dict[str, Any]]] = [[]]
        for row in self.rows:
            found[-1].append(row)
            if row["dones"]:
                found.append([])
        return found[:-1]


def recorded(walk: Walk, most: int = 1000, trained: bool = True, box: bool = False) -> RecordedRun:
    """A run of as many episodes as the walk has; those of more than `most` steps are cut there."""
    rng, rows, true = np.random.default_rng(5), [], []
    obs = walk.reset()
    start, reward, done, info = walk.state.copy(), 0.0, False, dict[str, Any]()
    episode, steps = 0, 0
    true.append({"obs": [obs], "actions": [], "rewards": []})
    while True:
        action = rng.normal() if box else int(rng.integers(0, 4))
        said = {"value": np.float32(rng.normal()), "entropy": np.float32(rng.random())} if trained else _random_agent()
        rows.append({"obs": obs, "actions": action, "rewards": reward, "dones": done, "infos": {**info, **said}})
        if done:
            episode, steps = episode + 1, 0
            if episode == len(walk.lengths):
                return RecordedRun(rows, true)
            walk.restore(start)
            true.append({"obs": [walk.seen()], "actions": [], "rewards": []})
        obs, reward, done, info = walk.step(np.float32(action), episode)
        steps += 1
        true[-1]["obs"].append(info.get("terminal_observation", obs))
        true[-1]["actions"].append(action)
        true[-1]["rewards"].append(reward)
        done = done or steps == most


def _random_agent() -> dict[str, float]:
    return {"value": 1.0, "entropy": 1.0}


def write_run(
    tree: Path,
    run: RecordedRun,
    env: str = "CartPole-v1",
    experiment: int = 1,
    checkpoint: str = "-1",
    documented: str = "",
    trained: bool = True,
    cumulative: bool = False,
    compressed: bool = False,
    changed: Mapping[str, Any] | None = None,
) -> Path:
    """Write the files of a run below `tree/data`; returns the folder of its episodes.

    `documented` is the experiment's name in the manual's layout. `changed` arrays replace those of every .npz; None
    leaves one out.
    """
    spelt = env.replace("/", "-") if "ALE" in env else env
    place = f"{documented or spelt}/{spelt}_{experiment}_{checkpoint}"
    episodes = run.episodes()
    kinds = {kind: tree / "data" / kind / place for kind in ("episodes", "rewards", "uncertainty", "env_states")}
    for folder in kinds.values():
        folder.mkdir(parents=True, exist_ok=True)
    for number, rows in enumerate(episodes):
        arrays = _arrays(rows, number, episodes, trained) | dict(changed or {})
        names = ("{}", "{}", "{}") if documented else ("benchmark_{}", "rewards_{}", "uncertainty_{}")
        stems = [name.format(number) for name in names]
        save = np.savez_compressed if compressed else np.savez
        save(kinds["episodes"] / stems[0], **{name: array for name, array in arrays.items() if array is not None})
        rewards = np.array([row["rewards"] for row in rows], np.float64)
        np.save(kinds["rewards"] / stems[1], np.cumsum(rewards) if cumulative else rewards)
        entropy = np.array([row["infos"]["entropy"] for row in rows], np.float32)
        np.save(kinds["uncertainty"] / stems[2], entropy if trained else np.ones(len(rows)))
    np.save(kinds["env_states"] / f"env_states_{len(episodes)}", np.empty((0, 1), object))  # it is never removed there
    return kinds["episodes"]


def _arrays(rows: list[dict[str, Any]], number: int, episodes: list[Any], trained: bool) -> dict[str, np.ndarray]:
    """The arrays of an .npz, in the order in which the recorder writes them."""
    obs = np.stack([row["obs"] for row in rows])
    actions = np.array([row["actions"] for row in rows])
    totals = [float(sum(row["rewards"] for row in each)) for each in episodes] if number == 0 else []
    return {
        "obs": obs[..., np.newaxis] if obs.ndim == 3 else obs,
        "rewards": np.array([row["rewards"] for row in rows], np.float64),
        "dones": np.array([row["dones"] for row in rows]),
        "actions": actions.astype(np.float32) if actions.dtype.kind == "f" else actions,
        "infos": boxed(row["infos"] for row in rows),
        "features": np.zeros(0),
        "probs": np.zeros(0) if trained or actions.dtype.kind == "f" else np.zeros((len(rows), 1), np.int64),
        "episode_rewards": np.array(totals),
        "episode_lengths": np.array([len(each) for each in episodes] if number == 0 else [], np.int64),
    }


def boxed(infos: Iterable[Any]) -> np.ndarray:
    """(rows,) objects, each an array without an axis that holds a dict."""
    listed = [np.array(info, dtype=object) for info in infos]
    found = np.empty(len(listed), object)
    for row, each in enumerate(listed):
        found[row] = each
    return found
