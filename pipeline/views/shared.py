"""Memory that a worker process fills and the trainer reads, over and over: each piece is mapped once on both sides.

A piece is a file in memory without a name, so that nothing is left behind by a process that is killed. The worker sends
where in which piece an array lies; the trainer counts in the piece's first page when it has let go of it.
"""

from __future__ import annotations

import mmap
import os
import secrets
import sys
import threading
from dataclasses import dataclass, field
from multiprocessing.reduction import DupFd
from typing import Any, Final, Protocol

import numpy as np

HEAD: Final = mmap.PAGESIZE
"""Bytes before the data: the number of the last loan that has ended, and how many bytes the trainer has mapped."""

ENDED, SEEN = slice(0, 8), slice(8, 16)


class HasInterface(Protocol):
    """What numpy makes an array of that keeps it alive."""

    __array_interface__: dict[str, Any]


class SharedBuffers:
    """Pieces of memory of a worker process. Where that cannot be had, there are none."""

    def __init__(self) -> None:
        self._token = secrets.token_hex(8)
        self._pieces: list[_Piece] = []
        self._lock = threading.Lock()

    def take(self, nbytes: int, most: int) -> SharedLease | None:
        """A piece of at least so many bytes that neither side holds; None where `most` are in use."""
        with self._lock:
            return self._take(nbytes, most)

    def _take(self, nbytes: int, most: int) -> SharedLease | None:
        free = sorted((piece for piece in self._pieces if piece.is_free()), key=lambda piece: piece.nbytes)
        found = next((piece for piece in free if piece.nbytes >= nbytes), None)
        try:
            if found is None and len(self._pieces) < most:
                found = _Piece(self._token, len(self._pieces), nbytes)
                self._pieces.append(found)
            elif found is None and free:
                found = free[-1]
                found.grow(nbytes)
        except OSError:  # no memory, no open files: the batch goes another way
            return None
        return None if found is None else SharedLease(found)


class _Piece:
    """One piece, as the worker sees it."""

    def __init__(self, token: str, number: int, nbytes: int) -> None:
        if not hasattr(os, "memfd_create"):
            raise OSError("this system has no files in memory")
        self.key = (token, number)
        self.file = os.memfd_create("batch", os.MFD_CLOEXEC)
        size = HEAD + whole_pages(nbytes)
        os.ftruncate(self.file, size)
        self.memory = mmap.mmap(self.file, size, mmap.MAP_SHARED | _POPULATE)
        self.held = False
        self.loans = 0

    @property
    def nbytes(self) -> int:
        """Of data."""
        return len(self.memory) - HEAD

    def is_free(self) -> bool:
        return not self.held and not self.is_lent()

    def is_lent(self) -> bool:
        """Whether the trainer has not let go of it."""
        return _read(self.memory, ENDED) != self.loans

    def grow(self, nbytes: int) -> None:
        self.memory.resize(HEAD + whole_pages(nbytes))

    def __del__(self) -> None:
        if hasattr(self, "file"):
            os.close(self.file)


class SharedLease:
    """One piece in use by the worker: the base of all arrays in it."""

    __slots__ = ("__array_interface__", "_piece")

    def __init__(self, piece: _Piece) -> None:
        self._piece = piece
        piece.held = True
        self.__array_interface__ = interface(piece.memory, HEAD)

    def lend(self) -> Loan | None:
        """What to send, so that the trainer may have the piece; None where it has it already."""
        piece = self._piece
        if piece.is_lent():
            return None
        seen = _read(piece.memory, SEEN) == len(piece.memory)
        file = None if seen else DupFd(piece.file)
        piece.loans += 1
        return Loan(*piece.key, os.getpid(), len(piece.memory), piece.loans, file)

    def __del__(self) -> None:
        self._piece.held = False


@dataclass(frozen=True)
class Loan:
    """What the trainer is sent of a piece: all of it is small, so that a message is written at once or not at all.

    Attributes:
        token, number: which piece.
        process: the worker's.
        size: bytes of the file.
        loan: counts on with each loan of this piece.
        file: the file, where the trainer has not mapped all of it.
    """

    token: str
    number: int
    process: int
    size: int
    loan: int
    file: Any

    def array(self) -> np.ndarray:
        """The data of the piece as bytes, mapped. The loan ends with the last array that refers to it."""
        return np.asarray(_Received(self, _mapped_pieces(self)))


class _Received:
    """A loan in the trainer: the base of all arrays and tensors in it."""

    __slots__ = ("__array_interface__", "_loan", "_memory", "_process")

    def __init__(self, loan: Loan, memory: mmap.mmap) -> None:
        self._loan, self._memory, self._process = loan, memory, os.getpid()
        self.__array_interface__ = interface(memory, HEAD)

    def __del__(self) -> None:
        if self._process != os.getpid():  # a copy in a forked process: the trainer itself still holds it
            return
        _write(self._memory, ENDED, self._loan.loan)
        if not _is_alive(self._loan.process):
            _workers.pop(self._loan.token, None)


@dataclass
class _Worker:
    """What the trainer has mapped of one worker."""

    process: int
    pieces: dict[int, mmap.mmap] = field(default_factory=dict)


_workers: dict[str, _Worker] = {}
"""By token. Those of workers that are gone are forgotten when another appears, or when their last batch goes."""


def _mapped_pieces(loan: Loan) -> mmap.mmap:
    if loan.token not in _workers:
        forget_ended_workers()
        _workers[loan.token] = _Worker(loan.process)
    pieces = _workers[loan.token].pieces
    memory = pieces.get(loan.number)
    if memory is None or len(memory) != loan.size:
        try:
            file = loan.file.detach()
        except (ConnectionError, EOFError, FileNotFoundError) as error:  # the server of files in the worker is gone
            raise RuntimeError(f"DataLoader worker (pid {loan.process}) exited unexpectedly") from error
        try:
            memory = pieces[loan.number] = mmap.mmap(file, loan.size, mmap.MAP_SHARED | _POPULATE, **_WITHOUT_FILE)
        finally:
            os.close(file)
        _write(memory, SEEN, loan.size)
    return memory


def forget_ended_workers() -> None:
    """Give back the memory of worker processes that are gone, as far as no batch is in it."""
    for token, worker in list(_workers.items()):
        if not _is_alive(worker.process):
            _workers.pop(token, None)


def _is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


def interface(memory: mmap.mmap, begin: int) -> dict[str, Any]:
    """What numpy must know of the bytes from `begin` on. It holds no view of the memory, which may so be resized."""
    address = np.frombuffer(memory, np.uint8).__array_interface__["data"][0]
    return {"version": 3, "typestr": "|u1", "shape": (len(memory) - begin,), "data": (address + begin, False)}


def whole_pages(nbytes: int) -> int:
    """Bytes, to the next eighth of a power of two, of whole pages: what fits one batch then fits the next, too."""
    step = max(mmap.PAGESIZE, 1 << max(nbytes.bit_length() - 4, 0))
    return max(-(-nbytes // step), 1) * step


def _read(memory: mmap.mmap, where: slice) -> int:
    return int.from_bytes(memory[where], sys.byteorder)


def _write(memory: mmap.mmap, where: slice, value: int) -> None:
    memory[where] = value.to_bytes(8, sys.byteorder)


_POPULATE: Final[int] = getattr(mmap, "MAP_POPULATE", 0)
"""All pages at once, in place of a fault for each."""

_WITHOUT_FILE: Final[dict[str, Any]] = {"trackfd": False} if sys.version_info >= (3, 13) else {}
"""A mapping needs no open file; older versions keep one."""

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_workers.clear)
