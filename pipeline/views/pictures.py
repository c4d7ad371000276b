"""The pictures of a dataset's rows, decoded: what stage=collect with render=true, stage=frames or a source kept."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int64, UInt8

from pipeline.artifacts.artifact import Artifact
from pipeline.artifacts.store import artifact_in_place
from pipeline.command import Command, typed
from pipeline.dataset.columns import RowSpec
from pipeline.dataset.prefix import covering
from pipeline.dataset.reader import EpisodeDataset
from pipeline.dataset.workspace import Workspace
from pipeline.errors import ArtifactNotFound, DamagedArtifact, InvalidInput
from pipeline.frames.png import decode_own, decode_png
from pipeline.frames.store import ENDS, FRAMES, PNG, SIDES_AT
from pipeline.machine.threads import own_threads
from pipeline.storage.spans import Spans
from pipeline.wording import how_many

FRAME = "frame"
"""The field that is a row's picture."""


class PicturesOfRows:
    """Reads the pictures of rows of a dataset's episodes: (height, width, 3) uint8.

    Those of a derived dataset are its own, or those of the datasets that it refers to.

    Raises ArtifactNotFound where nobody has drawn them, with the command that does; InvalidInput where nobody can.
    """

    def __init__(self, dataset: EpisodeDataset) -> None:
        self._dataset = dataset
        self._own, self._files = _pictures_of(dataset)
        self.row = RowSpec(np.dtype(np.uint8), self._files[0].size())

    def read(
        self,
        episodes: Int64[np.ndarray, " n"],
        starts: Int64[np.ndarray, " n"],
        counts: Int64[np.ndarray, " n"],
        out: UInt8[np.ndarray, "rows h w 3"],
        at: Int64[np.ndarray, " n"],
    ) -> None:
        """Decode the pictures of the rows [start, start + count) of each episode to out[at : at + count].

        A picture that a source lacks is black. Raises DamagedArtifact for files that are no pictures, InvalidInput for
        those of another size.
        """
        if self._own:
            dataset = self._dataset
            firsts = (dataset.state_ends - dataset.lengths)[episodes] + episodes + starts
            self._files[0].read(firsts, counts, out, at)
            return
        assert self._dataset.index is not None
        owners, rows = self._dataset.index.places(episodes)
        for owner in np.unique(owners).tolist():
            here = owners == owner
            self._files[owner].read((rows + starts)[here], counts[here], out, at[here])


class StoredPictures:
    """The pictures of a folder of arrays, by the rows of the dataset that they are of: so many `rows`."""

    def __init__(self, folder: Path, rows: int) -> None:
        self._folder, self.rows = folder, rows
        here = partial(_always, folder)
        self._png = Spans(here, PNG, (), np.dtype(np.uint8))
        self._stored_ends = Spans(here, ENDS, (), np.dtype(np.int64))

    def size(self) -> tuple[int, int, int]:
        """Height, width and channels of the first picture."""
        head = np.empty(SIDES_AT + 8, np.uint8)
        _read(self._png, np.zeros(1, np.int64), np.array([len(head)]), head)
        width, height = head[SIDES_AT:].view(">u4").tolist()
        return height, width, 3

    def read(
        self,
        firsts: Int64[np.ndarray, " n"],
        counts: Int64[np.ndarray, " n"],
        out: UInt8[np.ndarray, "rows h w 3"],
        at: Int64[np.ndarray, " n"],
    ) -> None:
        """Decode the pictures of rows [first, first + count) to out[at : at + count]."""
        ends = self._ends
        begins, stops = ends[firsts], ends[firsts + counts]
        png = np.empty(int((stops - begins).sum()), np.uint8)
        _read(self._png, begins, stops - begins, png)
        within = np.arange(int(counts.sum())) - np.repeat(np.cumsum(counts) - counts, counts)
        rows, places = np.repeat(firsts, counts) + within, np.repeat(at, counts) + within
        bounds = np.concatenate([[0], np.cumsum(ends[rows + 1] - ends[rows])])
        threads = own_threads()
        decode = partial(self._decode, png, bounds, rows, places, out)
        if threads == 1 or len(rows) < 2 * threads:
            decode(slice(None))
            return
        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(decode, (slice(thread, None, threads) for thread in range(threads))))

    def _decode(
        self,
        png: UInt8[np.ndarray, " bytes"],
        bounds: Int64[np.ndarray, " pictures+1"],
        rows: Int64[np.ndarray, " pictures"],
        places: Int64[np.ndarray, " pictures"],
        out: UInt8[np.ndarray, "rows h w 3"],
        some: slice,
    ) -> None:
        table = np.stack([bounds[:-1], bounds[1:], rows, places], 1)[some]
        for begin, stop, row, place in table.tolist():
            if begin == stop:
                out[place] = 0
            elif not decode_own(data := png[begin:stop].tobytes(), out[place]):
                out[place] = self._foreign(data, row, out.shape[1:])

    def _foreign(self, data: bytes, row: int, shape: tuple[int, ...]) -> UInt8[np.ndarray, "h w 3"]:
        """The picture of a file that is not plain 8-bit RGB."""
        try:
            picture = decode_png(data)
        except InvalidInput as error:
            raise DamagedArtifact(f"The picture of row {row} in {self._folder} cannot be read: {error}") from error
        if picture.shape != shape:
            raise InvalidInput(
                f"The picture of row {row} in {self._folder} is {picture.shape[1]} x {picture.shape[0]}, the first one "
                f"{shape[1]} x {shape[0]}: leave {FRAME} out of fields=."
            )
        return picture

    @cached_property
    def _ends(self) -> Int64[np.ndarray, " rows+1"]:
        """Where each file ends, after a 0."""
        ends = np.zeros(self.rows + 1, np.int64)
        _read(self._stored_ends, np.zeros(1, np.int64), np.array([self.rows]), ends[1:])
        return ends

    def __getstate__(self) -> dict[str, Any]:
        """Without what each process reads for itself."""
        return {name: value for name, value in self.__dict__.items() if name != "_ends"}


def _pictures_of(dataset: EpisodeDataset) -> tuple[bool, list[StoredPictures]]:
    """Whether the pictures are of the dataset itself, and the files; else those of each dataset that it refers to."""
    artifact = dataset.artifact
    if artifact is None or dataset.index is None:
        raise InvalidInput(f"The field {FRAME} needs a dataset of a workspace; {dataset.name} was opened without one.")
    rows = dataset.states + len(dataset)
    if (own := _drawn(artifact)) is not None and own.rows >= rows:
        return True, [own]
    if artifact.is_derived:
        owners = [_drawn(artifact_in_place(owner.folder)) for owner in dataset.index.owners]
        files = [each for each in owners if each is not None]
        if len(files) == len(owners) and _cover(dataset, files):
            return False, files
    if "environment" not in artifact.manifest.parameters and not artifact.is_derived:
        raise InvalidInput(
            f"The field {FRAME} shows pictures of the simulator, and {dataset.name} was not made by one of this "
            f"project, so there are none. Leave {FRAME} out of fields=."
        )
    have = "there are only those of its first episodes" if own is not None else "there are none"
    root = {} if typed().words else {"paths.root": str(artifact.path.parents[4])}
    raise ArtifactNotFound(
        f"The field {FRAME} shows pictures, and of {how_many(len(dataset), 'episodes')} of {dataset.name} {have}.",
        Command("frames", artifact.task, f"domain={artifact.domain}", {"dataset": artifact.manifest.version, **root}),
    )


def _drawn(dataset: Artifact) -> StoredPictures | None:
    workspace = Workspace(str(dataset.path.parents[4]))
    found = covering(workspace, dataset, FRAMES)
    if found is None:
        return None
    found.require_whole()
    return StoredPictures(found.arrays, int(found.manifest.counts["frames"]))


def _cover(dataset: EpisodeDataset, files: list[StoredPictures]) -> bool:
    """Whether the pictures of the datasets that one refers to are those of all its episodes."""
    assert dataset.index is not None
    owners, firsts = dataset.index.places(np.arange(len(dataset)))
    return bool((firsts + dataset.lengths < np.array([each.rows for each in files])[owners]).all())


def _always(folder: Path, number: int) -> Path:
    return folder


def _read(spans: Spans, starts: Int64[np.ndarray, " n"], counts: Int64[np.ndarray, " n"], out: Any) -> None:
    """Read runs of numbers one after the other."""
    spans.read(np.zeros(len(starts), np.int64), starts, counts, out, np.cumsum(counts) - counts)
