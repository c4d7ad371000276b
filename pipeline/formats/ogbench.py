"""OGBench's flat .npz, with a second file for validation; see docs/formats/ogbench.md."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from fractions import Fraction
from pathlib import Path, PurePosixPath
from types import TracebackType
from typing import Any

import numpy as np
from jaxtyping import Bool

from pipeline.command import again
from pipeline.dataset.columns import beside
from pipeline.dataset.per_episode import once_of
from pipeline.episode import INFO_TEXTS, RESET, SUMMARY, TEXTS, Episode
from pipeline.errors import InvalidInput, unknown_name
from pipeline.formats.absent import FinalObservation
from pipeline.formats.choice import holders
from pipeline.formats.contract import CannotHold, Format, Outgoing, Refusal
from pipeline.formats.npz import NpzArray, NpzWriter
from pipeline.machine.files import sync_folder
from pipeline.sources.ogbench import ENDS, FORM, OBSERVATIONS, PROVENANCE, OgbenchSource, step_key
from pipeline.sources.ogbench_once import NUMBER, ONCE, RESETS, RESETS_PRESENT
from pipeline.wording import check_choice, few, slug

BLOCK = 2**22
"""Bytes of whole episodes that wait to be written together."""

COMPRESSIONS = ("deflate", "none")


class OgbenchFormat(Format):
    """`<name>/<name>.npz` and `<name>/<name>-val.npz`.

    Args:
        compression: `deflate`, as OGBench publishes its files, or `none`.
        validation: the share of the episodes that go to the second file; 0: there is none.
        observation: of nested observations, the one that OGBench reads.
    """

    name = "ogbench"
    refuses = frozenset({Refusal.NESTED})

    def __init__(self, compression: str = "deflate", validation: float = 0.1, observation: str | None = None) -> None:
        check_choice("format.compression", compression, COMPRESSIONS)
        if not 0 <= validation < 1:
            raise InvalidInput(f"format.validation must be a share from 0 to below 1; it is {validation}.")
        self._compressed = compression == "deflate"
        self._validation, self._observation = validation, observation

    def identity(self) -> Mapping[str, Any]:
        named = {"observation": self._observation} if self._observation else {}
        compression = "deflate" if self._compressed else "none"
        return {"version": 1, "compression": compression, "validation": self._validation, **named}

    def require(self, data: Sequence[Outgoing]) -> None:
        for each in data:
            self._chosen(each)

    def place(self, data: Sequence[Outgoing]) -> PurePosixPath:
        return PurePosixPath(_name(data[0]))

    def write(self, data: Sequence[Outgoing], folder: Path) -> None:
        (outgoing,) = data
        place = folder / self.place(data)
        place.mkdir(exist_ok=True)
        held_out = is_validation(len(outgoing), self._validation)
        paths = {f"{_name(outgoing)}.npz": ~held_out, f"{_name(outgoing)}-val.npz": held_out}
        paths = {name: which for name, which in paths.items() if which.any() or not held_out.size}
        with ExitStack() as stack:
            files = [
                _File(place / f".{name}", outgoing, which, self._chosen(outgoing), self._compressed)
                for name, which in paths.items()
            ]
            for file in files:
                stack.enter_context(file)
            for number, episode in enumerate(outgoing.episodes()):
                files[int(held_out[number])].add(number, episode)
        for name in paths:
            (place / f".{name}").rename(place / name)
        sync_folder(place)

    def source(self, path: Path) -> OgbenchSource:
        return OgbenchSource(str(path))

    def _chosen(self, data: Outgoing) -> str:
        """The array that becomes `observations`. Raises CannotHold where that is not clear."""
        names = [name for name in data.rows if name.split("/")[0] == "observation"]
        if self._observation is not None and f"observation/{self._observation}" not in names:
            known = [name.removeprefix("observation/") for name in names]
            raise unknown_name("array of the observation", self._observation, known if names != ["observation"] else [])
        if self._observation is None and names != ["observation"]:
            nested = [name.removeprefix("observation/") for name in names]
            raise CannotHold(
                f"ogbench reads one array of observations, {data.dataset.name} has {few(nested)}. "
                f"{holders(Refusal.NESTED)} holds them as they are. Or say which one it reads (the others are kept "
                f"beside it):\n{again(format__observation=nested[0])}"
            )
        return f"observation/{self._observation}" if self._observation else "observation"


class _File:
    """One file: the episodes at which `which` is True, gathered in blocks."""

    def __init__(
        self, path: Path, data: Outgoing, which: Bool[np.ndarray, " n"], observation: str, compressed: bool
    ) -> None:
        self._data, self._observation = data, observation
        self._keys = {name: step_key(name, observation) for name in data.rows}
        self._resets = {name.removeprefix(RESET): row for name, row in data.dataset.reset_specs().items()}
        self._texts = [*TEXTS, *([INFO_TEXTS] if data.dataset.has_info_texts() else [])]
        self._text_ends = dict.fromkeys(self._texts, 0)
        self._waiting: list[tuple[int, Episode]] = []
        self._bytes = 0
        self._writer = NpzWriter(path, self._arrays(_rows(data, which), int(which.sum())), compressed)

    def add(self, number: int, episode: Episode) -> None:
        """The next episode, and which it is in the dataset."""
        self._waiting.append((number, episode))
        self._bytes += episode.nbytes
        if self._bytes >= BLOCK:
            self._flush()

    def __enter__(self) -> None:
        self._writer.__enter__()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if kind is None:
            self._flush()
            form = {"version": 1, OBSERVATIONS: self._observation}
            for name, facts in ((FORM, form), (PROVENANCE, self._data.origin())):
                self._writer.add_file(name, json.dumps(facts, ensure_ascii=False).encode())
        self._writer.__exit__(kind, error, at)

    def _arrays(self, rows: int, episodes: int) -> dict[str, NpzArray]:
        steps = {self._keys[name]: NpzArray(row.dtype, (rows, *row.shape)) for name, row in self._data.rows.items()}
        first = {name: steps.pop(name) for name in (OBSERVATIONS, "actions")}
        each: dict[str, np.dtype[Any]] = {NUMBER: np.dtype(np.int64)}
        each |= {f"{ONCE}{name}": np.dtype(dtype) for name, dtype in SUMMARY.items()}
        each |= {f"{ONCE}{name}/ends": np.dtype(np.int64) for name in self._texts}
        each |= {f"{RESETS_PRESENT}{name}": np.dtype(np.bool_) for name in self._resets}
        once = {name: NpzArray(dtype, (episodes,)) for name, dtype in each.items()}
        resets = {f"{RESETS}{name}": NpzArray(row.dtype, (episodes, *row.shape)) for name, row in self._resets.items()}
        return first | {ENDS: NpzArray(np.dtype(np.bool_), (rows,))} | steps | once | resets

    def _flush(self) -> None:
        """Write what waits."""
        if not self._waiting:
            return
        episodes = [episode for _, episode in self._waiting]
        columns = [beside(episode, self._data.rows) for episode in episodes]
        for name, key in self._keys.items():
            self._writer.append(key, np.concatenate([each[name] for each in columns]))
        self._writer.append(ENDS, np.concatenate([episode.is_last for episode in episodes]))
        self._writer.append(NUMBER, np.array([number for number, _ in self._waiting], np.int64))
        once = [once_of(episode) for episode in episodes]
        for name, dtype in SUMMARY.items():
            self._writer.append(f"{ONCE}{name}", np.array([each[name] for each in once], dtype))
        for name in self._texts:
            self._append_texts(name, [str(each[name]).encode() for each in once])
        for name, row in self._resets.items():
            there = [name in episode.reset_info for episode in episodes]
            nothing = np.zeros(row.shape, row.dtype)
            self._writer.append(f"{RESETS_PRESENT}{name}", np.array(there))
            self._writer.append(f"{RESETS}{name}", np.stack([e.reset_info.get(name, nothing) for e in episodes]))
        self._waiting, self._bytes = [], 0

    def _append_texts(self, name: str, texts: list[bytes]) -> None:
        ends = self._text_ends[name] + np.cumsum([len(text) for text in texts], dtype=np.int64)
        self._text_ends[name] = int(ends[-1])
        self._writer.append(f"{ONCE}{name}/ends", ends)
        self._writer.grow(f"{ONCE}{name}/bytes", np.frombuffer(b"".join(texts), np.uint8))


def is_validation(count: int, share: float) -> Bool[np.ndarray, " count"]:
    """Which of `count` episodes are for validation: one of each 1/share that follow one another, chosen by its number.

    More episodes change nothing for those before them, but that of two or more episodes at least one is chosen.

    >>> np.flatnonzero(is_validation(40, 0.1)).tolist()
    [0, 13, 26, 33]
    """
    exact, chosen = Fraction(str(share)), np.zeros(count, np.bool_)
    if count < 2 or not share:
        return chosen
    for group in range(math.ceil(count * exact)):
        first, end = math.ceil(group / exact), math.ceil((group + 1) / exact)
        draw = int.from_bytes(hashlib.sha256(str(group).encode()).digest()[:8], "big")
        if (number := first + draw % (end - first)) < count:
            chosen[number] = True
    chosen[-1] |= not chosen.any()
    return chosen


def _name(data: Outgoing) -> str:
    """Without `.npz` in it: OGBench's `make_env_and_datasets` looks for that to find the second file."""
    return slug(f"{data.domain}-{data.task}-{data.name}")


def _rows(data: Outgoing, which: Bool[np.ndarray, " n"]) -> int:
    """Rows of some of the episodes as they leave."""
    rows = data.dataset.lengths + 1
    if data.final_observation == FinalObservation.DROP:
        rows = rows - ~data.dataset.per_episode("has_final_observation")
    return int(rows[which].sum())
