"""How environments and episodes are called in image-text data: `atari_alien`, `episode_000_rand0.2`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from pipeline.domains.atari import SAMPLE_FACTORY
from pipeline.formats.contract import Outgoing
from pipeline.policies.random import Random
from pipeline.sources.frames.names import ENVIRONMENT

_UNSAFE = re.compile(r"[^\w.-]+")
"""What no name of a folder should have: a slash of an id above all."""

_WHOLE = re.compile(r"[^./\0][^/\0]*")
"""A name of a folder."""


def environment_name(data: Outgoing) -> str:
    """`<domain>_<task>`; the games of Atari are spelt as Sample Factory spells them, where the layout comes from.

    Of episodes that came from such a folder, its name.
    """
    folder = data.provenance["parameters"].get("source", {}).get(ENVIRONMENT)
    if isinstance(folder, str) and _WHOLE.fullmatch(folder):
        return folder
    task = SAMPLE_FACTORY.get(data.task, data.task) if data.domain == "atari" else data.task
    return _UNSAFE.sub("-", f"{data.domain}_{task}")


def title(data: Outgoing, name: str) -> str:
    """The environment in a sentence: `Atari Mspacman`, `Metaworld Door Open`."""
    task = name.removeprefix(f"{data.domain}_")
    words = [data.domain, *re.split(r"[-_. ]+", task)]
    return " ".join(word[:1].upper() + word[1:] for word in words if word)


def randomness(parameters: Mapping[str, Any]) -> float:
    """The chance of a random action that a dataset was collected with, by its manifest's `parameters`.

    Of the policy `random` it is 1, whatever `policy.randomness` says.
    """
    policy = parameters.get("policy", {})
    return 1.0 if policy.get("name") == Random.name else float(policy.get("randomness", 0.0))


def randomness_words(chance: float) -> str:
    """With as few digits as keep the value, one behind the point at least.

    >>> [randomness_words(chance) for chance in (0, 0.2, 0.25, 1, 0.00001)]
    ['0.0', '0.2', '0.25', '1.0', '0.00001']
    """
    return np.format_float_positional(chance, trim="0")


def episode_name(number: int, chance: float) -> str:
    """`episode_000_rand0.2`; a number of more than three digits has them all."""
    return f"episode_{number:03d}_rand{randomness_words(chance)}"
