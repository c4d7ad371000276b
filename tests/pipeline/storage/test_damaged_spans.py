"""Spans of damaged files: an error that names a file, or the right rows; never others, no crash."""

import shutil

import numpy as np
import pytest

from pipeline.errors import DamagedArtifact
from tests.damage import flip_bit
from tests.pipeline.storage.test_spans import WRITERS, read, spans_of

RUNS = [(0, 3, 90), (0, 120, 80)]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """200 frames in each storage: of many chunks (`steps/a`), and of one (`steps/b`)."""
    root, frames = tmp_path_factory.mktemp("whole"), np.random.default_rng(0).integers(0, 4, (200, 40, 40), np.uint8)
    for writer, write in WRITERS.items():
        write(root / writer / "a" / "0", "steps/a", frames)
        write(root / writer / "b" / "0", "steps/a", np.ascontiguousarray(frames[:, :20, :20]))
    return root, frames


def kept_or_told(root, frames):
    """Whether reading gives an error that names a file below `root`; otherwise it gives the right rows."""
    try:
        out, at = read(spans_of(root, frames, threads=2), frames, RUNS)
    except DamagedArtifact as error:
        told = str(error)
    else:
        told = ""
    if told:
        assert str(root) in told
        return True
    for (_, first, count), place in zip(RUNS, at.tolist(), strict=True):
        np.testing.assert_array_equal(out[place : place + count], frames[first : first + count])
    return False


def files_of(folder):
    return sorted(path for path in folder.rglob("*") if path.is_file())


@pytest.mark.parametrize("size", ["a", "b"])
@pytest.mark.parametrize("writer", ["zarr", "older zarr"])
def test_a_changed_chunk_or_index_is_noticed_wherever_it_is(whole, tmp_path, writer, size):
    root, frames = whole
    frames = frames if size == "a" else frames[:, :20, :20]
    shutil.copytree(root / writer / size, tmp_path / "x")
    (chunks,) = [path for path in files_of(tmp_path) if path.name != "zarr.json"]
    data, told = chunks.read_bytes(), 0
    places = np.linspace(0, 1, 40)
    for place in places:
        flip_bit(chunks, place)
        told += kept_or_told(tmp_path / "x", frames)
        chunks.write_bytes(data)
    assert told > 0.8 * len(places)  # some chunks are not read
    assert not kept_or_told(tmp_path / "x", frames)


@pytest.mark.parametrize("writer", WRITERS)
def test_metadata_are_noticed_or_harmless_wherever_they_are_changed(whole, tmp_path, writer):
    root, frames = whole
    shutil.copytree(root / writer / "a", tmp_path / "x")
    for path in files_of(tmp_path):
        if path.suffix != ".json":
            continue
        data = path.read_bytes()
        for place in range(0, len(data), 5):
            path.write_bytes(data[:place] + bytes([data[place] ^ 1 << place % 7]) + data[place + 1 :])
            kept_or_told(tmp_path / "x", frames)
        path.write_bytes(data)


@pytest.mark.parametrize("share", [0, 0.02, 0.5, 0.9])
@pytest.mark.parametrize("writer", WRITERS)
def test_a_cut_file_is_noticed(whole, tmp_path, writer, share):
    root, frames = whole
    shutil.copytree(root / writer / "a", tmp_path / "x")
    for path in files_of(tmp_path / "x"):
        data = path.read_bytes()
        path.write_bytes(data[: int(share * len(data))])
        assert kept_or_told(tmp_path / "x", frames) or (path.name == "zarr.json" and path.parent.name != "a")  # groups
        path.write_bytes(data)


@pytest.mark.parametrize("writer", ["bin", "zarr"])
def test_a_missing_file_is_noticed(whole, tmp_path, writer):
    root, frames = whole
    shutil.copytree(root / writer / "a", tmp_path / "x")
    for path in files_of(tmp_path / "x" / "0" / "steps" / ("a" if writer == "zarr" else "")):
        path.rename(gone := path.with_suffix(".gone"))
        assert kept_or_told(tmp_path / "x", frames)
        gone.rename(path)


def test_every_thread_stops_at_the_first_damage(whole, tmp_path):
    root, frames = whole
    shutil.copytree(root / "zarr" / "a", tmp_path / "x")
    (tmp_path / "x" / "1").symlink_to(root / "zarr" / "a" / "0")
    flip_bit(next(path for path in files_of(tmp_path) if path.suffix != ".json"), 0.3)
    spans = spans_of(tmp_path / "x", frames, threads=3)
    with pytest.raises(DamagedArtifact, match="do not give their checksum"):
        read(spans, frames, [(part, 0, 200) for part in (1, 0, 1)])
    out, _ = read(spans, frames, [(1, 0, 200)])
    np.testing.assert_array_equal(out[1:201], frames)
