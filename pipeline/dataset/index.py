"""The index of a dataset: where its episodes lie, known at once however many they are, without reading its manifest.

It lies beside the dataset's folder and is right for exactly one manifest, whose checksum it holds. Whatever is older,
or damaged, is made again (`pipeline.dataset.indexing`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from shlex import quote
from typing import Any, NoReturn

import numpy as np
from blake3 import blake3
from jaxtyping import Bool, Int64, Shaped

from pipeline.artifacts.artifact import PARTS, Part
from pipeline.artifacts.beside import INDEX, hidden_beside
from pipeline.artifacts.store import artifact_in_place
from pipeline.artifacts.whole import Files, OneByOne, changed_in
from pipeline.dataset.columns import STEPS, RowSpec, mask_of
from pipeline.dataset.parts import ENDS
from pipeline.digest import combine
from pipeline.episode import INFO, PRESENT, SUMMARY
from pipeline.errors import DamagedArtifact, InvalidInput, unknown_name
from pipeline.wording import few, how_many

INDEX_VERSION = 1

ONCE = ("return", *SUMMARY, "digest")
"""Once-per-episode arrays that an index holds."""

READ = (ENDS, *(f"episodes/{name}" for name in ONCE))
"""The arrays of a part that an index is made of."""


@dataclass(frozen=True, eq=False)
class DatasetIndex:
    """Where the first `count` episodes of a dataset lie: in the parts of the datasets that own them.

    What is derived from others has no parts. All others own their episodes, and are their own only owner.

    Attributes:
        folder: of the dataset.
        values: what is no array: `manifest` (the identity of the manifest that it is of), task, version, digest,
            counts, parameters and arrays as that manifest has them.
        arrays: `ends`, and `ONCE`. Of an owner, too: `part_names`, `part_firsts` and `part_rows` (number of the first
            episode and row of each part, and one more), and its files. Of others, `owner` and `first`.
        others: those that own the episodes of a derived dataset; empty for an owner.
        count: episodes.
    """

    folder: Path
    values: Mapping[str, Any]
    arrays: Mapping[str, Shaped[np.ndarray, "..."]]
    others: tuple[DatasetIndex, ...]
    count: int

    def __len__(self) -> int:
        return self.count

    def __repr__(self) -> str:
        return f"DatasetIndex({self.name}: {how_many(self.count, 'episodes')}, {self.folder})"

    @property
    def name(self) -> str:
        """`domain/task/dataset`."""
        return f"{self.values['task']}/{self.values['version']}"

    @property
    def owners(self) -> tuple[DatasetIndex, ...]:
        """The datasets that have the parts."""
        return self.others or (self,)

    @cached_property
    def ends(self) -> Int64[np.ndarray, " n"]:
        """Cumulative rows of the episodes, T+1 each."""
        return self.arrays["ends"][: self.count]

    @cached_property
    def lengths(self) -> Int64[np.ndarray, " n"]:
        """States of each episode."""
        return np.diff(self.ends, prepend=0) - 1

    @property
    def rows(self) -> int:
        """Rows of all episodes."""
        return int(self.ends[-1]) if self.count else 0

    def once(self, name: str) -> Shaped[np.ndarray, "n ..."]:
        """An array of `ONCE` over all episodes."""
        return self.arrays[name][: self.count]

    def digest(self, episodes: int) -> str:
        """The digest of the first `episodes` episodes, as a manifest of them alone would say it.

        Raises DamagedArtifact where what is kept of the episodes does not give what the manifest says of all of them.
        """
        if episodes == len(self.arrays["digest"]):
            return str(self.values["digest"])
        if combine([self.arrays["digest"].tobytes()]) != self.values["digest"]:
            raise self._damaged()
        return combine([self.arrays["digest"][:episodes].tobytes()])

    @property
    def parts(self) -> int:
        """How many parts all owners have."""
        return sum(len(owner.arrays["part_names"]) for owner in self.owners)

    def first(self, episodes: int) -> DatasetIndex:
        """The index of the first `episodes`. Raises InvalidInput where there are fewer."""
        if episodes > self.count:
            raise InvalidInput(f"{self.folder} holds {how_many(self.count, 'episodes')}, {episodes} were asked for.")
        return DatasetIndex(self.folder, self.values, self.arrays, self.others, episodes)

    def places(self, episodes: Int64[np.ndarray, " k"]) -> tuple[Int64[np.ndarray, " k"], Int64[np.ndarray, " k"]]:
        """Of episodes by number: which of the owners has each, and its first row among all rows of that one."""
        if self.others:
            return self.arrays["owner"][episodes].astype(np.int64), self.arrays["first"][episodes]
        firsts = np.where(episodes > 0, self.arrays["ends"][episodes - 1], 0)
        return np.zeros(len(episodes), np.int64), firsts

    @cached_property
    def stored(self) -> dict[str, RowSpec]:
        """One row of each step array that any part has in which some episode lies, by name."""
        stored = {name: RowSpec(np.dtype(dtype), tuple(shape)) for name, dtype, shape in self.values["arrays"]}
        return {name: row for name, row in stored.items() if not _may_lack(name) or self._having(name).any()}

    @cached_property
    def specs(self) -> dict[str, RowSpec]:
        """`stored`, and a mask for each info that some parts lack."""
        specs = dict(self.stored)
        for name in [name for name in specs if name.startswith(INFO)]:
            if not self._having(name).all():
                specs.setdefault(mask_of(name), RowSpec(np.dtype(np.bool_), ()))
        return dict(sorted(specs.items()))

    def spec(self, name: str) -> RowSpec:
        """One row of a step array. Raises UnknownName, a KeyError, where no episode has it."""
        if name not in self.specs:
            raise unknown_name(f"array of {self.name}", name, self.specs)
        return self.specs[name]

    @property
    def used_parts(self) -> int:
        """How many parts of an owner hold its first `count` episodes."""
        return int(np.searchsorted(self.arrays["part_firsts"][:-1], self.count, "left"))

    def part_of(self, rows: Int64[np.ndarray, " k"]) -> Int64[np.ndarray, " k"]:
        """The part of an owner in which each row lies."""
        return np.searchsorted(self.arrays["part_rows"], rows, "right") - 1

    def part(self, part: int) -> Part:
        """An owner's part, of which its bytes and facts are not known."""
        firsts, rows = (self.arrays[name][part : part + 2].tolist() for name in ("part_firsts", "part_rows"))
        episodes = firsts[1] - firsts[0]
        return Part(self.arrays["part_names"][part].decode(), episodes, rows[1] - rows[0] - episodes, 0)

    def part_folder(self, part: int) -> Path:
        """The folder of an owner's part."""
        return self.folder / self._group(part)

    def has(self, name: str) -> Bool[np.ndarray, " parts"]:
        """Which of an owner's parts have a step array."""
        if name not in self._had:
            offsets, files = self.arrays["file_offsets"], self.arrays["file_names"]
            wanted = [self._file_numbers.get(each, -1) for each in (f"{STEPS}{name}/zarr.json", f"{STEPS}{name}.bin")]
            before = np.concatenate([[0], np.cumsum(np.isin(files, wanted))])
            self._had[name] = np.diff(before[offsets]) > 0
        return self._had[name]

    def files(self, part: int) -> Files:
        """Size and checksum of the files of an owner's part, by their path below its folder."""
        start, stop = self.arrays["file_offsets"][part : part + 2].tolist()
        names = self.values["files"]
        rows = [
            (names[number], size, digest.tobytes().hex())
            for number, size, digest in zip(
                self.arrays["file_names"][start:stop].tolist(),
                self.arrays["file_sizes"][start:stop].tolist(),
                self.arrays["file_digests"][start:stop],
                strict=True,
            )
        ]
        if check_of(rows) != self.arrays["part_checks"][part].tobytes():
            raise self._damaged()
        group = self._group(part)
        return {f"{group}/{name}": {"size": size, "blake3": digest} for name, size, digest in rows}

    def require_part(self, part: int) -> None:
        """Raises DamagedArtifact where files of an owner's part are not what its manifest lists.

        To be called before something of the part is read; what was whole is not looked at again.
        """
        group = self._group(part)
        if found := self._checks.damage(group, lambda: self.files(part)):
            self._raise_damaged(part, found)

    def require_array(self, part: int, name: str) -> None:
        """As `require_part`, of the files of one step array alone, which are read now: it is short."""
        group = self._group(part)
        if self._checks.is_whole(group):
            return
        kept = (f"{group}/{STEPS}{name}/", f"{group}/{STEPS}{name}.", f"{group}/zarr.json", f"{group}/shapes.json")
        files = {path: record for path, record in self.files(part).items() if path.startswith(kept)}
        if found := changed_in(self.folder, files):
            self._raise_damaged(part, found)

    def source_of(self, start: int, stop: int) -> bytes:
        """What the rows [start, stop) of an owner are, in 16 bytes: by the parts that hold them and their checksums."""
        first, last = self.part_of(np.array([start, stop - 1])).tolist()
        parts = slice(first, last + 1)
        offsets = self.arrays["part_rows"][parts] - start
        return blake3(self.arrays["part_checks"][parts].tobytes() + offsets.tobytes()).digest(16)

    def likeness(self) -> bytes:
        """What these episodes are, so that they are known again in a dataset that grew since."""
        hasher = blake3()
        for owner in self.owners:
            parts = max(owner.used_parts - 1, 0)  # the last one may have been replaced by a larger one
            hasher.update(owner.arrays["part_checks"][:parts].tobytes())
            hasher.update(owner.ends[owner.arrays["part_firsts"][parts] :].tobytes())
        for each in ("owner", "first", "ends") if self.others else ():
            hasher.update(self.arrays[each][: self.count].tobytes())
        return hasher.digest(16)

    def __reduce__(self) -> tuple[Any, ...]:
        from pipeline.dataset.indexing import reopened  # here, because it imports this module

        return reopened, (self.folder, self.values["manifest"], self.count, self.likeness())

    def _raise_damaged(self, part: int, found: list[str]) -> NoReturn:
        artifact_in_place(self.folder).require_whole({self._group(part): self.files(part)})
        raise DamagedArtifact(f"{self.folder} is damaged: {few(found)}.")  # whole again meanwhile

    def _damaged(self) -> DamagedArtifact:
        path = hidden_beside(self.folder, INDEX)
        return DamagedArtifact(
            f"The index {path} is damaged. It is made again where it is removed.", f"rm {quote(str(path))}"
        )

    @cached_property
    def _checks(self) -> OneByOne:
        return OneByOne(self.folder)

    def _having(self, name: str) -> Bool[np.ndarray, " parts"]:
        """Of the parts in which some episode lies, whatever owner has them: which have a step array."""
        return np.concatenate([owner.has(name)[used] for owner, used in zip(self.owners, self._used, strict=True)])

    @cached_property
    def _used(self) -> list[Shaped[np.ndarray, " used"]]:
        """Of each owner, the parts in which some episode lies."""
        if not self.others:
            return [np.arange(self.used_parts)]
        of, firsts = self.places(np.arange(self.count))
        return [np.unique(owner.part_of(firsts[of == number])) for number, owner in enumerate(self.others)]

    @cached_property
    def _had(self) -> dict[str, Bool[np.ndarray, " parts"]]:
        return {}

    @cached_property
    def _file_numbers(self) -> dict[str, int]:
        return {name: number for number, name in enumerate(self.values["files"])}

    def _group(self, part: int) -> str:
        return f"{PARTS}/{self.arrays['part_names'][part].decode()}"


def _may_lack(name: str) -> bool:
    return name.startswith((INFO, PRESENT))


def check_of(files: list[tuple[str, int, str]]) -> bytes:
    """16 bytes over names, sizes and checksums of a part's files, sorted by name."""
    return blake3("\n".join(f"{name}\0{size}\0{digest}" for name, size, digest in files).encode()).digest(16)
