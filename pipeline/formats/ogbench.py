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
from jaxtyping import Bool, Int64, Shaped

from pipeline.command import again
from pipeline.episode import INFO_TEXTS, RESET, SUMMARY, TEXTS
from pipeline.errors import InvalidInput, unknown_name
from pipeline.formats.choice import holders
from pipeline.formats.contract import CannotHold, Format, Outgoing, Refusal
from pipeline.formats.flat import FlatEpisodes, OnceColumns
from pipeline.formats.npz import NpzArray, NpzWriter
from pipeline.machine.files import sync_file, sync_folder
from pipeline.sources.ogbench import ENDS, FORM, OBSERVATIONS, PROVENANCE, OgbenchSource, step_key
from pipeline.sources.ogbench_once import NUMBER, ONCE, RESETS, RESETS_PRESENT
from pipeline.wording import check_choice, few, slug

WINDOW_BYTES = 2**24
"""Raw bytes of all step arrays that are read and written at a time."""

EPISODES = 4096
"""Of so many, what they say once is written at a time."""

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
        episodes = FlatEpisodes(outgoing)
        held_out = is_validation(len(outgoing), self._validation)
        paths = {f"{_name(outgoing)}.npz": ~held_out, f"{_name(outgoing)}-val.npz": held_out}
        paths = {name: which for name, which in paths.items() if which.any() or not held_out.size}
        with ExitStack() as stack:
            files = [
                _File(place / f".{name}", outgoing, episodes, which, self._chosen(outgoing), self._compressed)
                for name, which in paths.items()
            ]
            for file in files:
                stack.enter_context(file)
            _write_steps(files, episodes)
            _write_once(files, episodes)
        for name in paths:
            sync_file(place / f".{name}")
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


def _write_steps(files: Sequence[_File], episodes: FlatEpisodes) -> None:
    """Write all step arrays, each row into the file of its episode."""
    tell = episodes.progress()
    rows = max(1, WINDOW_BYTES // max(1, sum(row.nbytes for row in episodes.specs.values())))
    for start in range(0, episodes.rows, rows):
        stop = min(start + rows, episodes.rows)
        of_file = [file.rows(start, stop) for file in files]
        ends = np.zeros(stop - start, np.bool_)
        ends[episodes.lasts(start, stop)] = True
        for file, own in zip(files, of_file, strict=True):
            file.append_ends(ends[own])
        for name in episodes.specs:
            block = episodes.read(name, start, stop)
            for file, own in zip(files, of_file, strict=True):
                file.append_step(name, block[own])
        tell(stop / episodes.rows)


def _write_once(files: Sequence[_File], episodes: FlatEpisodes) -> None:
    """Write what episodes say once, each into its file."""
    for start in range(0, len(episodes), EPISODES):
        stop = min(start + EPISODES, len(episodes))
        once, resets = episodes.once(start, stop), list(episodes.resets(start, stop))
        for file in files:
            file.append_once(np.arange(start, stop), once, resets)


class _File:
    """One file: the episodes at which `which` is True."""

    def __init__(
        self,
        path: Path,
        data: Outgoing,
        episodes: FlatEpisodes,
        which: Bool[np.ndarray, " n"],
        observation: str,
        compressed: bool,
    ) -> None:
        self._data, self._episodes, self._which, self._observation = data, episodes, which, observation
        self._keys = {name: step_key(name, observation) for name in episodes.specs}
        self._resets = {name.removeprefix(RESET): row for name, row in data.dataset.reset_specs().items()}
        self._texts = [*TEXTS, *([INFO_TEXTS] if data.dataset.has_info_texts() else [])]
        self._text_ends = dict.fromkeys(self._texts, 0)
        rows = int((episodes.lengths + 1)[which].sum())
        self._writer = NpzWriter(path, self._arrays(rows, int(which.sum())), compressed)

    def rows(self, start: int, stop: int) -> Bool[np.ndarray, " rows"] | slice:
        """Which of the rows [start, stop) of all episodes are its own."""
        ends = self._episodes.ends
        first, last = np.searchsorted(ends, (start, stop - 1), "right")
        which = self._which[first : last + 1]
        if which.all():  # none is copied
            return slice(None)
        return np.repeat(which, np.diff(np.minimum(ends[first : last + 1], stop), prepend=start))

    def append_ends(self, ends: Bool[np.ndarray, " rows"]) -> None:
        """Which of its next rows are the last ones of their episodes."""
        self._writer.append(ENDS, ends)

    def append_step(self, name: str, rows: Shaped[np.ndarray, "rows ..."]) -> None:
        """The next rows of a step array."""
        self._writer.append(self._keys[name], rows)

    def append_once(
        self,
        numbers: Int64[np.ndarray, " n"],
        once: OnceColumns,
        resets: Sequence[tuple[str, Shaped[np.ndarray, "n ..."], Bool[np.ndarray, " n"]]],
    ) -> None:
        """What the next episodes of all say once; it takes its own of them."""
        own = self._which[numbers]
        self._writer.append(NUMBER, numbers[own])
        for name, dtype in SUMMARY.items():
            self._writer.append(f"{ONCE}{name}", np.asarray(once[name], dtype)[own])
        for name in self._texts:
            self._append_texts(name, [str(once[name][number]).encode() for number in np.flatnonzero(own)])
        for name, values, present in resets:
            self._writer.append(f"{RESETS_PRESENT}{name}", present[own])
            self._writer.append(f"{RESETS}{name}", values[own])

    def __enter__(self) -> None:
        self._writer.__enter__()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if kind is None:
            form = {"version": 1, OBSERVATIONS: self._observation}
            for name, facts in ((FORM, form), (PROVENANCE, self._data.origin())):
                self._writer.add_file(name, json.dumps(facts, ensure_ascii=False).encode())
        self._writer.__exit__(kind, error, at)

    def _arrays(self, rows: int, episodes: int) -> dict[str, NpzArray]:
        steps = {
            self._keys[name]: NpzArray(row.dtype, (rows, *row.shape)) for name, row in self._episodes.specs.items()
        }
        first = {name: steps.pop(name) for name in (OBSERVATIONS, "actions")}
        each: dict[str, np.dtype[Any]] = {NUMBER: np.dtype(np.int64)}
        each |= {f"{ONCE}{name}": np.dtype(dtype) for name, dtype in SUMMARY.items()}
        each |= {f"{ONCE}{name}/ends": np.dtype(np.int64) for name in self._texts}
        each |= {f"{RESETS_PRESENT}{name}": np.dtype(np.bool_) for name in self._resets}
        once = {name: NpzArray(dtype, (episodes,)) for name, dtype in each.items()}
        resets = {f"{RESETS}{name}": NpzArray(row.dtype, (episodes, *row.shape)) for name, row in self._resets.items()}
        return first | {ENDS: NpzArray(np.dtype(np.bool_), (rows,))} | steps | once | resets

    def _append_texts(self, name: str, texts: list[bytes]) -> None:
        if not texts:
            return
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
