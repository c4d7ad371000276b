"""Files that are damaged, of another kind or hold what cannot be are refused by name."""

from __future__ import annotations

import gzip
import os
import re
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.errors import DamagedArtifact, InvalidInput
from tests import dqn_replay_files as files
from tests.dqn_replay_files import ReplayRun, write_array
from tests.pipeline.sources.dqn_replay.readings import check, numbers, stored


class Spring:
    """Touches a file when it is unpickled."""

    def __init__(self, path: str) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return open, (self.path, "w")


def refusal(small: tuple[ReplayRun, Path], tmp_path: Path, workers: int = 1) -> str:
    """The message with which the importer refuses the files."""
    with pytest.raises((InvalidInput, DamagedArtifact)) as caught:
        stored(tmp_path / "files", tmp_path / "outputs", workers=workers)
    assert not list((tmp_path / "outputs").rglob("manifest.json"))
    return str(caught.value)


def flipped(data: bytes, place: int) -> bytes:
    place %= len(data)
    return data[:place] + bytes([data[place] ^ 0x5A]) + data[place + 1 :]


DAMAGE: dict[str, Callable[[bytes], bytes]] = {
    "cut in the trailer": lambda data: data[:-3],
    "cut in the data": lambda data: data[: len(data) // 2],
    "cut in the header": lambda data: data[:6],
    "wrong checksum": lambda data: flipped(data, -7),
    "wrong length": lambda data: flipped(data, -2),
    "a changed byte": lambda data: flipped(data, len(data) // 2),
    "not gzip": lambda data: b"<html>404 Not Found</html>" * 9,
    "nothing": lambda data: b"",
    "gzip of something else": lambda data: gzip.compress(b"not an array" * 99),
    "more behind the array": lambda data: gzip.compress(gzip.decompress(data) + b"more"),
    "more behind the stream": lambda data: data + b"more",
    "rows missing": lambda data: gzip.compress(gzip.decompress(data)[:-9]),
}


@pytest.mark.parametrize("field", ["observation", "action", "reward"])
@pytest.mark.parametrize("damage", DAMAGE)
def test_damaged_files_are_named(small: tuple[ReplayRun, Path], tmp_path: Path, field: str, damage: str):
    path = small[1] / f"$store$_{field}_ckpt.1.gz"
    path.write_bytes(DAMAGE[damage](path.read_bytes()))
    message = refusal(small, tmp_path)
    assert path.name in message
    assert "empty" in message if damage == "nothing" else "gzip" in message or "npy" in message


@pytest.mark.parametrize("damage", ["cut in the data", "not gzip", "nothing"])
def test_a_damaged_add_count_is_named(small: tuple[ReplayRun, Path], tmp_path: Path, damage: str):
    path = small[1] / "add_count_ckpt.1.gz"
    path.write_bytes(DAMAGE[damage](path.read_bytes()))
    assert path.name in refusal(small, tmp_path)


def test_a_worker_names_the_damaged_file_too(small: tuple[ReplayRun, Path], tmp_path: Path):
    path = small[1] / "$store$_observation_ckpt.1.gz"
    path.write_bytes(DAMAGE["wrong checksum"](path.read_bytes()))
    assert path.name in refusal(small, tmp_path, workers=2)


@pytest.mark.parametrize(
    ("field", "change", "says"),
    [
        ("observation", lambda rows: rows.astype(np.float32), ["uint8", "float32"]),
        ("observation", lambda rows: rows[:, :, :83], ["84", "83"]),
        ("observation", lambda rows: rows[..., None], ["40, 84, 84, 1", "84"]),
        ("observation", lambda rows: rows[:-1], ["39", "40"]),
        ("action", lambda rows: rows.astype(np.int64), ["int32", "int64"]),
        ("action", lambda rows: rows[:, None], ["40, 1"]),
        ("action", lambda rows: rows[:-1], ["39", "40"]),
        ("reward", lambda rows: rows.astype(np.float64), ["float32", "float64"]),
        ("reward", lambda rows: rows[:-1], ["39", "40"]),
        ("terminal", lambda rows: rows.astype(np.int32), ["uint8", "int32"]),
        ("terminal", lambda rows: np.concatenate([rows, rows]), ["80", "40"]),
    ],
)
def test_arrays_of_another_kind_are_refused(
    small: tuple[ReplayRun, Path],
    tmp_path: Path,
    field: str,
    change: Callable[[np.ndarray], np.ndarray],
    says: list[str],
):
    run, logs = small
    path = logs / f"$store$_{field}_ckpt.1.gz"
    write_array(path, np.ascontiguousarray(change(run.dumps[1].arrays[field])))
    message = refusal(small, tmp_path)
    assert (path.name if "39" not in says else "_ckpt.1.gz") in message  # which of two lengths is wrong, no one knows
    for text in says:
        assert text in message


@pytest.mark.parametrize("field", ["observation", "action", "add_count"])
def test_pickled_objects_are_refused_and_never_opened(small: tuple[ReplayRun, Path], tmp_path: Path, field: str):
    path = small[1] / (f"{field}_ckpt.1.gz" if field == "add_count" else f"$store$_{field}_ckpt.1.gz")
    touched = tmp_path / "touched"
    write_array(path, np.array([Spring(str(touched))] * 40, object), allow_pickle=True)
    message = refusal(small, tmp_path)
    assert path.name in message
    assert re.search("pickle|object", message)
    assert not touched.exists()


@pytest.mark.parametrize(
    ("field", "value", "says"),
    [
        ("action", 6, ["pong", "6"]),
        ("action", -1, ["pong", "-1"]),
        ("reward", 1.5, ["1.5", "[-1"]),
        ("reward", -2.0, ["-2", "[-1"]),
        ("reward", np.nan, ["nan", "[-1"]),
        ("terminal", 2, ["2", "0", "1"]),
    ],
)
def test_values_that_cannot_be_are_refused(
    small: tuple[ReplayRun, Path], tmp_path: Path, field: str, value: float, says: list[str]
):
    run, logs = small
    run.dumps[1].arrays[field][17] = value
    path = logs / f"$store$_{field}_ckpt.1.gz"
    write_array(path, run.dumps[1].arrays[field])
    message = refusal(small, tmp_path)
    assert path.name in message
    for text in says:
        assert text in message.lower().replace(path.name.lower(), "").replace(str(tmp_path).lower(), "")


@pytest.mark.parametrize("value", [np.array(-3), np.array(39.0), np.array("39")])
def test_an_add_count_that_counts_nothing_is_refused(small: tuple[ReplayRun, Path], tmp_path: Path, value: np.ndarray):
    path = small[1] / "add_count_ckpt.1.gz"
    write_array(path, value)
    assert path.name in refusal(small, tmp_path)


def test_arrays_in_the_order_of_fortran_are_read_right_or_refused(small: tuple[ReplayRun, Path], tmp_path: Path):
    run, logs = small
    path = logs / "$store$_observation_ckpt.1.gz"
    write_array(path, np.asfortranarray(run.dumps[1].arrays["observation"]))
    try:
        artifact = stored(tmp_path / "files", tmp_path)
    except InvalidInput as error:
        refused = str(error)
    else:
        check(artifact, files.expected_chronological(run, numbers(run)))
        return
    assert path.name in refused


def npy(header: str | bytes, data: bytes = bytes(40), version: tuple[int, int] = (1, 0)) -> bytes:
    """A gzip stream of an array with this header, as it is written, however wrong."""
    text = header.encode() if isinstance(header, str) else header
    length = len(text).to_bytes(2 if version == (1, 0) else 4, "little")
    return gzip.compress(b"\x93NUMPY" + bytes(version) + length + text + data, 1)


SHAPES = ["-40,", "True,", f"{2**40},", f"{10**30},", "1.0,", "'a',", "None,", "(40,),", "40, 40, 40", "1," * 99]
HEADERS: dict[str, bytes] = {
    **{f"shape ({shape})": npy(f"{{'descr': '<i4', 'fortran_order': False, 'shape': ({shape})}}") for shape in SHAPES},
    "another version": npy("{'descr': '<i4', 'fortran_order': False, 'shape': (40,)}", version=(7, 0)),
    "nested without end": npy("(" * 9_000),
    "an expression": npy("-" * 9_000 + "1"),
    "no text": npy(bytes(range(256))),
    "no dict": npy("[]"),
    "keys that cannot be": npy("{[]: 1}"),
    "keys of two kinds": npy("{1: 2, 'shape': 3}"),
    "a strange dtype": npy("{'descr': ('<i4',), 'fortran_order': False, 'shape': (40,)}"),
    "open text": npy("{'descr': '"),
    "a header of a megabyte": npy(b" " * 2**20, b"", (2, 0)),
}


@pytest.mark.parametrize("field", ["observation", "action", "add_count"])
@pytest.mark.parametrize("header", HEADERS)
def test_a_header_that_cannot_be_is_refused_and_named(
    small: tuple[ReplayRun, Path], tmp_path: Path, field: str, header: str
):
    path = small[1] / (f"{field}_ckpt.1.gz" if field == "add_count" else f"$store$_{field}_ckpt.1.gz")
    path.write_bytes(HEADERS[header])
    message = refusal(small, tmp_path)
    assert path.name in message
    assert len(message) < 1_000


def test_what_a_small_file_promises_is_never_made_room_for(small: tuple[ReplayRun, Path], tmp_path: Path):
    """A counter that unpacks to a gigabyte, in little memory."""
    bomb = gzip.compress(bytes(2**20), 9)
    header = "{'descr': '<i8', 'fortran_order': False, 'shape': ()}"
    path = small[1] / "add_count_ckpt.1.gz"
    path.write_bytes(npy(header, bytes(8)) + bomb * 1024)
    tracemalloc.start()
    message = refusal(small, tmp_path)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert "more bytes follow its header instead of 8" in message
    assert peak < 20_000_000


def test_a_pipe_in_the_place_of_a_file_is_refused(small: tuple[ReplayRun, Path], tmp_path: Path):
    path = small[1] / "$store$_action_ckpt.1.gz"
    path.unlink()
    os.mkfifo(path)
    assert f"{path.name} must be a file; a named pipe is there" in refusal(small, tmp_path)


def test_a_checkpoint_of_thirty_digits_is_refused(small: tuple[ReplayRun, Path], tmp_path: Path):
    (small[1] / f"$store$_action_ckpt.{10**29}.gz").write_bytes(b"x")
    assert "none with a number of 30 digits" in refusal(small, tmp_path)
