"""An HDF5 set is written in segments, so that a killed export goes on: hidden files that are joined in the end."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from pathlib import Path

from h5py import h5f, h5g, h5o

from pipeline.episode import Episode
from pipeline.formats.contract import Outgoing
from pipeline.formats.minari.hdf5 import GroupWriter, new_hdf5
from pipeline.formats.minari.rows import minari_arrays, minari_facts, reset_attributes
from pipeline.machine.files import sync_file
from pipeline.sources.minari.layout import EPISODE, MAIN, ArrayPlace

SEGMENT = 2**30
"""Bytes of episodes in a segment: so much is written again after a kill."""

PARTIAL = ".partial.hdf5"


def write_groups(
    data: Outgoing, places: Sequence[ArrayPlace], folder: Path, compression: str, size: int = SEGMENT
) -> None:
    """`main_data.hdf5` of all episodes of a task. Goes on after the segments that are finished.

    `size`: bytes of episodes in a segment. One segment becomes the file itself; several are copied into it.
    """
    if (folder / MAIN).exists():
        return
    counts = _finished(folder)
    start, rows = sum(counts), data.rows
    numbered = groupby(enumerate(data.episodes(start), start), _Cut(size, len(counts)))
    for segment, episodes in numbered:
        with new_hdf5(folder / PARTIAL) as file:
            writer = GroupWriter(file, compression)
            for number, episode in episodes:
                arrays = minari_arrays(episode, rows, places)
                writer.write(f"{EPISODE}{number}", arrays, minari_facts(episode, number), reset_attributes(episode))
        _finish(folder / PARTIAL, _segment(folder, segment))
    _join(sorted(folder.glob(".segment-*.hdf5")), folder)


class _Cut:
    """The segment of each episode."""

    def __init__(self, size: int, segment: int) -> None:
        self._size, self._segment, self._bytes = size, segment, 0

    def __call__(self, numbered: tuple[int, Episode]) -> int:
        segment = self._segment
        self._bytes += numbered[1].nbytes
        if self._bytes >= self._size:
            self._segment, self._bytes = segment + 1, 0
        return segment


def _segment(folder: Path, number: int) -> Path:
    return folder / f".segment-{number:06}.hdf5"


def _finished(folder: Path) -> list[int]:
    """How many episodes each finished segment holds; one that a power cut tore goes, with all after it."""
    counts: list[int] = []
    for path in sorted(folder.glob(".segment-*.hdf5")):
        try:
            whole = path == _segment(folder, len(counts))
            counts += [_episodes_in(path)] if whole else []
        except OSError:
            whole = False
        if not whole:
            path.unlink()
    return counts


def _episodes_in(path: Path) -> int:
    file = h5f.open(str(path).encode(), h5f.ACC_RDONLY)
    try:
        return int(h5g.open(file, b"/").get_num_objs())
    finally:
        file.close()


def _join(segments: Sequence[Path], folder: Path) -> None:
    if len(segments) == 1:
        segments[0].rename(folder / MAIN)
        return
    episode = 0
    with new_hdf5(folder / PARTIAL) as joined:
        for path in segments:
            file = h5f.open(str(path).encode(), h5f.ACC_RDONLY)
            for _ in range(h5g.open(file, b"/").get_num_objs()):
                name = f"{EPISODE}{episode}".encode()
                h5o.copy(file, name, joined, name)
                episode += 1
            file.close()
    _finish(folder / PARTIAL, folder / MAIN)
    for path in segments:
        path.unlink()


def _finish(partial: Path, path: Path) -> None:
    sync_file(partial)
    partial.rename(path)
