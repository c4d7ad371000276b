"""The arrays of a D4RL file by name, those of chunked sets joined."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from jaxtyping import Int64, Shaped

from pipeline.episode import INFO, PRESENT
from pipeline.errors import InvalidInput
from pipeline.sources.hdf5 import Hdf5, column_of, infos_of, note_unread, numbers_of, require_layout, same_rows
from pipeline.sources.quirks import Quirks

OBSERVATIONS, NEXT, ACTIONS, REWARDS = "observations", "next_observations", "actions", "rewards"
TERMINALS, TIMEOUTS = "terminals", "timeouts"
INFOS, VIRTUAL, METADATA = "infos", "virtual", "metadata"
DISCOUNTS, MASKS = f"{METADATA}/discounts", f"{METADATA}/infos_present"


class D4rlRows:
    """The arrays of steps in an open file.

    Attributes:
        file: what holds them.
        count: their rows.
        has_next: each observation has a next one.
        is_chunked: they lie in several pieces, which are joined.

    Raises InvalidInput where an array is missing, or they do not fit together.
    """

    def __init__(self, file: Hdf5) -> None:
        self.file = file
        require_layout(file, "d4rl")
        chunks = {name.split("/")[1] for name in file.below(VIRTUAL) if name.count("/") > 1}
        joined = not file.below(OBSERVATIONS) and chunks and all(each.isdecimal() for each in chunks)
        self.is_chunked = bool(joined)
        self._pieces = [f"{VIRTUAL}/{each}/" for each in sorted(chunks, key=int)] if joined else [""]
        names = [self._names(piece) for piece in self._pieces]
        rows = [self._checked(piece, own) for piece, own in zip(self._pieces, names, strict=True)]
        self._names_of_all = set.intersection(*names)
        self._not_in_all = sorted(set.union(*names) - self._names_of_all) if joined else []
        self._ends: Int64[np.ndarray, " k"] = np.cumsum(rows)
        self.count = int(self._ends[-1])
        self._require_alike()
        observations = self.below(OBSERVATIONS)
        self.has_next = all(self.next_of(name) in self for name in observations)

    def __contains__(self, name: str) -> bool:
        return name in self._names_of_all

    def below(self, group: str) -> list[str]:
        """Names of the arrays inside a group, or of the array of that name."""
        return sorted(name for name in self._names_of_all if name == group or name.startswith(f"{group}/"))

    def next_of(self, observations: str) -> str:
        """The name of the next observations."""
        return NEXT + observations.removeprefix(OBSERVATIONS)

    def row_bytes(self, name: str) -> int:
        """Raw bytes of one row."""
        return self.file.row_bytes(self._pieces[0] + name)

    def read(self, name: str, start: int, stop: int) -> Shaped[np.ndarray, "rows ..."]:
        """Rows [start, stop) of an array."""
        found = []
        for piece, end, before in zip(self._pieces, self._ends, [0, *self._ends[:-1]], strict=True):
            if before < stop and start < end:
                found.append(
                    self.file.read(piece + name, max(0, start - int(before)), min(stop, int(end)) - int(before))
                )
        return found[0] if len(found) == 1 else np.concatenate(found)

    def columns(self, exact: bool, quirks: Quirks) -> dict[str, str]:
        """The datasets of the step arrays by our names; masks and discounts are those of an export of ours."""
        columns = {f"observation{name.removeprefix(OBSERVATIONS)}": name for name in self.below(OBSERVATIONS)}
        columns |= {"action": ACTIONS, "reward": REWARDS}
        if exact:
            columns |= {"discount": DISCOUNTS} if DISCOUNTS in self.file else {}
            columns |= {f"{PRESENT}{name.removeprefix(f'{MASKS}/')}": name for name in self.file.below(MASKS)}
            same_rows(self.file, list(columns.values()))
        if not self.is_chunked:
            known = {*columns.values(), TERMINALS, TIMEOUTS, *self.below(NEXT)}
            used = {*known, *self.file.below(VIRTUAL), *(self.file.below(METADATA) if exact else [])}
            return columns | infos_of(self.file, self.count, used, _info_name, quirks)
        quirks.note(
            "chunks",
            "The rows of {count} chunks were joined.",
            len(self._pieces),
            rule="chunks follow one another by number",
        )
        note_unread(self._not_in_all, "are not in each chunk", quirks)
        return columns | {_info_name(name): name for name in self.below(INFOS)}

    def _names(self, piece: str) -> set[str]:
        return {name.removeprefix(piece) for name in self.file.datasets if name.startswith(piece)}

    def _checked(self, piece: str, names: set[str]) -> int:
        """The rows of one piece."""
        observations = [name for name in sorted(names) if name == OBSERVATIONS or name.startswith(f"{OBSERVATIONS}/")]
        after = [self.next_of(name) for name in observations if self.next_of(name) in names]
        infos = [name for name in sorted(names) if piece and name.startswith(f"{INFOS}/")]
        wanted = [*(observations or [OBSERVATIONS]), ACTIONS, REWARDS, TERMINALS, *after, *infos]
        for name in wanted:
            numbers_of(self.file, piece + name, f"one of the {name.split('/')[0]} a row")
        single = [REWARDS, TERMINALS, *({TIMEOUTS} & names)]
        for name in single:
            column_of(self.file, piece + name, f"one of the {name} a row")
        return same_rows(self.file, [piece + name for name in dict.fromkeys([*wanted, *single])])

    def _require_alike(self) -> None:
        """Raises InvalidInput where an array has other rows in one chunk than in another, or other than its next."""
        for name in [*self.below(OBSERVATIONS), ACTIONS, *(self.below(INFOS) if self.is_chunked else [])]:
            also = [self.next_of(name)] if self.next_of(name) in self and name.startswith(OBSERVATIONS) else []
            paths = [piece + each for piece in self._pieces for each in [name, *also]]
            rows = {(self.file.datasets[path].dtype, self.file.datasets[path].shape[1:]) for path in paths}
            if len(rows) > 1:
                raise InvalidInput(f"{self.file.path}: {', '.join(paths[:4])} should have rows of one dtype and shape.")


@contextmanager
def open_d4rl(path: Path) -> Iterator[D4rlRows]:
    """The arrays of a file, which is open inside the block."""
    with Hdf5(path) as file:
        yield D4rlRows(file)


def _info_name(path: str) -> str:
    return f"{INFO}{path.removeprefix(f'{INFOS}/')}"
