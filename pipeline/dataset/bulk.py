"""Parts that a source has written itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Int64

from pipeline.dataset.parts import ENDS, Facts, facts_in, pack, save_part, unpack
from pipeline.dataset.stuck import STUCK
from pipeline.dataset.summary import PartSummary, summary_of
from pipeline.machine.files import FileTable
from pipeline.storage.choice import open_arrays
from pipeline.storage.contract import Storage


@dataclass(frozen=True)
class StoredPart:
    """A finished part in `folder`, which the dataset will adopt.

    Attributes:
        files: checksums by path below the folder.
        lengths: states of its episodes.
        sums: (n,) integers by name, one for each episode; the dataset counts their sums.
        facts: what else is known about the part.
        summary: where it is known without opening the part.
    """

    folder: Path
    files: FileTable
    lengths: Int64[np.ndarray, " n"]
    sums: Mapping[str, Int64[np.ndarray, " n"]] = field(default_factory=dict)
    facts: Facts = field(default_factory=dict)
    summary: PartSummary | None = None

    def all_facts(self) -> dict[str, int | str]:
        """What the part's file of facts says: the sums, too, and how many of its episodes are stuck."""
        facts = {**self.facts, **{name: int(values.sum()) for name, values in self.sums.items()}}
        still = self.summary.stuck if self.summary else (facts_in(self.folder) or {}).get(STUCK)
        return facts | ({STUCK: still} if still else {})

    def summarised(self) -> PartSummary:
        """The summary, read from the part where it is not known."""
        return self.summary or summary_of(open_arrays(self.folder))

    def only(self, keep: Bool[np.ndarray, " n"], storage: Storage) -> StoredPart:
        """The part with only the episodes that `keep` marks; it is rewritten unless all are kept."""
        if keep.all():
            return self
        arrays = {name: array[:] for name, array in open_arrays(self.folder).items()}
        episodes = [episode for episode, kept in zip(unpack(arrays), keep, strict=True) if kept]
        folder = self.folder.with_name(f"{self.folder.name}-{len(episodes)}-of-{len(arrays[ENDS])}")
        packed = pack(episodes)
        return replace(
            self,
            folder=folder,
            files=save_part(storage, folder, packed),
            lengths=self.lengths[keep],
            sums={name: values[keep] for name, values in self.sums.items()},
            summary=summary_of(packed),
        )
