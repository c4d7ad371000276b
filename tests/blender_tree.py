"""A reader of RLHF-Blender's tree, written from its specification: it shares no code with what writes.

It evaluates the text of list and mapping columns as the server's loader does, and finds files as its routes do.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

WHOLE = {
    "Project": {"id", "created_timestamp"},
    "Experiment": {
        *("id", "created_timestamp", "run_timestamp", "last_modified", "pid", "num_timesteps", "checkpoint_frequency"),
        *("episodes_per_eval", "parallel_envs", "seed"),
    },
    "Environment": {"id", "registered", "has_state_loading"},
}
"""The INTEGER columns; all others are TEXT."""

EVALUATED = {
    "Project": {"project_tags", "project_environments", "project_datasets", "project_experiments"},
    "Experiment": {
        *("status", "environment_config", "demo_gen_environment_config", "hyperparams", "checkpoint_list", "exp_tags"),
        "wandb_tracking",
    },
    "Environment": {"observation_space_info", "action_space_info", "tags", "additional_gym_packages"},
}
"""The columns whose text is Python."""

ORDER = {
    "Project": (
        "id project_name created_timestamp project_path project_description project_tags project_environments "
        "project_datasets project_experiments wandb_entity"
    ),
    "Experiment": (
        "id exp_name created_timestamp run_timestamp last_modified pid status env_id environment_config "
        "demo_gen_environment_config framework path algorithm hyperparams num_timesteps checkpoint_frequency "
        "checkpoint_list episodes_per_eval parallel_envs observation_space_info action_space_info exp_tags exp_comment "
        "wandb_tracking device trained_agent_path seed"
    ),
    "Environment": (
        "id env_name registered registration_id observation_space_info action_space_info has_state_loading description "
        "tags gym_entry_point additional_gym_packages"
    ),
}

PROJECTED = (
    "projection_array labels centroids merged_points connections feature_projection transition_projection actions "
    "dones episode_indices"
)


def made_by_the_server(root: Path, rows: dict[str, dict[str, Any]]) -> None:
    """A registry as the server makes it, with one row in each of some tables."""
    root.mkdir(parents=True)
    with sqlite3.connect(root / "rlhfblender.db") as connection:
        for name, columns in ORDER.items():
            kinds = [f"{each} {'INTEGER' if each in WHOLE[name] else 'TEXT'}" for each in columns.split()[1:]]
            connection.execute(f"CREATE TABLE {name} (id INTEGER PRIMARY KEY AUTOINCREMENT,{','.join(kinds)})")
        connection.execute("CREATE TABLE TrackingItem (id INTEGER PRIMARY KEY AUTOINCREMENT, obs TEXT)")
        for name, row in rows.items():
            marks = ",".join("?" * len(row))
            connection.execute(f"INSERT INTO {name} ({','.join(row)}) VALUES ({marks})", [*row.values()])


def table(root: Path, name: str) -> list[dict[str, Any]]:
    """The rows of a table of `rlhfblender.db`, as the server's models hold them."""
    with sqlite3.connect(root / "rlhfblender.db") as connection:
        described = connection.execute(f"PRAGMA table_info({name})").fetchall()
        rows = connection.execute(f"SELECT * FROM {name} ORDER BY id").fetchall()
    assert [column[1] for column in described] == ORDER[name].split()
    for _, column, kind, not_null, default, _ in described:
        assert kind == ("INTEGER" if column in WHOLE[name] else "TEXT")
        assert (not_null, default) == (0, None)
    columns = [column[1] for column in described]
    return [{key: _value(name, key, value) for key, value in zip(columns, row, strict=True)} for row in rows]


def _value(name: str, column: str, value: Any) -> Any:
    assert isinstance(value, int if column in WHOLE[name] else str)
    if column not in EVALUATED[name] or (value == "" and column.endswith("_space_info")):
        return value
    return eval(value, {"np": np, "__builtins__": {"True": True, "False": False}})


@dataclass(frozen=True)
class Episode:
    """One episode as the user interface names it."""

    env_name: str
    benchmark_id: int
    checkpoint_step: int
    episode_num: int

    @property
    def folder(self) -> str:
        """The folder component of its files."""
        env = self.env_name.replace("/", "-") if "ALE" in self.env_name else self.env_name
        return f"{env}/{env}_{self.benchmark_id}_{self.checkpoint_step}"


def sampled(root: Path, experiment: dict[str, Any], env_name: str) -> list[Episode]:
    """The episodes that the sampler finds: those with a video, by checkpoint and number."""
    found = []
    for checkpoint in experiment["checkpoint_list"]:
        folder = root / "data/renders" / Episode(env_name, experiment["id"], int(checkpoint), 0).folder
        numbers = [int(file.stem) for file in folder.glob("*.mp4") if file.stem.isdecimal()]
        found += [Episode(env_name, experiment["id"], int(checkpoint), number) for number in numbers]
    return sorted(found, key=lambda each: (each.checkpoint_step, each.episode_num))


def step_details(root: Path, episode: Episode, step: int) -> dict[str, Any]:
    """What the route of a single step answers."""
    path = root / "data/episodes" / episode.folder / f"benchmark_{episode.episode_num}.npz"
    with np.load(path, allow_pickle=True) as npz:
        try:
            probabilities = np.atleast_1d(npz["probs"][step]).tolist()
        except IndexError:
            probabilities = [0.0]
        info = npz["infos"][step]
        info = info.item() if isinstance(info, np.ndarray) else info
        details = {"action": npz["actions"][step], "reward": float(npz["rewards"][step]), "info": info}
    environment = next(each for each in table(root, "Environment") if each["env_name"] == episode.env_name)
    return {**details, "probs": probabilities, "action_space": environment["action_space_info"]}


def per_step(root: Path, episode: Episode, kind: str) -> np.ndarray:
    """The rewards or uncertainties of an episode."""
    return np.load(root / "data" / kind / episode.folder / f"{kind}_{episode.episode_num}.npy", allow_pickle=False)


def projection(root: Path, experiment: dict[str, Any], checkpoint: str) -> dict[str, np.ndarray]:
    """What the route of points reads."""
    env = experiment["env_id"].replace("/", "_").replace(":", "_")
    with np.load(root / "data/saved_projections" / f"{env}_{experiment['id']}_{checkpoint}_PCA.npz") as npz:
        return {key: npz[key] for key in PROJECTED.split()}
