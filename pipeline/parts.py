"""A part: some whole episodes as flat arrays over all their rows, plus where each episode ends."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from pipeline.episode import SUMMARY, TEXTS, Episode
from pipeline.errors import InvalidEpisode

PART_BYTES = 64 * 2**20
"""A part is closed by the first episode that brings it to this many raw bytes."""

ENDS = "episode_ends"


def pack(episodes: Sequence[Episode]) -> dict[str, np.ndarray]:
    """Flat arrays of a part.

    `episode_ends` (n,) int64: cumulative rows. `steps/<name>` (rows, ...): the step arrays one after the other.
    `episodes/<name>` (n,): seed, flags, `return` (float64) and `digest` (n, 32). `texts/<name>/bytes` and `.../ends`.
    """
    first = {name: (array.dtype, array.shape[1:]) for name, array in episodes[0].steps.items()}
    for number, episode in enumerate(episodes):
        have = {name: (array.dtype, array.shape[1:]) for name, array in episode.steps.items()}
        if have != first:
            raise InvalidEpisode(
                f"Episodes of one dataset need the same arrays. Episode {number} of this part has {_layout(have)}, "
                f"the first has {_layout(first)}."
            )
    arrays = {f"steps/{name}": np.concatenate([e.steps[name] for e in episodes]) for name in first}
    arrays[ENDS] = np.cumsum([episode.rows for episode in episodes], dtype=np.int64)
    for name, dtype in SUMMARY.items():
        arrays[f"episodes/{name}"] = np.asarray([getattr(e, name) for e in episodes], dtype)
    arrays["episodes/return"] = np.asarray([e.total_reward for e in episodes], np.float64)
    arrays["episodes/digest"] = np.stack([np.frombuffer(e.digest(), np.uint8) for e in episodes])
    for name in TEXTS:
        texts = [episode.texts()[name] for episode in episodes]
        arrays[f"texts/{name}/bytes"] = np.concatenate(texts)
        arrays[f"texts/{name}/ends"] = np.cumsum([len(text) for text in texts], dtype=np.int64)
    return arrays


def unpack(arrays: Mapping[str, np.ndarray]) -> list[Episode]:
    """The episodes of a part; the inverse of `pack`."""
    ends = arrays[ENDS]
    starts = np.concatenate([[0], ends[:-1]])
    texts = {name: _split(arrays[f"texts/{name}/bytes"], arrays[f"texts/{name}/ends"]) for name in TEXTS}
    steps = {name.removeprefix("steps/"): array for name, array in arrays.items() if name.startswith("steps/")}
    return [
        Episode(
            steps={name: array[start:end] for name, array in steps.items()},
            **_facts(arrays, texts, i),
        )
        for i, (start, end) in enumerate(zip(starts, ends, strict=True))
    ]


def _facts(arrays: Mapping[str, np.ndarray], texts: Mapping[str, list[str]], i: int) -> dict[str, Any]:
    return {name: arrays[f"episodes/{name}"][i].item() for name in SUMMARY} | {name: texts[name][i] for name in TEXTS}


def _split(data: np.ndarray, ends: np.ndarray) -> list[str]:
    starts = np.concatenate([[0], ends[:-1]])
    return [bytes(data[start:end]).decode() for start, end in zip(starts, ends, strict=True)]


def _layout(arrays: Mapping[str, tuple[np.dtype, tuple[int, ...]]]) -> str:
    return ", ".join(f"{name} {dtype}{list(shape)}" for name, (dtype, shape) in sorted(arrays.items()))
