"""Datasets that hypothesis makes up: every dtype, shape, nesting, length and end that a dataset can have."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from pipeline.dataset.columns import without_absent
from pipeline.episode import Episode

WHOLE = ("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "bool")
REAL = ("float16", "float32", "float64")
ENDS = {
    "terminated": (True, False),
    "time_limit": (False, True),
    "budget": (False, True),
    "gave_up": (False, False),
    "source": (False, False),
}


NAMES = ("a", "A", "b/c", "x y", "%41", "räume", "x.y", "qpos", "action", "observations", "terminals", "n" * 200)
"""Names of infos: those that file systems mix up, and those that forms have for something else."""

REWARDS = (0.0, 1.0, 0.1, -2.5, 5e-324, 1 / 3)
DISCOUNTS = (0.0, 0.5, 1.0, 0.99)
MISSIONS = ("", "go to the red ball", "où est Ωmega?", 'a "b"\n\\c ', "[1, null]")


@dataclass(frozen=True)
class Kinds:
    """What made-up datasets may have; a form that cannot hold something at all says so here."""

    dtypes: tuple[str, ...] = (*WHOLE, *REAL)
    nested: bool = True
    dimensions: int = 3
    pictures: bool = True
    empty: bool = True
    """Arrays with no number in them."""
    infos: bool = True
    last_infos: bool = True
    """Infos that go on to the last row, which is no state."""
    info_texts: bool = True
    nul: bool = True
    """Texts with the character NUL in them."""
    resets: bool = True
    wide_rewards: bool = True
    """Rewards that are more than float32 holds."""
    missing_rewards: bool = True
    """Episodes of which the last reward is missing."""
    missing_ends: bool = False
    """Episodes of which the last observation is missing."""


@st.composite
def datasets(draw: st.DrawFn, kinds: Kinds = Kinds(), most: int = 5) -> list[Episode]:
    """One to `most` episodes of one environment."""
    observations = draw(_observations(kinds))
    action = draw(_row(kinds))
    infos = draw(st.dictionaries(st.sampled_from(NAMES), _row(kinds), max_size=2)) if kinds.infos else {}
    resets = draw(st.dictionaries(st.sampled_from(["start", *NAMES]), _row(kinds), max_size=2)) if kinds.resets else {}
    count = draw(st.integers(1, most))
    return [draw(_episode(kinds, observations, action, infos, resets)) for _ in range(count)]


Row = tuple[str, tuple[int, ...]]


@st.composite
def _row(draw: st.DrawFn, kinds: Kinds) -> Row:
    shape = draw(arrays.array_shapes(min_dims=0, max_dims=kinds.dimensions, max_side=3))
    if kinds.empty and shape and draw(st.integers(0, 7)) == 0:
        shape = (*shape[:-1], 0)
    return draw(st.sampled_from(kinds.dtypes)), shape


@st.composite
def _observations(draw: st.DrawFn, kinds: Kinds) -> dict[str, Row]:
    row = _row(kinds)
    if kinds.pictures:
        row = st.one_of(row, st.sampled_from([("uint8", (16, 17, 3)), ("uint8", (16, 20)), ("uint8", (1, 17, 16))]))
    if not kinds.nested or draw(st.booleans()):
        return {"observation": draw(row)}
    names = draw(st.lists(st.sampled_from(["image", "state", "deep/x", "deep/y"]), min_size=1, max_size=3, unique=True))
    return {f"observation/{name}": draw(row) for name in names}


@st.composite
def _episode(
    draw: st.DrawFn,
    kinds: Kinds,
    observations: dict[str, Row],
    action: Row,
    infos: dict[str, Row],
    resets: dict[str, Row],
) -> Episode:
    length = draw(st.integers(1, 6))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    steps = {name: _array(rng, row, length + 1, (-0.0, np.inf, -np.inf)) for name, row in observations.items()}
    steps["action"] = _array(rng, action, length + 1)
    steps["reward"] = rng.choice((*REWARDS, *([1e100] if kinds.wide_rewards else [])), length + 1)
    steps["discount"] = np.ones(length + 1)
    reason = draw(st.sampled_from(list(ENDS)))
    terminated, truncated = ENDS[reason]
    truncated = truncated or (terminated and draw(st.booleans()))
    if terminated:
        steps["discount"][-2] = 0
    if draw(st.integers(0, 3)) == 0:
        steps["discount"][:-1] = rng.choice(DISCOUNTS, length)
    for name, row in infos.items():
        steps |= _info(draw, kinds, rng, name, row, length)
    for name in ("action", "reward", "discount"):
        steps[name][-1] = 0
    facts = _facts(draw, kinds, resets, rng, length)
    if not facts.get("has_final_observation", True):
        for name in observations:
            steps[name][-1] = 0
    if not facts.get("has_final_reward", True):
        steps["reward"][-2] = 0
    return Episode(steps=without_absent(steps), terminated=terminated, truncated=truncated, end_reason=reason, **facts)


def _facts(
    draw: st.DrawFn, kinds: Kinds, resets: dict[str, Row], rng: np.random.Generator, length: int
) -> dict[str, Any]:
    facts: dict[str, Any] = {
        "seed": draw(st.sampled_from([-1, 0, 2**63 - 1])),
        "success": draw(st.sampled_from([-1, 0, 1])),
        "mission": draw(st.sampled_from([*MISSIONS, *(["a\0b\0"] if kinds.nul else [])])),
        "reset_info": {name: _array(rng, row, 1)[0] for name, row in resets.items() if draw(st.booleans())},
    }
    if kinds.info_texts and draw(st.booleans()):
        texts = [draw(st.sampled_from([None, "left", "räume", ""])) for _ in range(length)]
        facts["info_texts"] = {"door": texts} if any(text is not None for text in texts) else {}
        facts["reset_texts"] = draw(st.sampled_from([{"level": "one"}, {"a/b": ""}, {}]))
    if kinds.missing_ends:
        facts["has_final_observation"] = draw(st.booleans())
    if kinds.missing_rewards:
        facts["has_final_reward"] = draw(st.booleans())
    return facts


def _info(
    draw: st.DrawFn, kinds: Kinds, rng: np.random.Generator, name: str, row: Row, length: int
) -> dict[str, np.ndarray]:
    """An info at some of the steps, or at all of them."""
    there = np.array([*(draw(st.booleans()) for _ in range(length)), False])
    array = _array(rng, row, length + 1)
    if not (kinds.last_infos and there[:-1].all()):
        array[~there] = 0
    return {f"info/{name}": array, f"info_present/{name}": there}


def _array(
    rng: np.random.Generator, row: Row, count: int, odd: tuple[float, ...] = (-0.0, np.inf, -np.inf, np.nan)
) -> np.ndarray:
    """Numbers of the whole range of a dtype; of real ones a tenth are odd."""
    dtype, shape = np.dtype(row[0]), row[1]
    if dtype.kind == "f":
        numbers = rng.normal(size=(count, *shape))
        return np.where(rng.random(numbers.shape) < 0.1, rng.choice(odd, numbers.shape), numbers).astype(dtype)
    if dtype.kind == "b":
        return rng.integers(0, 2, (count, *shape)).astype(dtype)
    limits = np.iinfo(dtype)
    return rng.integers(limits.min, limits.max, (count, *shape), dtype, endpoint=True)
