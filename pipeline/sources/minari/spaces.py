"""Gymnasium's spaces as `metadata.json` describes them: which arrays an observation or action has, and their shapes."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from pipeline.errors import InvalidInput
from pipeline.sources.minari.raw import KeyPath

SMALLEST_PICTURE = 32
"""Pixels of a side; smaller arrays of bytes Minari does not take for pictures."""


@dataclass(frozen=True)
class SpaceLeaf:
    """One array of a space.

    Attributes:
        kind: Box, Discrete, MultiDiscrete, MultiBinary or Text.
        shape: of one row; None where the space does not say.
        is_picture: Minari may have made a JPEG of each row.
    """

    kind: str
    shape: tuple[int, ...] | None
    is_picture: bool = False


def space_leaves(text: Any, where: str) -> dict[KeyPath, SpaceLeaf]:
    """The arrays of a space, in its own order, by their paths. Raises InvalidInput for anything else."""
    try:
        space = json.loads(text) if isinstance(text, str) else text
        return dict(_leaves(space, ()))
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError, OverflowError) as error:
        raise InvalidInput(f"{where} is no space as Minari writes them: {error!r}.") from error


def _leaves(space: Mapping[str, Any], path: KeyPath) -> Iterator[tuple[KeyPath, SpaceLeaf]]:
    kind, inner = space["type"], space.get("subspaces")
    if kind == "Dict":
        for key, each in dict(inner or {}).items():
            yield from _leaves(each, (*path, str(key)))
    elif kind == "Tuple":
        for number, each in enumerate(list(inner or [])):
            yield from _leaves(each, (*path, str(number)))
    elif kind == "Box":
        shape = tuple(int(n) for n in space["shape"])
        yield path, SpaceLeaf(kind, shape, _is_picture(space, shape))
    elif kind == "MultiDiscrete":
        yield path, SpaceLeaf(kind, np.shape(space["nvec"]))
    elif kind == "MultiBinary":
        yield path, SpaceLeaf(kind, tuple(int(n) for n in np.atleast_1d(space["n"])))
    elif kind in ("Discrete", "Text"):
        yield path, SpaceLeaf(kind, ())
    else:
        raise ValueError(f"unknown type {kind!r}")


def _is_picture(space: Mapping[str, Any], shape: tuple[int, ...]) -> bool:
    """By Minari's own rule."""
    if len(shape) not in (2, 3) or min(shape[:2]) < SMALLEST_PICTURE or space["dtype"] != "uint8":
        return False
    return bool(np.all(np.asarray(space["low"]) == 0) and np.all(np.asarray(space["high"]) == 255))
