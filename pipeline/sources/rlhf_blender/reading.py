"""The arrays of one episode in RLHF-Blender's files. Nothing that a file names is run, unless the user trusts it."""

from __future__ import annotations

import io
import math
import os
import struct
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from isal import isal_zlib
from jaxtyping import Bool, Num, Shaped, UInt8

from pipeline.command import again
from pipeline.errors import InvalidInput
from pipeline.exact import STORED_KINDS, WIDEST, exactly
from pipeline.machine.files import human_bytes, is_plain_file
from pipeline.machine.npy import read_npy_header
from pipeline.machine.plain_pickle import NeedsCode, load_any, read_plain
from pipeline.sources.rlhf_blender.names import REWARDS, UNCERTAINTY
from pipeline.sources.rlhf_blender.tree import CheckpointFolder
from pipeline.sources.unpacking import can_unpack
from pipeline.wording import error_text, few

OBS, ACTIONS, DONES, INFOS = "obs", "actions", "dones", "infos"
LENGTHS = "episode_lengths"

KNOWN = frozenset({OBS, REWARDS, DONES, ACTIONS, INFOS, LENGTHS, "episode_rewards", "probs", "features"})
"""The arrays of RLHF-Blender's recorder."""

_Found = TypeVar("_Found")
InfoRows = list[dict[Any, Any]]
Content = bytes | memoryview

HEAD = 30
"""Bytes before the name of a file in a zip; the last four say how long its name is, and what follows that."""

ENCRYPTED = 1
LONGEST_HEADER = 2**16
"""Bytes of an .npy file in which its header ends."""


@dataclass(frozen=True)
class RecordedRows:
    """The rows of an episode as they were recorded.

    Attributes:
        obs, actions, dones: a value a row.
        rewards: the reward that arrived with each row.
        infos: of each row; None where they were left out, or the file has none.
        uncertainty: of each row; None where no file has them.
        length: how many steps the episode had, where its file says that of it alone.
        is_cumulative: the file of rewards holds their sums; `rewards` are those of each row.
        has_rewards_file: there is one.
        others: names of arrays that are not known.
    """

    obs: Shaped[np.ndarray, "rows ..."]
    actions: Shaped[np.ndarray, "rows ..."]
    dones: Bool[np.ndarray, "rows"]
    rewards: Num[np.ndarray, "rows"]
    infos: InfoRows | None
    uncertainty: Num[np.ndarray, "rows"] | None
    length: int | None
    is_cumulative: bool
    has_rewards_file: bool
    others: tuple[str, ...]


def read_rows(folder: CheckpointFolder, number: int, infos: bool, trust: bool) -> RecordedRows:
    """The rows of an episode. Raises InvalidInput for files that are missing, damaged, or contradict each other.

    Args:
        infos: whether they are read.
        trust: whether what their pickle names may be run.
    """
    path = folder.episode(number)
    wanted = [OBS, REWARDS, DONES, ACTIONS, LENGTHS, *([INFOS] if infos else [])]
    arrays, others = _guarded(path, lambda: _read_npz(path, wanted, trust))
    if missing := [name for name in (OBS, REWARDS, DONES, ACTIONS) if name not in arrays]:
        raise InvalidInput(f"{path} lacks {few(missing)}; it has {few(sorted(arrays)) or 'no array'}.")
    rewards, beside = arrays[REWARDS], _rewards_beside(folder, number)
    _require_alike(path, {name: array for name, array in arrays.items() if name != LENGTHS})
    return RecordedRows(
        obs=arrays[OBS],
        actions=arrays[ACTIONS],
        dones=_flags(path, arrays[DONES]),
        rewards=rewards,
        infos=_dicts(path, arrays[INFOS]) if INFOS in arrays else None,
        uncertainty=_uncertainty(folder, number, len(rewards)),
        length=_own_length(arrays.get(LENGTHS)),
        is_cumulative=beside is not None and _holds_sums(path, rewards, beside, folder.file(REWARDS, number)),
        has_rewards_file=beside is not None,
        others=others,
    )


def count_rows(folder: CheckpointFolder, number: int) -> int:
    """How many rows an episode has, from the head of its smallest file."""
    if (path := folder.file(REWARDS, number)) is not None:
        _require_there(path)
        return _guarded(path, partial(_rows_of_npy, path))
    inside = folder.episode(number)
    return _guarded(inside, partial(_rows_of_member, inside))


def _rows_of_npy(path: Path) -> int:
    with path.open("rb") as file:
        return _vector_length(read_npy_header(file)[0])


def _rows_of_member(path: Path) -> int:
    with zipfile.ZipFile(path) as archive, archive.open(f"{REWARDS}.npy") as member:
        return _vector_length(read_npy_header(member)[0])


def _vector_length(shape: tuple[int, ...]) -> int:
    if len(shape) != 1:
        raise ValueError(f"rewards should be one number a row; their shape is {list(shape)}")
    return shape[0]


def _read_npz(path: Path, wanted: list[str], trust: bool) -> tuple[dict[str, np.ndarray], tuple[str, ...]]:
    """The arrays of these names that are there, and the names of those that nobody knows."""
    arrays, whole = {}, np.fromfile(path, np.uint8)
    with zipfile.ZipFile(path) as archive:
        members = archive.infolist()
        names = [each.filename for each in members]
        if len({*names}) != len(names):
            raise InvalidInput(f"{path} holds an array twice; one would hide the other.")
        for each in members:
            name = each.filename.removesuffix(".npy")
            if name not in wanted:
                continue
            if not can_unpack(each.file_size, min(each.compress_size, len(whole))):
                raise InvalidInput(
                    f"{path} is damaged: {name} should unpack from {human_bytes(each.compress_size)} to "
                    f"{human_bytes(each.file_size)}."
                )
            content = _content(archive, each, whole)
            arrays[name] = _objects(path, content, trust) if name == INFOS else _numbers(path, name, content)
    others = (name.removesuffix(".npy") for name in names)
    return arrays, tuple(sorted(name for name in others if name not in KNOWN))


def _content(archive: zipfile.ZipFile, member: zipfile.ZipInfo, whole: UInt8[np.ndarray, "n"]) -> Content:
    """What a zip holds under a name; of what is not compressed, a view of the whole file instead of three copies."""
    if member.compress_type != zipfile.ZIP_STORED or member.flag_bits & ENCRYPTED:
        return archive.read(member)
    head = whole[member.header_offset : member.header_offset + HEAD].tobytes()
    start = member.header_offset + HEAD + sum(struct.unpack("<HH", head[-4:]))
    content = whole[start : start + member.file_size]
    if (
        not head.startswith(b"PK\3\4")
        or len(content) != member.file_size
        or isal_zlib.crc32(content.data) != member.CRC
    ):
        raise zipfile.BadZipFile(f"{member.filename} is not what was written")
    return content.data


def _numbers(path: Path, name: str, content: Content) -> Shaped[np.ndarray, "..."]:
    """As `numpy.load`, which makes room for whatever a header promises, and takes Python's objects."""
    (shape, by_column, dtype), start = _header(content)
    if dtype.hasobject or dtype.kind not in STORED_KINDS or dtype.itemsize > WIDEST:
        what = "Python objects" if dtype.hasobject else str(dtype)
        raise InvalidInput(f"{path}: {name} should hold numbers of at most 64 bits; it holds {what}.")
    if dtype.itemsize * math.prod(shape) != len(content) - start:
        raise InvalidInput(
            f"{path}: {name} is cut off: its {len(content) - start:,} bytes are no {dtype} of {list(shape)}."
        )
    flat = np.require(np.frombuffer(content, dtype, offset=start), requirements="A")
    array = flat.reshape(shape, order="F" if by_column else "C")
    return array if dtype.isnative else array.astype(dtype.newbyteorder("="))


def _header(content: Content) -> tuple[tuple[tuple[int, ...], bool, np.dtype[Any]], int]:
    """Shape, order and dtype, and where the numbers begin."""
    file = io.BytesIO(content[:LONGEST_HEADER])
    return read_npy_header(file), file.tell()


def _objects(path: Path, content: Content, trust: bool) -> Shaped[np.ndarray, "..."]:
    (shape, _, dtype), start = _header(content)
    if not dtype.hasobject:
        raise InvalidInput(f"{path}: {INFOS} should hold a dict a row; they are {dtype}.")
    try:
        found = (load_any if trust else read_plain)(bytes(content[start:]))
    except NeedsCode as error:
        raise InvalidInput(
            f"{path}: {INFOS} name {error}, which is no plain value: reading them would run code that is in the file. "
            f"If you know where it comes from, allow it: {again(trust=True)}\n"
            f"Or leave all infos out: {again(source__infos=False)}"
        ) from error
    if not isinstance(found, np.ndarray) or found.dtype != object or found.shape != shape:
        raise InvalidInput(f"{path}: {INFOS} should be an array of {list(shape)} dicts.")
    return found


def _dicts(path: Path, infos: Shaped[np.ndarray, "rows"]) -> InfoRows:
    """A dict a row, each of which may lie in an array of its own."""
    found = [each.item() if isinstance(each, np.ndarray) and each.size == 1 else each for each in infos.tolist()]
    if strange := {type(each).__name__ for each in found if type(each) is not dict}:
        raise InvalidInput(f"{path}: {INFOS} should hold a dict a row; there is a {min(strange)} among them.")
    return found


def _require_alike(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Raises InvalidInput where not all arrays have a value a row."""
    rows = {name: len(array) if array.ndim else None for name, array in arrays.items()}
    if len(set(rows.values())) != 1 or None in rows.values() or arrays[REWARDS].ndim != 1:
        counts = ", ".join(f"{name} {list(array.shape)}" for name, array in arrays.items())
        raise InvalidInput(f"{path}: all arrays need the same rows, and rewards a number each. Their shapes: {counts}.")


def _flags(path: Path, dones: Shaped[np.ndarray, "rows ..."]) -> Bool[np.ndarray, "rows"]:
    flags = exactly(dones, np.bool_)
    if flags is None or flags.ndim != 1:
        raise InvalidInput(f"{path}: {DONES} should be 0 or 1 in each row.")
    return flags


def _own_length(lengths: np.ndarray | None) -> int | None:
    """RLHF-Blender writes those of all episodes into the file of the first one, and none into the others."""
    return int(lengths[0]) if lengths is not None and lengths.shape == (1,) and lengths.dtype.kind in "iu" else None


def _rewards_beside(folder: CheckpointFolder, number: int) -> np.ndarray | None:
    path = folder.file(REWARDS, number)
    if path is None:
        return None
    _require_there(path)
    return _read_npy(path, REWARDS)


def _require_there(path: Path) -> None:
    if not is_plain_file(path):
        raise InvalidInput(f"{path} is not there; each episode has one. Copy the folder again.")


def _uncertainty(folder: CheckpointFolder, number: int, rows: int) -> np.ndarray | None:
    path = folder.file(UNCERTAINTY, number)
    if path is None or not is_plain_file(path):
        return None
    found = _read_npy(path, UNCERTAINTY)
    if found.shape != (rows,):
        raise InvalidInput(f"{path} should hold a number for each of {rows} rows; its shape is {list(found.shape)}.")
    return found


def _read_npy(path: Path, name: str) -> np.ndarray:
    return _guarded(path, lambda: _numbers(path, name, path.read_bytes()))


def _holds_sums(path: Path, rewards: np.ndarray, beside: np.ndarray, other: Path | None) -> bool:
    """Whether the file of rewards holds their sums, as the manual says. Raises InvalidInput where it is of another run.

    They are the rewards themselves in the files of every version that is known.
    """
    if beside.shape == rewards.shape:
        if np.array_equal(beside, rewards) or np.array_equal(beside, rewards.astype(beside.dtype)):
            return False
        sums = np.cumsum(rewards, dtype=np.float64)
        if np.allclose(beside, sums, rtol=1e-5, atol=1e-6 * max(1.0, float(np.abs(sums).max(initial=0)))):
            return True
        row = int(np.argmax(beside != rewards))
        what = f"at row {row} it has {beside[row]:g}, and the other {rewards[row]:g}"
    else:
        what = f"it has {beside.size} rewards, and the other {rewards.size}"
    raise InvalidInput(
        f"{other} contradicts {path.name} of the same episode: {what}, which are neither the same rewards nor their "
        f"sums. One of them is of another run; copy both again."
    )


def _guarded(path: Path, read: Callable[[], _Found]) -> _Found:
    is_plain_file(path)  # raises for a pipe, from which reading would wait for ever
    try:
        return read()
    except InvalidInput:
        raise
    except Exception as error:  # a damaged file may fail in any way
        raise InvalidInput(
            f"{os.fspath(path)} cannot be read: {error_text(error)}. It is damaged or cut off; copy it again."
        ) from error
