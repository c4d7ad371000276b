"""Episodes that one job of several makes for a dataset, for another job that joins them (`grow`)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pipeline.artifacts.artifact import PARTS, Artifact, Spec
from pipeline.artifacts.claim import DraftFolder
from pipeline.artifacts.pieces import PiecesFolder, making_pieces
from pipeline.artifacts.store import ArtifactStore
from pipeline.dataset.amount import Size
from pipeline.dataset.grow import same_settings
from pipeline.dataset.parts import ENDS
from pipeline.storage.choice import open_arrays


@contextmanager
def dataset_pieces(store: ArtifactStore, spec: Spec, numbers: range, stage: str) -> Iterator[PiecesFolder[Size]]:
    """The folder for some pieces of a dataset; `before` is how much of it is in parts already.

    Raises IdentityMismatch where the name, or its pieces, stand for other settings.
    """
    other_storage = same_settings(store, spec)

    def look(draft: DraftFolder) -> Size:
        there = [_size_in_parts(draft.path, store.get(spec))]
        if other_storage is not None:  # whoever joins copies from it
            there.append(_size_in_parts(draft.path / "nothing", other_storage))
        return max(there)

    with making_pieces(store.folder(spec), spec, numbers, stage, look) as pieces:
        yield pieces


def _size_in_parts(draft: Path, existing: Artifact | None) -> Size:
    """Episodes and states in the parts of a dataset, and in those that follow them in an unfinished draft of it."""
    episodes, states = 0, 0
    ends = {0: 0}
    for part in existing.manifest.parts if existing else ():
        episodes, states = episodes + part.episodes, states + part.states
        ends[episodes] = states
    for folder in sorted((draft / PARTS).glob("[0-9]*-[0-9]*")):
        first, last = map(int, folder.name.split("-"))
        if first in ends:
            rows = open_arrays(folder)[ENDS][:]
            ends[last] = ends[first] + int(rows[-1]) - len(rows)
    return Size(max(ends), ends[max(ends)])
