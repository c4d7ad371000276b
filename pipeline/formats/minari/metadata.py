"""`metadata.json` of a Minari dataset."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pipeline.formats.absent import FinalObservation
from pipeline.formats.contract import Outgoing
from pipeline.formats.minari.spaces import MinariSpaces
from pipeline.machine.files import files_below
from pipeline.sources.minari.layout import OWN, RESET_PLACE, ArrayPlace, row_as_json, table_as_json

MINARI_VERSION = "0.5.4"
"""Whose layout is written; other versions of Minari look at it to know whether they can read."""

TABLE_VERSION = 1

REQUIRED = ("gymnasium", "metaworld", "mujoco", "minigrid", "ale-py", "dm-control", "shimmy")
"""Packages that make environments: their versions become Minari's requirements."""


def minari_metadata(
    data: Outgoing, name: str, places: Sequence[ArrayPlace], spaces: MinariSpaces, data_format: str, folder: Path
) -> dict[str, Any]:
    """What Minari asks for, and below `repertoire` what an ingest of ours finds everything by."""
    provenance = data.provenance
    spec = environment_spec(provenance)
    resets = {name.removeprefix(RESET_PLACE): row for name, row in data.dataset.reset_specs().items()}
    return {
        "total_episodes": len(data),
        "total_steps": _steps(data),
        "data_format": data_format,
        "jpeg_encoding": False,
        "observation_space": json.dumps(spaces.observation),
        "action_space": json.dumps(spaces.action),
        **({"env_spec": json.dumps(spec)} if spec else {}),
        "dataset_id": name,
        "minari_version": MINARI_VERSION,
        "algorithm_name": _algorithm(provenance),
        "description": _description(data),
        "requirements": _requirements(provenance),
        "dataset_size": round(sum(file.stat().st_size for file in files_below(folder)) / 1e6, 1),
        OWN: {
            "table": TABLE_VERSION,
            "arrays": table_as_json(places),
            "resets": {name: row_as_json(row) for name, row in resets.items()},
            "provenance": data.origin(),
        },
    }


def environment_spec(provenance: Mapping[str, Any]) -> dict[str, Any] | None:
    """Gymnasium's specification of the environment, where it was one that can be made by its id."""
    facts = _environment(provenance)
    if facts.get("simulator") != "gymnasium" or not facts.get("id") or facts.get("wrappers"):
        return None
    return {
        "id": facts["id"],
        "entry_point": facts.get("entry_point"),
        "reward_threshold": None,
        "nondeterministic": False,
        "max_episode_steps": facts.get("max_steps"),
        "order_enforce": True,
        "disable_env_checker": False,
        "kwargs": facts.get("kwargs", {}),
        "additional_wrappers": [],
        "vector_entry_point": None,
    }


def _environment(provenance: Mapping[str, Any]) -> Mapping[str, Any]:
    return provenance.get("parameters", {}).get("environment", {})


def _algorithm(provenance: Mapping[str, Any]) -> str:
    """What acted: the policy, or the source that the episodes are from."""
    parameters = provenance.get("parameters", {})
    policy, source = parameters.get("policy", {}), parameters.get("source", {})
    return str(policy.get("algorithm") or policy.get("name") or source.get("source") or "unknown")


def _description(data: Outgoing) -> str:
    facts = f"{data.domain}/{data.task}/{data.name}"
    return f"{facts}, exported by {data.provenance.get('tool', 'repertoire')}; provenance is below `{OWN}`."


def _requirements(provenance: Mapping[str, Any]) -> list[str]:
    versions = {**provenance.get("versions", {}), **(_environment(provenance).get("versions") or {})}
    known = {name: version for name, version in versions.items() if name in REQUIRED and isinstance(version, str)}
    return [f"{name}=={version}" for name, version in sorted(known.items())]


def _steps(data: Outgoing) -> int:
    steps = data.dataset.states
    if data.final_observation is FinalObservation.DROP:
        steps -= int((~data.dataset.per_episode("has_final_observation")).sum())
    return steps
