"""Small datasets with all that ours can have, by hand: what a form does with each piece is seen at a glance."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from pipeline.dataset.columns import without_absent
from pipeline.episode import Episode
from tests.episodes import ENDS, REAL, WHOLE

Arrays = dict[str, np.ndarray]
DTYPES = tuple(dtype for dtype in (*WHOLE, *REAL) if dtype != "bool")
LENGTHS = (4, 1, 2, 3, 6)
"""Steps of the episodes: each ends for another reason, one has a single step."""


def everything(observations: Callable[[int], Arrays] | None = None) -> list[Episode]:
    """Five episodes that have every aspect, and infos that all, some, or some steps of some have."""
    episodes = []
    for number, (length, (reason, (terminated, truncated))) in enumerate(zip(LENGTHS, ENDS.items(), strict=True)):
        steps = _steps(length, (observations or vectors)(length + 1), number)
        steps["discount"][-2] = 0 if terminated else 0.5
        steps["info/everywhere"] = _rising(length + 1, (2,), "int16")
        steps |= _masked("info/some times", np.arange(length + 1) % 2 == 0, steps["info/everywhere"][:, 0])
        if number % 2:
            steps["info/deep/er"] = _rising(length + 1, (), "uint64")
        facts: dict[str, Any] = {}
        if number == 2:
            facts |= {"has_final_observation": False, "has_final_reward": False}
            for name in [name for name in steps if name.startswith("observation")]:
                steps[name][-1] = 0
            steps["reward"][-2] = 0
        texts = [None if step % 2 else f"räume\n{step}" for step in range(length)]
        episodes.append(
            Episode(
                steps=without_absent(steps), terminated=terminated, truncated=truncated, end_reason=reason,
                seed=(0, 2**63 - 1, -1, 7, 8)[number], success=(1, 0, -1, 1, 0)[number],
                mission=("", "go to the red ball", "où est Ωmega?", '"a", \\n', "go")[number],
                reset_info={"start": _rising(3, (), "float32")} if number != 1 else {},
                info_texts={"door": texts} if number != 3 else {}, reset_texts={"level": "one"} if number else {},
                **facts,
            )
        )  # fmt: skip
    return episodes


def vectors(rows: int) -> Arrays:
    """Observations of vectors of float64."""
    return {"observation": _rising(rows, (3,), "float64") / 7}


def grey_pictures(rows: int) -> Arrays:
    """Observations of grey pictures."""
    return {"observation": _rising(rows, (18, 20), "uint8")}


def layout(observations: Callable[[int], Arrays], action: Callable[[int], np.ndarray]) -> list[Episode]:
    """Three plain episodes with these observations and actions."""
    return [
        Episode(
            steps=_steps(length, observations(length + 1), number, action(length + 1)),
            truncated=True, end_reason="time_limit",
        )
        for number, length in enumerate((2, 1, 5))
    ]  # fmt: skip


def _with(episode: Episode, reward: float) -> Episode:
    rewards = np.where(episode.is_last, 0.0, reward)
    return replace(episode, steps={**episode.steps, "reward": rewards})


def _one(dtype: str, *shape: int) -> Callable[[int], Arrays]:
    return lambda rows: {"observation": _rising(rows, shape, dtype)}


def _array(dtype: str, *shape: int) -> Callable[[int], np.ndarray]:
    return lambda rows: _rising(rows, shape, dtype)


def _nested(rows: int) -> Arrays:
    return {"observation/deep/er": _rising(rows, (2, 3), "int16"), "observation/vector": _rising(rows, (3,), "float32")}


def _edges(rows: int) -> Arrays:
    """Infinities, the smallest numbers, and a zero with a sign."""
    numbers = np.resize(np.array([np.inf, -0.0, 5e-324, -np.inf, np.finfo(np.float64).max]), (rows, 5))
    return {"observation": numbers}


LAYOUTS: Mapping[str, Callable[[], list[Episode]]] = {
    "vectors": lambda: layout(vectors, _array("float32", 2)),
    "nested observations": lambda: layout(_nested, _array("float32", 2)),
    "colour pictures": lambda: layout(_one("uint8", 16, 17, 3), _array("int64")),
    "grey pictures": lambda: layout(grey_pictures, _array("int64")),
    "stacks of pictures": lambda: layout(_one("uint8", 4, 16, 17), _array("int64")),
    "pictures beside vectors": lambda: layout(
        lambda rows: {
            "observation/image": _rising(rows, (16, 17, 3), "uint8"),
            "observation/state": vectors(rows)["observation"],
        },
        _array("float32", 2),
    ),
    "single numbers": lambda: layout(_one("int64"), _array("int64")),
    "three-dimensional numbers": lambda: layout(_one("float32", 2, 3, 4), _array("float32", 2, 2)),
    "truth values": lambda: layout(_one("bool", 3), _array("bool", 2)),
    "arrays of no number": lambda: layout(_one("float32", 0), _array("float32", 2)),
    "infinities and zeros with a sign": lambda: layout(_edges, _array("float32", 2)),
    "rewards beyond float32": lambda: [_with(each, reward=1e100) for each in layout(vectors, _array("float32", 2))],
    "missions with the character NUL": lambda: [
        replace(each, mission="a\0") for each in layout(vectors, _array("float32", 2))
    ],
    **{dtype: (lambda dtype=dtype: layout(_one(dtype, 3), _array(dtype, 2))) for dtype in DTYPES},
}
"""Datasets by what is special about their observations and actions."""


def _steps(length: int, observations: Arrays, number: int, action: np.ndarray | None = None) -> Arrays:
    steps = dict(observations)
    steps["action"] = _rising(length + 1, (2,), "float32") if action is None else action.copy()
    steps["reward"] = np.resize([0.1, -2.5, 1.0], length + 1) + number
    steps["discount"] = np.ones(length + 1)
    for name in ("action", "reward", "discount"):
        steps[name][-1] = 0
    return steps


def _masked(name: str, there: np.ndarray, array: np.ndarray) -> Arrays:
    """An info at some steps."""
    there, array = there.copy(), array.copy()
    there[-1] = False
    array[~there] = 0
    return {name: array, name.replace("info/", "info_present/", 1): there}


def _rising(rows: int, shape: tuple[int, ...], dtype: str) -> np.ndarray:
    """Numbers that differ, a dtype's smallest and largest among them."""
    count = rows * int(np.prod(shape))
    if dtype == "bool":
        return (np.arange(count) % 3 == 0).reshape(rows, *shape)
    kind = np.dtype(dtype)
    if kind.kind == "f":
        return np.arange(1, count + 1).astype(kind).reshape(rows, *shape) / kind.type(8)
    ends = np.iinfo(kind)
    return np.resize(np.array([ends.min, ends.max, *range(100)], kind), (rows, *shape))
