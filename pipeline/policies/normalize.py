"""The statistics with which Stable-Baselines3's VecNormalize scaled what an agent saw."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Float32, Num

from pipeline.errors import InvalidInput
from pipeline.machine.files import is_plain_file
from pipeline.policies.opaque import read_opaque
from pipeline.wording import error_text

PLAIN = ""
"""The name of an observation that is one array."""


@dataclass(frozen=True)
class Scaling:
    """Subtracts a mean, divides by a standard deviation and clips: one array of observations."""

    mean: Float[np.ndarray, "*shape"]
    variance: Float[np.ndarray, "*shape"]
    epsilon: float
    limit: float

    def __call__(self, observation: Num[np.ndarray, "*shape"]) -> Float32[np.ndarray, "*shape"]:
        """The scaled observation."""
        scaled = (observation - self.mean) / np.sqrt(self.variance + self.epsilon)
        return np.clip(scaled, -self.limit, self.limit).astype(np.float32)


def read_scalings(path: Path) -> Mapping[str, Scaling]:
    """The scaling of each array of an observation by its name; none where only rewards were scaled.

    Nothing that the pickle names is imported. Raises InvalidInput for a file that holds no VecNormalize.
    """
    is_plain_file(path)
    try:
        saved: dict[str, Any] = vars(read_opaque(path.read_bytes()))
        if not saved["norm_obs"]:
            return {}
        found = saved["obs_rms"] if isinstance(saved["obs_rms"], dict) else {PLAIN: saved["obs_rms"]}
        options = float(saved["epsilon"]), float(saved["clip_obs"])
        return {name: Scaling(np.asarray(each.mean), np.asarray(each.var), *options) for name, each in found.items()}
    except Exception as error:  # a damaged pickle may fail in any way
        raise InvalidInput(f"{path} holds no statistics that VecNormalize.save wrote: {error_text(error)}") from error


def statistics_beside(file: Path) -> Path | None:
    """The VecNormalize statistics that belong to an agent's zip, where they lie at one of the usual places.

    `<prefix>_vecnormalize_<steps>_steps.pkl` (CheckpointCallback), `vecnormalize.pkl` or `vec_normalize.pkl` beside it,
    or in the one folder beside it that has such a file (RL Zoo). Raises InvalidInput where several folders do.
    """
    there = [path for path in (*file.parent.glob("*.pkl"), *file.parent.glob("*/*.pkl")) if path.is_file()]
    name = usual_place(file.name, [path.relative_to(file.parent).as_posix() for path in there])
    return file.parent / name if name else None


def usual_place(file: str, there: list[str]) -> str | None:
    """Which of the names `there`, relative to the folder of the zip `file`, are its statistics."""
    prefix, steps = numbered(file)
    beside = [f"{prefix}_vecnormalize_{steps}_steps.pkl"] if steps is not None else []
    for name in (*beside, *_NAMES):
        if name in there:
            return name
    below = sorted(name for name in there if name.count("/") == 1 and name.split("/")[1] in _NAMES)
    if len(below) > 1:
        raise InvalidInput(
            f"Which VecNormalize statistics belong to {file}? Beside it are {', '.join(below)}. "
            f"Choose: policy.normalize=FILE.pkl, or policy.normalize=false for none."
        )
    return below[0] if below else None


def numbered(file: str) -> tuple[str, int | None]:
    """Prefix and step of a name that CheckpointCallback gave: rl_model_800000_steps.zip is ("rl_model", 800000)."""
    words = file.removesuffix(".zip").rsplit("_", 2)
    if len(words) == 3 and words[2] == "steps" and words[1].isdecimal():
        return words[0], int(words[1])
    return file.removesuffix(".zip"), None


_NAMES = ("vecnormalize.pkl", "vec_normalize.pkl")
