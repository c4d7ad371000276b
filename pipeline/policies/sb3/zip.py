"""What the zip of a Stable-Baselines3 agent says about itself, read without running anything that is in it."""

from __future__ import annotations

import base64
import json
import pickle
import struct
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from pipeline.errors import InvalidInput, unknown_name
from pipeline.machine.files import check_unpacked, is_plain_file
from pipeline.machine.pickles import check_pickle
from pipeline.policies.normalize import numbered
from pipeline.policies.opaque import read_opaque
from pipeline.policies.spaces import Space, read_space
from pipeline.wording import error_text, first_line, json_words

NOT_READ: Any = (OSError, EOFError, KeyError, ValueError, RuntimeError, zipfile.BadZipFile, zlib.error, struct.error)
"""What Python's readers of zips and of JSON raise for damaged ones."""

MOST_STEPS = 10**15
"""No training has so many; a larger count in a zip is damage."""

PICKLED = ":serialized:"
"""Key of the part of a setting that only Python can read."""

ALGORITHMS = {
    "ppo": (),
    "a2c": (),
    "dqn": (),
    "sac": (),
    "td3": (),
    "ddpg": (),
    "ars": (),
    "qrdqn": ("qr_dqn",),
    "tqc": (),
    "trpo": (),
    "crossq": (),
    "ppo_lstm": ("recurrentppo", "recurrent_ppo"),
    "maskableppo": ("maskable_ppo", "ppo_mask"),
}
"""The algorithms by the names of RL Zoo, and other names that are understood."""

CONTRIB = ("ars", "qrdqn", "tqc", "trpo", "crossq", "ppo_lstm", "maskableppo")
"""Those that come with sb3-contrib."""


@dataclass(frozen=True)
class AgentFile:
    """One zip. Everything is read from the JSON text in it; the spaces are data inside pickles, and read as data.

    `path` must be a file. All attributes raise InvalidInput where it is no agent's zip.

    Args:
        path: the zip.
        asked: the algorithm's name, where the zip does not tell.
    """

    path: Path
    asked: str | None = None

    @cached_property
    def data(self) -> Mapping[str, Any]:
        """The settings: JSON values, and mappings with the key PICKLED for what JSON cannot hold."""
        if not is_plain_file(self.path):
            raise InvalidInput(f"There is no agent {self.path}. Give a Stable-Baselines3 zip: policy.path=FILE.zip")
        check_unpacked(self.path)
        try:
            with zipfile.ZipFile(self.path) as archive:
                data = json.loads(archive.read("data"))
            if not isinstance(data, dict):
                raise ValueError(f"its settings are {json_words(data)}, not an object")
        except NOT_READ as error:
            raise InvalidInput(
                f"{self.path} is not the zip of a Stable-Baselines3 agent: {first_line(error)}"
            ) from error
        return data

    @cached_property
    def algorithm(self) -> str:
        """The algorithm's name in RL Zoo. Raises InvalidInput where neither the zip nor the user tells."""
        stated = _algorithm(self.data)
        asked = None if self.asked is None else _known(self.asked)
        if asked is None and stated is None:
            raise InvalidInput(
                f"{self.path} does not tell its algorithm. Say it: policy.algorithm=NAME, "
                f"one of {', '.join(ALGORITHMS)}."
            )
        if asked and stated and asked != stated and not (stated == "ppo" and asked in ("ppo_lstm", "maskableppo")):
            raise InvalidInput(
                f"policy.algorithm={self.asked}, but {self.path} was trained with {stated}. Leave it out."
            )
        return asked or str(stated)

    @cached_property
    def step(self) -> int | None:
        """Training steps: as its name says, or as it counted itself."""
        _, step = numbered(self.path.name)
        counted = self.data.get("num_timesteps")
        return step if step is not None else counted if type(counted) is int and 0 <= counted < MOST_STEPS else None

    @property
    def name(self) -> str:
        """Such as ppo-2000000."""
        words = [self.algorithm.replace("_", "-"), *([] if self.step is None else [str(self.step)])]
        return "-".join(words)

    @cached_property
    def observations(self) -> Space:
        """What it was trained to see."""
        return self._space("observation_space")

    @cached_property
    def actions(self) -> Space:
        """What it was trained to do."""
        return self._space("action_space")

    @property
    def exploration(self) -> float:
        """The share of random actions in its last training step; 0 where it had none."""
        rate = self.data.get("exploration_rate", 0.0)
        if isinstance(rate, bool) or not isinstance(rate, int | float) or not 0 <= rate <= 1:
            raise InvalidInput(f"{self.path} is damaged: its exploration_rate is {json_words(rate)}, not from 0 to 1.")
        return float(rate)

    def member(self, name: str) -> bytes:
        """A file in the zip."""
        try:
            with zipfile.ZipFile(self.path) as archive:
                return archive.read(name)
        except NOT_READ as error:
            raise InvalidInput(f"{self.path} is damaged, or no agent: {name} cannot be read: {error}") from error

    def pickled(self, key: str) -> bytes | None:
        """The pickle of a setting that JSON could not hold; None for one that it could."""
        value = self.data.get(key)
        if not isinstance(value, dict) or PICKLED not in value:
            return None
        try:
            return base64.b64decode(value[PICKLED])
        except (TypeError, ValueError) as error:
            raise InvalidInput(f"{self.path} is damaged: its {key} is no pickle in base 64: {error}") from error

    def _space(self, key: str) -> Space:
        data = self.pickled(key)
        if data is None:
            raise InvalidInput(f"{self.path} does not tell its {key.replace('_', ' ')}: it is no agent's zip.")
        try:
            return read_space(read_opaque(data))
        except InvalidInput:
            raise
        except Exception as error:  # a damaged pickle may fail in any way
            raise InvalidInput(
                f"The {key.replace('_', ' ')} in {self.path} cannot be read: {error_text(error)}"
            ) from error


def is_agent(path: Path) -> bool:
    """Whether a file is the zip of an agent: other tools put other zips beside it."""
    try:
        with zipfile.ZipFile(path) as archive:
            return {"data", "policy.pth"} <= set(archive.namelist())
    except NOT_READ:
        return False


def unpickled(agent: AgentFile, key: str) -> Any:
    """A setting in full: THIS RUNS CODE that the zip brings. Only for a zip that the user trusts."""
    data = agent.pickled(key)
    if data is None:
        return agent.data.get(key)
    try:
        check_pickle(data)
        return pickle.loads(data)
    except Exception as error:  # a pickle may raise anything
        raise InvalidInput(
            f"{agent.path} needs code that is not here, to make its {key}: {error!r}. "
            f"Install it, or put its module on PYTHONPATH."
        ) from error


def _known(name: str) -> str:
    for algorithm, others in ALGORITHMS.items():
        if name.lower() in (algorithm, *others):
            return algorithm
    raise unknown_name("algorithm", name, ALGORITHMS)


def _algorithm(data: Mapping[str, Any]) -> str | None:
    """Which algorithm has these settings, and no other one; None where none is known."""
    policy = data.get("policy_class")
    module = str(policy.get("__module__", "")) if isinstance(policy, dict) else ""
    algorithm = next((name for name, settings in _SETTINGS if settings <= set(data)), None)
    if algorithm == "ppo":
        return "ppo_lstm" if ".recurrent" in module else "maskableppo" if ".maskable" in module else "ppo"
    if algorithm == "td3":  # DDPG is a TD3 with one critic and none of its three tricks
        options = data.get("policy_kwargs")
        return "ddpg" if isinstance(options, dict) and options.get("n_critics") == 1 else "td3"
    return algorithm


_SETTINGS = (
    ("ars", {"n_delta"}),
    ("trpo", {"cg_max_steps"}),
    ("ppo", {"clip_range"}),
    ("tqc", {"top_quantiles_to_drop_per_net"}),
    ("crossq", {"target_entropy", "policy_delay"}),
    ("sac", {"target_entropy"}),
    ("td3", {"target_policy_noise"}),
    ("qrdqn", {"exploration_rate", "n_quantiles"}),
    ("dqn", {"exploration_rate"}),
    ("a2c", {"gae_lambda", "n_steps"}),
)
"""Settings that tell an algorithm from those below it."""
