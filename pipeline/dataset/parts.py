"""A part: some whole episodes as flat arrays over all their rows, plus where each episode ends."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.episode import INFO, PRESENT, SUMMARY, TEXTS, Episode
from pipeline.errors import InvalidEpisode
from pipeline.machine.files import file_table, sync_tree
from pipeline.storage.contract import Storage, write_arrays

PART_BYTES = 64 * 2**20
"""A part is closed by the first episode that brings it to this many raw bytes ..."""

PART_EPISODES = 4096
"""... or holds this many: short episodes must not wait as tens of thousands of single files."""

ENDS = "episode_ends"

FileTable = dict[str, dict[str, int | str]]
"""Size and checksum of files by their path below a folder."""


def save_part(storage: Storage, folder: Path, arrays: Mapping[str, np.ndarray]) -> FileTable:
    """Write the arrays of a part, durably; the folder appears in one step."""
    write_part(storage, folder, arrays)
    return finish_part(folder)


def write_part(storage: Storage, folder: Path, arrays: Mapping[str, np.ndarray]) -> Path:
    """The first half of `save_part`: afterwards the arrays are not needed any more. Returns the unfinished folder."""
    write_arrays(storage, unfinished := _unfinished(folder), arrays)
    return unfinished


def finish_part(folder: Path) -> FileTable:
    """The second half of `save_part`."""
    unfinished = _unfinished(folder)
    sync_tree(unfinished)
    table = file_table(unfinished, unfinished)
    unfinished.rename(folder)
    return table


def _unfinished(folder: Path) -> Path:
    return folder.with_name(f".{folder.name}")


def pack(episodes: Sequence[Episode], steps: Mapping[str, np.ndarray] | None = None) -> dict[str, np.ndarray]:
    """Flat arrays of a part. `steps` are the step arrays where they lie one after the other already, so that they need
    not be copied.

    `episode_ends` (n,) int64: cumulative rows. `steps/<name>` (rows, ...): the step arrays one after the other.
    An info that an episode lacks is zeros there, and marked as absent.
    `episodes/<name>` (n,): seed, flags, `return` (float64) and `digest` (n, 32). `texts/<name>/bytes` and `.../ends`.
    """
    arrays = {f"steps/{name}": array for name, array in (steps or _joined(episodes)).items()}
    arrays[ENDS] = np.cumsum([episode.rows for episode in episodes], dtype=np.int64)
    for name, dtype in SUMMARY.items():
        arrays[f"episodes/{name}"] = np.asarray([getattr(e, name) for e in episodes], dtype)
    arrays["episodes/return"] = np.asarray([e.total_reward for e in episodes], np.float64)
    arrays["episodes/digest"] = np.stack([np.frombuffer(episode.digest(), np.uint8) for episode in episodes])
    for name in TEXTS:
        texts = [episode.texts()[name] for episode in episodes]
        arrays[f"texts/{name}/bytes"] = np.concatenate(texts)
        arrays[f"texts/{name}/ends"] = np.cumsum([len(text) for text in texts], dtype=np.int64)
    return arrays


def unpack(arrays: Mapping[str, np.ndarray]) -> list[Episode]:
    """The episodes of a part; the inverse of `pack`."""
    ends = arrays[ENDS]
    starts = np.concatenate([[0], ends[:-1]])
    texts = {name: split_texts(arrays[f"texts/{name}/bytes"], arrays[f"texts/{name}/ends"]) for name in TEXTS}
    steps = {name.removeprefix("steps/"): array for name, array in arrays.items() if name.startswith("steps/")}
    return [
        Episode(
            steps=_without_absent({name: array[start:end] for name, array in steps.items()}),
            **_facts(arrays, texts, i),
        )
        for i, (start, end) in enumerate(zip(starts, ends, strict=True))
    ]


def _joined(episodes: Sequence[Episode]) -> dict[str, np.ndarray]:
    steps = _with_same_arrays(episodes)
    return {name: np.concatenate([each[name] for each in steps]) for name in steps[0]}


def _with_same_arrays(episodes: Sequence[Episode]) -> list[dict[str, np.ndarray]]:
    """The step arrays of each episode, with those infos and masks added that only others have."""
    infos = {
        name: (array.dtype, array.shape[1:]) for e in episodes for name, array in e.steps.items() if _is_info(name)
    }
    masked = {name for name in infos if any(name not in e.steps or _mask(name) in e.steps for e in episodes)}
    same = []
    for episode in episodes:
        steps = dict(episode.steps)
        for name in masked:
            dtype, shape = infos[name]
            steps.setdefault(_mask(name), (np.arange(episode.rows) < episode.length) & (name in steps))
            steps.setdefault(name, np.zeros((episode.rows, *shape), dtype))
        same.append(dict(sorted(steps.items())))
    first = _layout(same[0])
    for number, steps in enumerate(same):
        if (layout := _layout(steps)) != first:
            raise InvalidEpisode(
                f"Episodes of one dataset need the same arrays. Episode {number} of this part has {layout}, "
                f"the first has {first}."
            )
    return same


def _without_absent(steps: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The step arrays that an episode came with: no info that is absent at every step, no mask that says nothing."""
    for mask in [name for name in steps if name.startswith(PRESENT)]:
        present = steps[mask][:-1]
        if not present.any():
            del steps[INFO + mask.removeprefix(PRESENT)]
        if present.all() or not present.any():
            del steps[mask]
    return steps


def _is_info(name: str) -> bool:
    return name.startswith(INFO)


def _mask(info: str) -> str:
    return PRESENT + info.removeprefix(INFO)


def _facts(arrays: Mapping[str, np.ndarray], texts: Mapping[str, list[str]], i: int) -> dict[str, Any]:
    return {name: arrays[f"episodes/{name}"][i].item() for name in SUMMARY} | {name: texts[name][i] for name in TEXTS}


def split_texts(data: np.ndarray, ends: np.ndarray) -> list[str]:
    """Texts from their UTF-8 bytes, one after the other, and where each ends."""
    starts = np.concatenate([[0], ends[:-1]])
    return [bytes(data[start:end]).decode() for start, end in zip(starts, ends, strict=True)]


def _layout(arrays: Mapping[str, np.ndarray]) -> str:
    return ", ".join(f"{name} {array.dtype}{list(array.shape[1:])}" for name, array in sorted(arrays.items()))
