"""Files that are whole or absent: atomic writes, durable renames, checksums of a folder."""

from __future__ import annotations

import ctypes
import functools
import json
import os
import platform
import re
import sys
import tempfile
import uuid
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from blake3 import blake3
from jaxtyping import Shaped
from safetensors import SafetensorError
from safetensors.numpy import save_file

from pipeline.digest import digest_file
from pipeline.errors import DamagedArtifact, InvalidInput

FileTable = dict[str, dict[str, int | str]]
"""Size and checksum of files by their path below a folder."""


LONG_BYTES = 2**20
SYNC_FILE_RANGE_WRITE = 2


def write_file(path: Path, pieces: Iterable[bytes | memoryview]) -> dict[str, int | str]:
    """Write a file in pieces, in place and not flushed. Returns its size and checksum, taken of the bytes on their way.

    The disk begins with each long piece at once, so that flushing the file waits for little.
    """
    hasher, size = blake3(), 0
    try:
        with path.open("wb", buffering=0) as file:
            for piece in pieces:
                hasher.update(piece)
                left = memoryview(piece)
                while left:
                    left = left[file.write(left) :]
                begin_flush(file.fileno(), size, len(piece))
                size += len(piece)
    except OSError as error:
        error.filename = error.filename or str(path)  # a write does not say where the disk was full
        raise
    return {"size": size, "blake3": hasher.hexdigest()}


def write_atomic(path: Path, write: Callable[[BinaryIO], object]) -> None:
    """Call `write` on a temporary file beside `path`, flush it to disk, then rename it into place."""
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.tmp")
    try:
        with temporary.open("wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    sync_folder(path.parent)


def remove_half_written(folder: Path) -> None:
    """Remove what `write_atomic` left below `folder` where it was killed; nobody may be writing there."""
    for path in folder.rglob(".*.tmp"):
        path.unlink()


def write_json(path: Path, value: Any, indent: int | None = 1) -> None:
    """Write JSON atomically. Halves of characters, as names of files may hold, stand there as `\\udce9`."""
    text = json.dumps(value, indent=indent, ensure_ascii=False) + "\n"
    write_atomic(path, lambda file: file.write(text.encode(errors="backslashreplace")))


def write_spilled(path: Path, arrays: Mapping[str, Shaped[np.ndarray, "..."]]) -> None:
    """Write arrays as one safetensors file, whole by its rename, but not flushed: a power cut may tear it.

    Its reader must be able to tell, and the arrays to be made again. Raises OSError, as Python's own files do, where
    the disk is full or the like.
    """
    temporary = path.with_suffix(f".{os.getpid()}.tmp")
    try:
        # safetensors takes memory as it lies there: a transposed array would come back with its numbers mixed up
        save_file({name: np.asarray(array, order="C") for name, array in arrays.items()}, temporary)
        temporary.replace(path)
    except SafetensorError as error:
        if (code := re.search(r"os error (\d+)", str(error))) is None:
            raise
        raise OSError(int(code[1]), os.strerror(int(code[1])), str(path)) from error
    finally:
        temporary.unlink(missing_ok=True)


def file_clock(folder: Path) -> float:
    """The time in seconds by which files of this folder get theirs: a file server's clock, where one keeps it.

    The clock of this machine may say something else. Raises OSError where no file can be made.
    """
    with tempfile.TemporaryFile(dir=folder) as file:
        return os.fstat(file.fileno()).st_mtime


def sync_folder(folder: Path) -> None:
    """Make renames inside `folder` survive a power cut."""
    sync_file(folder)


def sync_file(path: Path) -> None:
    """Flush a file, or the names in a folder, to disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_tree(folder: Path) -> None:
    """Flush every file and folder below `folder` to disk, before a rename makes them visible.

    Linux does it in one call for the whole file system, where fsync would wait for the disk once for each small file.
    """
    if not _sync_file_system(folder):
        for path in files_below(folder):
            sync_file(path)
        for current, _, _ in os.walk(folder):
            sync_folder(Path(current))


def _sync_file_system(folder: Path) -> bool:
    """Flush all of the file system that `folder` lies in; False where that cannot be done or would hide errors.

    Source: syncfs(2). Linux reports failed writes there since 5.8.
    """
    if (call := _syncfs()) is None:
        return False
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        if call(descriptor):
            error = ctypes.get_errno()
            raise OSError(error, os.strerror(error), str(folder))
    finally:
        os.close(descriptor)
    return True


def begin_flush(file: int, start: int, size: int) -> None:
    """Have the system write some bytes of a file to disk, without waiting for it, where it can be told to.

    Source: sync_file_range(2). It is advice: errors show where the file is flushed.
    """
    if size >= LONG_BYTES and (call := _sync_file_range()):
        call(file, start, size, SYNC_FILE_RANGE_WRITE)


@functools.cache
def _sync_file_range() -> Callable[[int, int, int, int], int] | None:
    if sys.platform != "linux":
        return None
    call: Any = getattr(ctypes.CDLL(None), "sync_file_range", None)
    if call is not None:
        call.argtypes = (ctypes.c_int, ctypes.c_int64, ctypes.c_int64, ctypes.c_uint)
    found: Callable[[int, int, int, int], int] | None = call
    return found


@functools.cache
def _syncfs() -> Callable[[int], int] | None:
    version = re.match(r"(\d+)\.(\d+)", platform.release())
    if sys.platform != "linux" or version is None or (int(version[1]), int(version[2])) < (5, 8):
        return None
    call: Callable[[int], int] | None = getattr(ctypes.CDLL(None, use_errno=True), "syncfs", None)
    return call


def is_plain_file(path: Path) -> bool:
    """Whether a file is there. Raises InvalidInput for a pipe, a device or a folder in its place: some never end."""
    if not (there := path.is_file()) and path.exists():
        raise InvalidInput(f"{path} must be a file; a {_kind(path)} is there. Move it away, or copy the file again.")
    return there


def check_unpacked(path: Path) -> None:
    """Raises InvalidInput for a zip of which a file unpacks to far more than it is; what is no zip passes."""
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
    except (OSError, ValueError, RuntimeError, zipfile.BadZipFile):
        return
    for each in members:
        if each.file_size > max(MOST_UNPACKED, 10 * each.compress_size):
            sizes = f"from {human_bytes(each.compress_size)} to {human_bytes(each.file_size)}"
            raise InvalidInput(f"{path} is no file to read: {each.filename} in it unpacks {sizes}.")


MOST_UNPACKED = 2**26
"""Bytes that a file in a zip may unpack to, however small it is."""


def is_folder(path: Path) -> bool:
    """Whether a folder is there; a name that no file system can have is none."""
    try:
        return path.is_dir()
    except OSError:  # too long, or behind a door that is closed
        return False


def _kind(path: Path) -> str:
    tests = {"folder": path.is_dir, "named pipe": path.is_fifo, "socket": path.is_socket}
    return next((kind for kind, fits in tests.items() if fits()), "device")


def files_below(folder: Path) -> Iterator[Path]:
    """Every file below `folder`, in a stable order."""
    for current, folders, names in os.walk(folder):
        folders.sort()
        for name in sorted(names):
            yield Path(current, name)


def file_table(folder: Path, root: Path) -> dict[str, dict[str, int | str]]:
    """Size and BLAKE3 checksum of every file below `folder`, keyed by its path relative to `root`."""
    return {
        path.relative_to(root).as_posix(): {"size": path.stat().st_size, "blake3": digest_file(path)}
        for path in files_below(folder)
    }


def size_of(folder: Path) -> int:
    """Bytes of all files below `folder`."""
    return sum(path.stat().st_size for path in files_below(folder))


def human_bytes(size: float) -> str:
    """`12.3 MB`, decimal units."""
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} TB"


def read_json(path: Path) -> Any:
    """JSON of a file; a damaged one is named, and so is one that holds a key twice: readers take either value."""
    try:
        is_plain_file(path)
        return json.loads(path.read_text(), object_pairs_hook=_each_key_once)
    except (OSError, ValueError, RecursionError) as error:
        raise DamagedArtifact(f"{path} cannot be read as JSON: {error}") from error


def _each_key_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) != len(pairs):
        raise ValueError(f"a key stands there twice, among {', '.join(sorted(values))[:200]}")
    return values


def folder_identity(folder: str) -> tuple[int, int] | None:
    """What tells a folder from another one of its name: where it lies on the disk, and when it was filled."""
    try:
        status = os.stat(folder)  # noqa: PTH116  # a Path takes as long again
    except (FileNotFoundError, NotADirectoryError):
        return None
    return status.st_ino, status.st_mtime_ns
