"""`experiment.json`: what RLHF-Blender's registry says of a dataset, which is one checkpoint of an experiment."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from pipeline.dataset.columns import RowSpec
from pipeline.domains.actions import action_names
from pipeline.domains.atari import ROMS
from pipeline.formats.blender.arrays import ENTROPY, has_states
from pipeline.formats.blender.spaces import action_space_info, observation_space_info, recorded_environment
from pipeline.formats.contract import Outgoing

NO_CHECKPOINT = "-1"
"""Of a policy that is none of several checkpoints, as RLHF-Blender writes it for its random agent."""

FRAMEWORKS = {"random": "Random", "sb3": "StableBaselines3"}
"""Those that RLHF-Blender knows; the names of other policies stand for themselves."""

ONES = "ones"
"""Uncertainty where nobody knows it."""

ROWS = "T+1 rows an episode, a frame each; rewards, dones and infos are those of the step that led to a row"


def experiment_facts(data: Outgoing, observation: str, env_id: str | None, checkpoint: int | None) -> dict[str, Any]:
    """What a registry is to say, as JSON.

    Args:
        data: the dataset.
        observation: the array that becomes `obs`.
        env_id, checkpoint: what the user says instead of the dataset; None: what the dataset says.
    """
    known = known_facts(data, env_id, checkpoint)
    spaces = {
        "observation_space": observation_space_info(as_written(data.rows[observation])),
        "action_space": action_space_info(data, label_names_of(data.provenance.get("parameters", {}))),
    }
    return {
        "version": 1,
        **known,
        "environment": {**known["environment"], **spaces},
        "episodes": len(data),
        "rows": (data.dataset.lengths + 1).tolist(),
        "layout": ROWS,
        "uncertainty": "entropy" if ENTROPY in data.rows else ONES,
        "env_states": has_states(data.rows),
        "provenance": dict(data.provenance),
    }


def known_facts(data: Outgoing, env_id: str | None, checkpoint: int | None) -> dict[str, Any]:
    """What of `experiment_facts` is known before anything is written: environment, checkpoint, and what acted."""
    parameters = data.provenance.get("parameters", {})
    policy, identity = parameters.get("policy", {}), recorded_environment(data)
    step = checkpoint if checkpoint is not None else policy.get("step")
    return {
        "environment": facts_of_environment(identity, env_id or environment_id(data.domain, data.task, identity)),
        "checkpoint": NO_CHECKPOINT if step is None else str(step),
        "framework": framework_of(policy),
        "algorithm": str(policy.get("algorithm") or "").lower(),
        "seed": int(parameters.get("seed", 0)),
    }


def facts_of_environment(identity: Mapping[str, Any], env_id: str) -> dict[str, Any]:
    """How an environment is made, from what it says of itself.

    `entry_point` is that of the user's own code; None for an environment that an installed package registers.
    """
    return {
        "id": env_id,
        "simulator": identity.get("simulator"),
        "entry_point": identity.get("entry_point") if identity.get("source") else None,
        "packages": sorted(identity.get("packages") or {}),
        "kwargs": dict(identity.get("kwargs") or {}),
        "registration": dict(identity.get("registration") or {}),
        "max_steps": identity.get("max_steps"),
    }


def label_names_of(parameters: Mapping[str, Any]) -> dict[int, str]:
    """What discrete actions are called in a new row of an environment, by their number, from a manifest's `parameters`.

    Those of Gymnasium's environments keep their numbers, as RLHF-Blender registers them, until somebody names them.
    """
    is_gymnasium = parameters.get("environment", {}).get("simulator") == "gymnasium"
    return {} if is_gymnasium else action_names(parameters)


def acts_by_chance(data: Outgoing) -> bool:
    """Whether all actions were drawn by chance."""
    return bool(data.provenance.get("parameters", {}).get("policy", {}).get("name") == "random")


def framework_of(policy: Mapping[str, Any]) -> str:
    """The name by which RLHF-Blender knows what acted."""
    name = "sb3" if "algorithm" in policy else str(policy.get("name", ""))
    return FRAMEWORKS.get(name, name)


def environment_id(domain: str, task: str, identity: Mapping[str, Any]) -> str:
    """The id of a task's environment, without a slash unless it has one by itself.

    Gymnasium's own where it is one; of an Atari game that which RLHF-Blender's own configuration uses; of Meta-World
    that from which RLHF-Blender makes a task.
    """
    if (known := identity.get("id")) and identity.get("simulator") != "dm_control":
        return str(known)
    if domain == "atari":
        return f"{''.join(word.capitalize() for word in ROMS.get(task, task).split('_'))}NoFrameskip-v4"
    if domain == "metaworld":
        return f"metaworld-{task}-v3"
    return re.sub(r"[^\w.-]+", "-", f"{domain}-{task}")


def as_written(row: RowSpec) -> RowSpec:
    """With the axis that `obs` has more."""
    return RowSpec(row.dtype, (*row.shape, 1)) if len(row.shape) in (0, 2) else row
