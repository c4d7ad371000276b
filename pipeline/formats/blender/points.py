"""The points of an experiment's rows, which RLHF-Blender's view of all episodes shows: one file a checkpoint."""

from __future__ import annotations

import glob
import json
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int64, Num, Shaped

from pipeline.command import again
from pipeline.errors import InvalidInput
from pipeline.formats.blender.places import CheckpointPlace
from pipeline.formats.clusters import MOST_CLUSTERS, cluster_points
from pipeline.formats.projection import Plane, fit_plane, flattened_rows
from pipeline.machine.files import write_atomic
from pipeline.machine.npy import read_npy_header
from pipeline.sources.rlhf_blender.names import EPISODES

BLOCK_BYTES = 2**24
"""Raw bytes of observations that are read at a time."""

STAMP = "repertoire"
"""The array that says, as JSON, of what the points were made; RLHF-Blender does not read it."""


def write_points(root: Path, places: Sequence[CheckpointPlace], clusters: int | None) -> None:
    """Write the points of all checkpoints of an experiment, along the same two axes: PCA of the observations of all.

    Raises InvalidInput for observations that have no common axes: of several shapes, or not finite.
    """
    files = {place: _episode_files(root, place) for place in places}
    if not any(files.values()):
        return
    try:
        plane = fit_plane(lambda: _blocks([file for each in files.values() for file in each]))
    except (InvalidInput, ValueError) as error:
        raise InvalidInput(
            f"{root}: the files are laid, but the observations of the experiment have no points in a plane: {error}\n"
            f"Leave them out: {again(format__projection='none')}"
        ) from error
    for place, own in files.items():
        stamp = _stamp(root, places, place, clusters)
        arrays = _arrays(own, plane, clusters or min(MOST_CLUSTERS, len(own)), stamp)
        path = root / place.projection
        path.parent.mkdir(parents=True, exist_ok=True)
        for left in path.parent.glob(f".{glob.escape(path.name)}.*.tmp"):
            left.unlink()  # of a run that was killed
        write_atomic(path, lambda file, arrays=arrays: np.savez(file, **arrays))  # type: ignore[misc]


def are_written(root: Path, places: Sequence[CheckpointPlace], clusters: int | None) -> bool:
    """Whether the points of all checkpoints are there, and of these files."""
    return all(_stamped(root / place.projection) == _stamp(root, places, place, clusters) for place in places)


def _arrays(files: Sequence[Path], plane: Plane, clusters: int, stamp: str) -> dict[str, Any]:
    points = np.concatenate([plane.points(block) for block in _blocks(files)])
    labels, centroids = cluster_points(points, clusters)
    rows = [len(_array(file, "dones")) for file in files]
    return {
        "projection_array": points,
        "labels": labels,
        "centroids": centroids,
        "merged_points": np.zeros((0, 6)),
        "connections": np.zeros((0, 3)),
        "feature_projection": np.zeros((0, 2)),
        "transition_projection": np.zeros((0, 2)),
        "actions": np.concatenate([_array(file, "actions") for file in files]),
        "dones": np.concatenate([_array(file, "dones") for file in files]),
        "episode_indices": _repeated(rows),
        STAMP: np.array(stamp),
    }


def _repeated(rows: Sequence[int]) -> Int64[np.ndarray, " n"]:
    return np.repeat(np.arange(len(rows), dtype=np.int64), rows)


def _blocks(files: Sequence[Path]) -> Iterator[Num[np.ndarray, "rows d"]]:
    """The observations of all rows of some episodes, each as one row of numbers."""
    for file in files:
        for block in _read_blocks(file, "obs"):
            yield flattened_rows({"observation": block})


def _read_blocks(file: Path, name: str) -> Iterator[Shaped[np.ndarray, "rows ..."]]:
    """An array of an .npz, some rows at a time. Runs no code of the file."""
    with zipfile.ZipFile(file) as npz, npz.open(f"{name}.npy") as array:
        shape, fortran, dtype = read_npy_header(array)
        if dtype.hasobject or fortran or not shape:
            raise InvalidInput(f"{name} of {file} is no array of numbers in rows.")
        row = dtype.itemsize * int(np.prod(shape[1:]))
        step = max(1, BLOCK_BYTES // max(1, row))
        for start in range(0, shape[0], step):
            rows = min(step, shape[0] - start)
            yield np.frombuffer(array.read(rows * row), dtype).reshape(rows, *shape[1:])


def _array(file: Path, name: str) -> Shaped[np.ndarray, "rows ..."]:
    with np.load(file, allow_pickle=False) as npz:
        found: np.ndarray = npz[name]
        return found


def _episode_files(root: Path, place: CheckpointPlace) -> list[Path]:
    """In the order of their numbers."""
    files = (root / place.folder(EPISODES)).glob("*.npz")
    return sorted(files, key=lambda file: int("".join(filter(str.isdecimal, file.stem)) or -1))


def _stamp(root: Path, places: Sequence[CheckpointPlace], own: CheckpointPlace, clusters: int | None) -> str:
    """What the points of one checkpoint depend on, as far as it can be seen without reading."""
    episodes = {place.checkpoint: len(_episode_files(root, place)) for place in places}
    return json.dumps({"checkpoint": own.checkpoint, "episodes": episodes, "clusters": clusters})


def _stamped(path: Path) -> str | None:
    try:
        with np.load(path, allow_pickle=False) as npz:
            return str(npz[STAMP]) if STAMP in npz else None
    except (OSError, ValueError, zipfile.BadZipFile):  # none, or a damaged one: it is written again
        return None
