"""What a dataset's rewards and returns are, in words: a source may have clipped them, and then they are no scores."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pipeline.dataset.origin import MADE_FROM

Bounds = tuple[float, float]
"""The lowest and the highest reward that a source let through."""


def reward_clipping(parameters: Mapping[str, Any]) -> Bounds | None:
    """The bounds to which a dataset's source had clipped its rewards, from the manifest's `parameters`.

    They stand at `parameters["source"]["reward_clipping"]` as [low, high]; None where no source says so.
    """
    bounds = parameters.get("source", {}).get("reward_clipping")
    return None if bounds is None else (float(bounds[0]), float(bounds[1]))


HAS_REWARDS = "has_rewards"
"""In the parameters of a source: False where it had no rewards, so that zeros stand for them."""


def has_rewards(parameters: Mapping[str, Any]) -> bool:
    """Whether the rewards of a dataset are rewards, by its manifest's `parameters`; else they are zeros.

    It may have come from an export of a dataset that had none.
    """
    source = parameters.get("source")
    if not isinstance(source, Mapping):
        return True
    before = source.get(MADE_FROM)
    return source.get(HAS_REWARDS) is not False and (
        not isinstance(before, Mapping)
        or not isinstance(first := before.get("parameters"), Mapping)
        or has_rewards(first)
    )


def return_words(clipping: Bounds | None) -> str:
    """`sum of rewards`, or `sum of rewards clipped to [-1, 1]`."""
    return f"sum of {_clipped('rewards', clipping)}"


def reward_words(clipping: Bounds | None) -> str:
    """`reward`, or `reward clipped to [-1, 1]`."""
    return _clipped("reward", clipping)


def clipping_note(clipping: Bounds | None) -> str:
    """A sentence for people who read returns; empty where there is nothing to say."""
    return f"A return is the {return_words(clipping)} by the source, and no game score." if clipping else ""


def _clipped(word: str, clipping: Bounds | None) -> str:
    return f"{word} clipped to [{clipping[0]:g}, {clipping[1]:g}]" if clipping else word
