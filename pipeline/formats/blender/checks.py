"""What is wrong with files of RLHF-Blender: arrays that are not those of the dataset, videos that lack frames."""

from __future__ import annotations

import io
import pickle
import zipfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Shaped
from PIL import Image

from pipeline.errors import DamagedArtifact
from pipeline.formats.blender.files import RENDERS, THUMBNAILS, episode_file
from pipeline.formats.contract import Outgoing
from pipeline.frames.png import decode_png
from pipeline.machine.extras import import_extra
from pipeline.machine.files import read_json
from pipeline.machine.npy import read_npy_header
from pipeline.policies.opaque import read_opaque
from pipeline.sources.rlhf_blender.names import EPISODES, EXPERIMENT
from pipeline.wording import first_few

BlenderArrays = Mapping[str, Shaped[np.ndarray, "..."]]
ArraysOfEpisode = Callable[[Any], tuple[BlenderArrays, BlenderArrays]]
"""An episode -> the arrays of its npz, and the other arrays by the kind of their file."""


def wrong_files(data: Outgoing, folder: Path, arrays: ArraysOfEpisode) -> Iterator[str]:
    """In what a folder is not what a dataset gives, a sentence each. One episode is in memory at a time."""
    yield from _wrong_experiment(data, folder)
    yield from first_few(_wrong_episodes(data, folder, arrays), "episodes differ")


def _wrong_episodes(data: Outgoing, folder: Path, arrays: ArraysOfEpisode) -> Iterator[str]:
    for number, episode in enumerate(data.episodes()):
        inside, beside = arrays(episode)
        what = [*_wrong_arrays(folder, number, inside, beside), *_wrong_pictures(data, folder, number, episode.rows)]
        if what:
            yield f"episode {number}: {', '.join(what)}"


def _wrong_experiment(data: Outgoing, folder: Path) -> Iterator[str]:
    try:
        found = read_json(folder / EXPERIMENT)
        rows, digest = found["rows"], found["provenance"]["digest"]
    except (DamagedArtifact, KeyError, TypeError) as error:
        yield f"{EXPERIMENT} cannot be read: {error}"
        return
    if rows != (data.dataset.lengths + 1).tolist() or digest != data.provenance["digest"]:
        yield f"{EXPERIMENT} is of another dataset"


def _wrong_arrays(folder: Path, number: int, inside: BlenderArrays, beside: BlenderArrays) -> Iterator[str]:
    path = folder / episode_file(EPISODES, number)
    try:
        there = _read_npz(path)
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, pickle.UnpicklingError) as error:
        yield f"{path.name} cannot be read: {error}"
    else:
        yield from (f"{name} of {path.name} differs" for name in inside if not _same(inside[name], there.get(name)))
        yield from (f"{path.name} has {name}, too" for name in there if name not in inside)
    for kind, array in beside.items():
        path = folder / episode_file(kind, number)
        try:
            same = _same(array, _read_npy(path.read_bytes()))
        except (OSError, ValueError, EOFError, pickle.UnpicklingError) as error:
            yield f"{path.name} cannot be read: {error}"
        else:
            yield from [] if same else [f"{path.name} differs"]


def _wrong_pictures(data: Outgoing, folder: Path, number: int, rows: int) -> Iterator[str]:
    assert data.frames is not None
    height, width, _ = decode_png(data.frames[number][0]).shape
    video, thumbnail = (folder / episode_file(kind, number) for kind in (RENDERS, THUMBNAILS))
    try:
        frames, size = _measured(video)
    except (OSError, ValueError) as error:  # PyAV's errors are these
        yield f"{video.name} cannot be read: {error}"
    else:
        if frames != rows:
            yield f"{video.name} has {frames} frames for {rows} rows"
        if size != (width + width % 2, height + height % 2):
            yield f"the frames of {video.name} have another size than its pictures"
    try:
        with Image.open(thumbnail, formats=["JPEG"]) as image:
            image.load()
            found = image.size
    except (OSError, SyntaxError, ValueError) as error:
        yield f"{thumbnail.name} cannot be read: {error}"
    else:
        if found != (width, height) and rows > 1:
            yield f"{thumbnail.name} has another size than the pictures"


def _measured(video: Path) -> tuple[int, tuple[int, int]]:
    """Frames of a video, counted, and their width and height."""
    av = import_extra("video", "av")
    with av.open(str(video)) as container:
        stream = container.streams.video[0]
        frames = sum(1 for packet in container.demux(stream) if packet.size)
        return frames, (stream.codec_context.width, stream.codec_context.height)


def _same(expected: Shaped[np.ndarray, "..."], found: Shaped[np.ndarray, "..."] | None) -> bool:
    if found is None or found.dtype != expected.dtype or found.shape != expected.shape:
        return False
    if expected.dtype.kind == "O":
        return all(_plain(one) == _plain(other) for one, other in zip(expected.ravel(), found.ravel(), strict=True))
    return expected.tobytes() == found.tobytes()


def _plain(value: Any) -> Any:
    """A value that equals another one only where that is the same, of the same type: 1 and True are equal."""
    if isinstance(value, dict):
        return {key: _plain(each) for key, each in value.items()}
    return (value.dtype.str, value.shape, value.tobytes()) if isinstance(value, np.ndarray) else repr(value)


def _read_npz(path: Path) -> dict[str, Shaped[np.ndarray, "..."]]:
    with zipfile.ZipFile(path) as file:
        return {name.removesuffix(".npy"): _read_npy(file.read(name)) for name in file.namelist()}


def _read_npy(data: bytes) -> Shaped[np.ndarray, "..."]:
    """An array, of which no code runs: objects that are no plain values are Opaque."""
    file = io.BytesIO(data)
    _, _, dtype = read_npy_header(file)
    if not dtype.hasobject:
        return np.load(io.BytesIO(data), allow_pickle=False)
    if not isinstance(found := read_opaque(file.read()), np.ndarray):
        raise ValueError("it holds no array")
    return found
