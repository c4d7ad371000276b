"""A part: some whole episodes as flat arrays over all their rows, plus where each episode ends."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int64, Shaped, UInt8

from pipeline.dataset.columns import STEPS, RowSpec, rows_of, step_arrays, with_same_arrays, without_absent
from pipeline.dataset.resets import pack_resets, unpack_resets
from pipeline.digest import DIGEST_BYTES, digest_file
from pipeline.episode import INFO_TEXTS, SUMMARY, TEXTS, Episode, texts_from_json
from pipeline.machine.files import FileTable, read_json, sync_tree, write_file, write_json
from pipeline.storage.contract import ReadableArray, Storage, write_arrays

PART_BYTES = 64 * 2**20
"""A part is closed by the first episode that brings it to this many raw bytes ..."""

PART_EPISODES = 4096
"""... or holds this many: short episodes must not wait as tens of thousands of single files."""

READ_BYTES = 8 * 2**20
"""So many raw bytes of a part are read at a time, in whole episodes."""

ENDS = "episode_ends"

FACTS = "facts.json"
"""A file in the folder of a closed part, to which nothing may be added: what the source says about the part."""

Facts = Mapping[str, int | str]

NO_TEXT = np.zeros(0, np.uint8)


def is_full(episodes: int, size: int, part_bytes: int = PART_BYTES) -> bool:
    """Whether a part with so many episodes and raw bytes is closed."""
    return size >= part_bytes or episodes >= PART_EPISODES


def fitting(episodes: int, size: int, sizes: Int64[np.ndarray, " n"], part_bytes: int = PART_BYTES) -> int:
    """How many of `n` more episodes, of these raw bytes each, a part takes, up to the one that fills it."""
    full = (size + np.cumsum(sizes) >= part_bytes) | (episodes + 1 + np.arange(len(sizes)) >= PART_EPISODES)
    return int(np.argmax(full)) + 1 if full.any() else len(sizes)


def part_name(first: int, episodes: int) -> str:
    """`000100-000300`: the number of the part's first episode in its dataset, and of the one after its last."""
    return f"{first:06d}-{first + episodes:06d}"


def save_part(storage: Storage, folder: Path, arrays: Mapping[str, Shaped[np.ndarray, "..."]]) -> FileTable:
    """Write the arrays of a part, durably; the folder appears in one step."""
    files = write_part(storage, folder, arrays)
    finish_part(folder)
    return files


def write_part(storage: Storage, folder: Path, arrays: Mapping[str, Shaped[np.ndarray, "..."]]) -> FileTable:
    """Write arrays of a part into the `unfinished` folder; afterwards they are not needed any more."""
    return write_arrays(storage, unfinished(folder), arrays)


def finish_part(folder: Path) -> None:
    """Make what was written of a part durable, and let its folder appear."""
    sync_tree(unfinished(folder))
    unfinished(folder).rename(folder)


def write_facts(folder: Path, facts: Facts) -> FileTable:
    """Write the facts of a part into its folder, which is not whole yet and flushed later. This closes the part."""
    return {FACTS: write_file(folder / FACTS, [f"{json.dumps(facts, indent=1, ensure_ascii=False)}\n".encode()])}


def close_part(folder: Path, facts: Facts) -> FileTable:
    """Have a whole part say these facts, durably, before its folder is renamed into place; it may say them already."""
    path = folder / FACTS
    if facts_in(folder) != facts:
        write_json(path, facts)
    return {FACTS: {"size": path.stat().st_size, "blake3": digest_file(path)}}


def facts_in(folder: Path) -> Facts | None:
    """What is known of a closed part; None for one that may still grow."""
    facts: Facts | None = read_json(folder / FACTS) if (folder / FACTS).exists() else None
    return facts


def remove_part(folder: Path) -> None:
    """Remove a part's folder. A kill in the middle must not leave what looks like a part."""
    hidden = unfinished(folder)
    folder.rename(hidden)
    shutil.rmtree(hidden)


def remove_unfinished(parts: Path) -> None:
    """Remove the folders that a killed run was writing or removing."""
    for torn in parts.glob(".*"):
        shutil.rmtree(torn)


def unfinished(folder: Path) -> Path:
    """Where a part lies until it is whole."""
    return folder.with_name(f".{folder.name}")


def pack(
    episodes: Sequence[Episode],
    steps: Mapping[str, Shaped[np.ndarray, "rows ..."]] | None = None,
    digests: Sequence[bytes | None] | None = None,
) -> dict[str, Shaped[np.ndarray, "..."]]:
    """Flat arrays of a part.

    `episode_ends` (n,) int64: cumulative rows. `steps/<name>` (rows, ...): the step arrays one after the other.
    An info that an episode lacks is zeros there, and marked as absent.
    `episodes/<name>` (n,): seed, flags, `return` (float64) and `digest` (n, 32). `texts/<name>/bytes` and `.../ends`.
    `episodes/reset_info/<name>` (n, ...) and `texts/info_texts` only where an episode has something there.
    `steps` are the step arrays where they lie one after the other already; then they are not copied. `digests` are
    those of the episodes, as far as they are known.
    """
    arrays = {f"{STEPS}{name}": array for name, array in (steps or _joined(episodes)).items()}
    arrays[ENDS] = np.cumsum([episode.rows for episode in episodes], dtype=np.int64)
    for name, dtype in SUMMARY.items():
        arrays[f"episodes/{name}"] = np.asarray([getattr(e, name) for e in episodes], dtype)
    arrays["episodes/return"] = np.asarray([e.total_reward for e in episodes], np.float64)
    known = digests or [None] * len(episodes)
    each = b"".join([digest or episode.digest() for digest, episode in zip(known, episodes, strict=True)])
    arrays["episodes/digest"] = np.frombuffer(bytearray(each), np.uint8).reshape(len(episodes), DIGEST_BYTES)
    texts = [episode.texts() for episode in episodes]
    for name in (*TEXTS, *([INFO_TEXTS] if any(INFO_TEXTS in each for each in texts) else [])):
        data = [each.get(name, NO_TEXT) for each in texts]
        arrays[f"texts/{name}/bytes"] = np.concatenate(data)
        arrays[f"texts/{name}/ends"] = np.cumsum([len(text) for text in data], dtype=np.int64)
    return arrays | pack_resets(episodes)


def unpack(arrays: Mapping[str, Shaped[np.ndarray, "..."]]) -> list[Episode]:
    """The episodes of a part; the inverse of `pack`."""
    ends, facts = arrays[ENDS].tolist(), _facts(arrays)
    steps = {name: np.asarray(array) for name, array in step_arrays(arrays).items()}  # slices of memory maps are slow
    return [
        Episode(steps=without_absent({name: array[start:end] for name, array in steps.items()}), **each)
        for start, end, each in zip([0, *ends[:-1]], ends, facts, strict=True)
    ]


def some_of(arrays: Mapping[str, ReadableArray], first: int, last: int) -> dict[str, Shaped[np.ndarray, "..."]]:
    """The arrays of a part that holds only its episodes [first, last); no more of them is read."""
    out: dict[str, np.ndarray] = {}
    ends = {name: array[:] for name, array in arrays.items() if says_ends(name)}
    for name, array in arrays.items():
        if name in ends:
            out[name] = ends[name][first:last] - _start(ends[name], first)
        elif name.startswith("episodes/"):
            out[name] = array[first:last]
        else:
            by = ends[ENDS] if name.startswith(STEPS) else ends[name.removesuffix("bytes") + "ends"]
            out[name] = array[_start(by, first) : _start(by, last)]
    return out


def runs_of(
    arrays: Mapping[str, ReadableArray], first: int, last: int, size: int = READ_BYTES
) -> Iterator[dict[str, Shaped[np.ndarray, "..."]]]:
    """`some_of` the episodes [first, last) of a part, in runs of about `size` bytes, or of one episode that is longer.

    Memory for a whole part takes the system as long to give as decompressing it takes; a run lies where one before it
    lay. What is short besides a run is read once.
    """
    kept = {name: array if _is_long(name, array, size) else array[:] for name, array in arrays.items()}
    rows = size // max(1, sum(RowSpec.of(each).nbytes for each in step_arrays(kept).values()))
    ends = kept[ENDS][:]
    while first < last:
        fitting = int(np.searchsorted(ends, _start(ends, first) + rows, "right"))
        following = min(max(first + 1, fitting), last)
        yield some_of(kept, first, following)
        first = following


def _is_long(name: str, array: ReadableArray, size: int) -> bool:
    return name.startswith(STEPS) and len(array) * RowSpec.of(array).nbytes > size // 8


def split_texts(data: UInt8[np.ndarray, " bytes"], ends: Int64[np.ndarray, " n"]) -> list[str]:
    """Texts from their UTF-8 bytes, one after the other, and where each ends."""
    raw, stops = data.tobytes(), ends.tolist()  # of plain values: ten times as fast, and texts are many
    return [raw[start:stop].decode() for start, stop in zip([0, *stops[:-1]], stops, strict=True)]


def _joined(episodes: Sequence[Episode]) -> dict[str, Shaped[np.ndarray, "rows ..."]]:
    if len(set(map(rows_of, episodes))) == 1:  # nearly always
        return {name: np.concatenate([each.steps[name] for each in episodes]) for name in sorted(episodes[0].steps)}
    steps = with_same_arrays(episodes)
    return {name: np.concatenate([each[name] for each in steps]) for name in steps[0]}


def _facts(arrays: Mapping[str, Shaped[np.ndarray, "..."]]) -> list[dict[str, Any]]:
    """What each episode of a part has besides its step arrays."""
    texts = {
        name: split_texts(arrays[f"texts/{name}/bytes"], arrays[f"texts/{name}/ends"])
        for name in (*TEXTS, INFO_TEXTS)
        if f"texts/{name}/ends" in arrays
    }
    once = {name: arrays[f"episodes/{name}"].tolist() for name in SUMMARY} | {name: texts[name] for name in TEXTS}
    facts = [dict(zip(once, each, strict=True)) for each in zip(*once.values(), strict=True)]
    for fact, reset in zip(facts, unpack_resets(arrays, len(facts)), strict=True):
        fact["reset_info"] = reset
    if INFO_TEXTS in texts:
        lengths = (np.diff(arrays[ENDS], prepend=0) - 1).tolist()
        for fact, text, length in zip(facts, texts[INFO_TEXTS], lengths, strict=True):
            fact["info_texts"], fact["reset_texts"] = texts_from_json(text, length)
    return facts


def _start(ends: Int64[np.ndarray, " n"], number: int) -> int:
    """Where the episode or text `number` begins."""
    return int(ends[number - 1]) if number else 0


def says_ends(name: str) -> bool:
    """Whether an array says where episodes or texts end; an info may be called `ends`, too."""
    return name == ENDS or (name.startswith("texts/") and name.endswith("/ends"))
